"""Times in which a provider let nobody in, whatever its limits: rows of refusals or errors that no limit explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tagspace_lab.lab.calibration.decisions import Decisions
from tagspace_lab.lab.calibration.limits import LimitFits, fit_limits
from tagspace_lab.records import Outcome
from tagspace_lab.twin.schema import Outage

__all__ = ["fit_with_outages", "without_outages"]

_FEWEST, _SHORTEST_S = 4, 5.0
"""Calls in a row, and seconds from the first to the last of them, that make an outage."""
_PRICE = 3.0
"""An outage has to explain so many decisions more than the limits alone."""
_STATUSES = (429, 503, 529)


def fit_with_outages(decisions: Decisions) -> tuple[LimitFits, tuple[Outage, ...]]:
    """The limits, and the outages if these explain more: what fell into one is no evidence of a limit."""
    plain = fit_limits(decisions)
    outages = tuple(_outage(decisions, row) for row in _rows(decisions))
    kept = without_outages(decisions, outages)
    if not outages or plain.cost <= _PRICE or kept.is_refused.all():
        return plain, ()
    fits = fit_limits(kept)
    return (fits, outages) if fits.cost + _PRICE * len(outages) < plain.cost else (plain, ())


def without_outages(decisions: Decisions, outages: Sequence[Outage]) -> Decisions:
    """What was decided at other times."""
    kept = np.ones(len(decisions), bool)
    for each in outages:
        kept &= (decisions.at_s < each.at_s) | (decisions.at_s > (each.until_s or np.inf))
    return decisions.select(kept)


def _rows(decisions: Decisions) -> Iterator[NDArray[np.int64]]:
    """Runs of calls, in the order in which they arrived, none of which was answered."""
    failed = np.array([attempt.outcome is not Outcome.OK for attempt in decisions.attempts])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], failed.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        row = np.arange(start, end)
        lasted_s = decisions.at_s[end - 1] - decisions.at_s[start]
        if len(row) >= _FEWEST and lasted_s >= _SHORTEST_S and len(set(decisions.world[row])) == 1:
            yield row


def _outage(decisions: Decisions, row: NDArray[np.int64]) -> Outage:
    """From between the last call let in and the first refused, to between the last refused and the next let in."""
    first, last = int(row[0]), int(row[-1])
    at_s, until_s = float(decisions.at_s[first]), float(decisions.at_s[last])
    if first > 0:
        at_s = (at_s + float(decisions.at_s[first - 1])) / 2
    if last + 1 < len(decisions):
        until_s = (until_s + float(decisions.at_s[last + 1])) / 2
    statuses = [decisions.attempts[place].status for place in row]
    claims = {decisions.attempts[place].retry_after_s for place in row}
    claim = claims.pop() if len(claims) == 1 else None
    return Outage.model_validate(
        {
            "kind": "outage",
            "at_s": round(max(0.0, at_s), 3),
            "until_s": round(until_s + 0.001, 3),
            "status": max(_STATUSES, key=statuses.count),
            "retry_after_s": claim,
        }
    )
