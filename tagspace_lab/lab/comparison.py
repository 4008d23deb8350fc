"""The seeds and days that each purpose gets, and what paired replays prove of a gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagspace_lab.lab.workers import Place

__all__ = ["STREAMS", "Comparison", "compare", "draw_seeds", "find_last_days"]

STREAMS = ("study", "finals", "proof", "verify")
"""What seeds are drawn for; no two of them ever share one."""

_CONFIDENCE = 0.95
_RESAMPLES = 10_000


def draw_seeds(purpose: str, seed: int, count: int) -> list[int]:
    """`count` seeds that only this purpose gets, whatever its `seed` and that of the others."""
    return [len(STREAMS) * (1000 * seed + number) + STREAMS.index(purpose) for number in range(count)]


def find_last_days(places: Sequence[Place], runs: int) -> int:
    """The first of the last `runs` days that the spaces know edits of: days that studies, from day 0 on, see last."""
    return max(0, min(place.space.last_day for place in places) - runs + 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The share that is saved, and its 95 % interval."""

    gain: float
    interval: tuple[float, float]


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """The gain of paired costs. The resampling has a fixed seed: the same numbers give the same interval."""
    costs, others = np.asarray(before, "float64"), np.asarray(after, "float64")
    drawn = np.random.default_rng(0).integers(len(costs), size=(_RESAMPLES, len(costs)))
    gains = 1 - _ratio(others[drawn].sum(axis=1), costs[drawn].sum(axis=1))
    low, high = np.quantile(gains, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Comparison(float(1 - _ratio(others.sum(), costs.sum())), (float(low), float(high)))


def _ratio(after: Any, before: Any) -> Any:
    """After to before, 1 where neither costs anything."""
    return np.divide(after, before, out=np.ones_like(after), where=before > 0)
