"""A front is what nothing beats, and its knee lies on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.lab.pareto import find_front, find_knee

points = st.lists(st.tuples(*[st.integers(0, 9).map(float)] * 3), min_size=1, max_size=30)


@given(points)
def test_nothing_beats_the_front_and_something_beats_all_else(cloud: list[tuple[float, ...]]) -> None:
    front = find_front(cloud)
    assert front
    for number, point in enumerate(cloud):
        better = [other for other in cloud if other != point and all(a <= b for a, b in zip(other, point, strict=True))]
        repeated = point in cloud[:number]
        assert (number in front) == (not better and not repeated)


@given(points, st.permutations([0, 1, 2]), st.integers(2, 5))
def test_knee_does_not_depend_on_units(cloud: list[tuple[float, ...]], order: list[int], factor: int) -> None:
    front = [cloud[number] for number in find_front(cloud)]
    scaled = [(point[0] * factor, *point[1:]) for point in front]
    assert 0 <= find_knee(front) < len(front)
    assert find_knee(scaled) == find_knee(front)


def test_knee_is_where_little_of_either_is_lost() -> None:
    assert find_knee([(0.0, 10.0, 0.0), (1.0, 1.0, 0.0), (10.0, 0.0, 0.0)]) == 1
    assert find_knee([(3.0, 2.0, 1.0)]) == 0


def test_equal_points_are_one() -> None:
    assert find_front([(1.0, 1.0), (1.0, 1.0), (2.0, 0.0), (2.0, 2.0)]) == [0, 2]


def test_front_of_nothing_is_nothing() -> None:
    assert find_front([]) == []
    with pytest.raises(ValueError):
        find_knee([])
