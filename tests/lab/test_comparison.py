"""Pairs stay together, and every purpose has seeds of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.lab.comparison import STREAMS, compare, draw_seeds, find_last_days
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.lab.workers import Place
from tagspace_lab.twin.scenario import load_scenario


def test_gain_is_the_share_of_time_saved() -> None:
    halved = compare([10.0, 20.0, 30.0], [5.0, 10.0, 15.0])
    assert halved.gain == pytest.approx(0.5)
    assert halved.interval == pytest.approx((0.5, 0.5))


def test_pairs_stay_together() -> None:
    """Unpaired, these makespans would overlap so far that nothing could be said."""
    comparison = compare([1.0, 10.0, 100.0], [0.9, 9.0, 91.0])
    assert comparison.interval[0] > 0.08


def test_gain_of_one_seed_alone_is_doubtful() -> None:
    comparison = compare([10.0, 10.0, 10.0, 20.0], [10.5, 10.5, 10.5, 5.0])
    assert comparison.gain > 0 > comparison.interval[0]


def test_nothing_saved_where_nothing_takes_time() -> None:
    assert compare([0.0, 0.0], [0.0, 0.0]).gain == 0


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 10_000)), min_size=2, max_size=2, unique=True))
def test_no_two_purposes_share_a_seed(draws: list[tuple[str, int]]) -> None:
    first, second = (set(draw_seeds(purpose, seed, 1000)) for purpose, seed in draws)
    assert not first & second


def test_last_days_are_those_after_the_runs_of_a_study() -> None:
    place = Place(load_space("small"), load_scenario("openai-tier1"))
    assert find_last_days([place], 2) == place.space.last_day - 1
    assert find_last_days([place], place.space.last_day + 9) == 0
