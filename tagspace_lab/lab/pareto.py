"""Which of several results no other beats in everything, and which of those is nearest to the best of everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["find_front", "find_knee"]

Point = Sequence[float]


def find_front(points: Sequence[Point]) -> list[int]:
    """The positions of the points that no other dominates, smaller being better; of equal ones the first."""
    return [
        number
        for number, point in enumerate(points)
        if not any(_dominates(other, point) or (other == point and at < number) for at, other in enumerate(points))
    ]


def find_knee(points: Sequence[Point]) -> int:
    """The position of the point that is nearest to the best value of every column, each scaled to its range."""
    values = np.asarray(points, "float64")
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = np.divide(values - low, span, out=np.zeros_like(values), where=span > 0)
    return int(np.argmin(np.linalg.norm(scaled, axis=1)))


def _dominates(one: Point, other: Point) -> bool:
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))
