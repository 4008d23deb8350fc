"""What refusals say of how long to wait, beside how long they would have had to."""

from __future__ import annotations

import numpy as np

from tagspace_lab.lab.calibration.decisions import Decisions, Floats
from tagspace_lab.lab.calibration.findings import NOT_SEEN, REFUSALS, Finding

__all__ = ["read_claims"]

_NEAR = 0.25
"""A claim fits if it is off by less than this share, and a tenth of a second."""
_MOST = 0.7
"""Of the claims that must fit."""


def read_claims(decisions: Decisions, waits_s: Floats) -> tuple[Finding, float | None]:
    """The key `retry_after`, and the window that refusals always claim, if they do. `waits_s`: nan where unknown."""
    refused = np.flatnonzero(decisions.is_refused)
    if not len(refused):
        return Finding("retry_after", None, NOT_SEEN, note="nothing was refused"), None
    told = np.array([decisions.attempts[place].retry_after_s or np.nan for place in refused])
    waits = waits_s[refused]
    capped = np.isnan(waits)
    known = told[np.isfinite(told)]
    note = f"{len(known)} of {len(refused)} refusals say how long to wait"
    if len(known) < 0.5 * max(1, int((~capped).sum())) or not len(known):
        return Finding("retry_after", "missing", REFUSALS, note=note), None
    fits = np.isfinite(told) & np.isfinite(waits)
    whole = bool((known % 1 == 0).all())
    exact = _share_near(told[fits], waits[fits], whole)
    late = _share_near(told[fits], 1.5 * waits[fits] + 1, whole)
    if exact >= _MOST and exact >= late:
        return Finding("retry_after", "exact", REFUSALS, note=note), None
    if np.ptp(known) < 1e-6:
        return Finding("retry_after", "window", REFUSALS, note=f"{note}, always {known[0]:g} s"), float(known[0])
    if late >= _MOST:
        return Finding("retry_after", "late", REFUSALS, note=note), None
    if exact >= 0.4:
        return Finding("retry_after", "exact", REFUSALS, note=f"{note}; {exact:.0%} of them right"), None
    return Finding("retry_after", "wrong", REFUSALS, note=f"{note}, up to {known.max():g} s, and few are right"), float(
        known.max()
    )


def _share_near(told: Floats, expected: Floats, whole: bool) -> float:
    """How many of the claims are what is expected; whole seconds are rounded up."""
    if not len(told):
        return 0.0
    rounded = np.ceil(expected - 1e-6) if whole else expected
    room = _NEAR * rounded + (1.01 if whole else 0.1)
    return float((np.abs(told - rounded) <= room).mean())
