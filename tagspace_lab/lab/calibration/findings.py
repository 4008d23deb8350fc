"""What a trace showed of one quantity, how sure that is, and where it was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagspace_lab.lab.calibration.decisions import Floats

__all__ = ["HEADERS", "LATENCIES", "NOT_SEEN", "REFUSALS", "TOKENS", "Finding", "quantile", "roundest", "share_range"]

HEADERS, REFUSALS, LATENCIES, TOKENS, NOT_SEEN = "headers", "refusals", "latencies", "tokens", "not seen"
"""Where a value comes from. What was not seen is left as the twin has it by default, and is said."""
_Z = 1.96
_WIDE = 1.3


@dataclass(frozen=True, slots=True)
class Finding:
    """One key of the scenario, as `provider.limits.requests_per_min`. `value` None: the key is left out.

    `low` and `high` bound it (95 %, or all values that contradict nothing), None where that has no meaning.
    """

    key: str
    value: float | str | bool | list[list[float]] | None
    source: str
    low: float | None = None
    high: float | None = None
    note: str = ""


def roundest(low: float, high: float, *, middle: float | None = None) -> float:
    """The number with the fewest digits in [low, high], the nearest to the middle of several: limits are round.

    In a wide range everything has a round number, and its middle is the better guess.
    """
    if not 0 < low < high or not math.isfinite(high):
        return low if middle is None else middle
    centre = math.sqrt(low * high) if middle is None else middle
    for digits in range(1 if high < _WIDE * low else 2, 6):
        step = 10.0 ** (math.floor(math.log10(high)) + 1 - digits)
        nearest = round(centre / step) * step
        if low <= nearest <= high:
            return float(f"{nearest:.{digits + 2}g}")
    return centre


def share_range(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    share, z2 = min(1.0, hits / count), _Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def quantile(values: Sequence[float] | Floats, share: float) -> float:
    """The quantile of some values, by straight lines between them; nan for none."""
    return float(np.quantile(np.asarray(values, float), share)) if len(values) else math.nan
