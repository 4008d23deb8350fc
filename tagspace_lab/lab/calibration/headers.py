"""What recorded headers say: their dialect, and the limits that they state call by call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagspace_lab.lab.calibration.decisions import Decisions, Floats
from tagspace_lab.lab.calibration.fitting import Stated

__all__ = ["RATES", "read_dialect", "read_stated"]

RATES = ("requests", "tokens", "input_tokens", "output_tokens")
"""Units that there may be a limit of."""
_FEWEST_INSTANTS, _ON_THE_SECOND, _MOST_ON_THE_SECOND = 5, 0.03, 0.8
_NEVER_S = 3_500.0
"""Resets from here on are a way to say never."""
_SECOND = 1.1
_STATED_SHARE = 0.05
"""Of all answers that must state a unit before it counts as stated."""


def read_dialect(decisions: Decisions) -> str:
    """The dialect that the headers are in, told by which units they state and how they say when these are reset."""
    units = {unit for attempt in decisions.attempts for unit in attempt.rate_limit.quotas}
    resets = any(
        (quota.reset_s or 0.0) > 0 for attempt in decisions.attempts for quota in attempt.rate_limit.quotas.values()
    )
    if not units:
        return "none"
    if units & {"input_tokens", "output_tokens"} or _resets_on_the_second(decisions):
        return "anthropic"
    if not resets:
        return "azure"
    names_units = any(attempt.rate_limit.cause in ("requests", "tokens") for attempt in decisions.attempts)
    return "openai" if "tokens" in units or names_units else "gateway"


def _resets_on_the_second(decisions: Decisions) -> bool:
    """Whether resets are instants in whole seconds, as RFC 3339 has them; windows of the clock end on these, too."""
    told = [
        (decisions.began_wall_s[world] + ended_s + quota.reset_s, quota.reset_s)
        for attempt, world, ended_s in zip(decisions.attempts, decisions.world, decisions.ended_s, strict=True)
        for quota in attempt.rate_limit.quotas.values()
        if quota.reset_s
    ]
    if len(told) < _FEWEST_INSTANTS:
        return False
    instants_s, reset_s = np.array(told).T
    if reset_s.max() <= _SECOND or _share_at(instants_s, 10.0) > _MOST_ON_THE_SECOND:
        return False
    return _share_at(instants_s, 1.0) > _MOST_ON_THE_SECOND


def _share_at(instants_s: Floats, step_s: float) -> float:
    """How many of the instants are multiples of `step_s`."""
    off_s = np.abs(instants_s - step_s * np.round(instants_s / step_s))
    return float((off_s < _ON_THE_SECOND).mean())


def read_stated(decisions: Decisions) -> dict[str, Stated]:
    """What headers say, by unit; a unit that hardly any answer states is left out."""
    stated: dict[str, Stated] = {}
    is_rounded = read_dialect(decisions) == "anthropic"  # tokens to thousands, resets to seconds
    for unit in RATES:
        quotas = [attempt.rate_limit.quotas.get(unit) for attempt in decisions.attempts]
        told = [quota for quota in quotas if quota is not None]
        if len(told) < max(1.0, _STATED_SHARE * len(decisions)):
            continue
        limit = _column([(quota.limit or None) if quota else None for quota in quotas]) / decisions.scale
        remaining = _column([quota.remaining if quota else None for quota in quotas]) / decisions.scale
        reset_s = _column([quota.reset_s if quota else None for quota in quotas])
        reset_s[reset_s > _NEVER_S] = np.nan
        is_whole = unit != "requests" and is_rounded
        if is_whole:
            remaining[remaining >= limit] = np.nan  # cut off at the limit when it was read
        stated[unit] = Stated(
            limit=_median(limit[decisions.scale == 1.0]),  # what is scaled was rounded before
            remaining=remaining,
            reset_s=reset_s,
            grain=1000.0 if is_whole else 1.0,
            reset_grain_s=_SECOND if is_rounded else 0.1,
        )
    return stated


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values])
