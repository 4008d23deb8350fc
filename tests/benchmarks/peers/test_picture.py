"""Names in a margin."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.picture import spread

GAP = 0.08


def test_names_with_room_stay_where_they_are() -> None:
    assert spread([0.9, 0.1, 0.5], GAP) == pytest.approx([0.9, 0.1, 0.5])


def test_names_that_touch_part_around_their_middle() -> None:
    assert spread([0.5, 0.5], GAP) == pytest.approx([0.46, 0.54])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_names_never_overlap_and_stay_in_order_and_inside(places: list[float]) -> None:
    moved = spread(places, GAP)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in moved)
    ordered = [place for _, place in sorted(zip(places, moved, strict=True))]
    assert all(upper - lower >= GAP - 1e-9 for lower, upper in pairwise(ordered))
