from __future__ import annotations

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.caches import hits_by_day, trace_days
from tagspace_lab.lab.replay import replay
from tagspace_lab.settings import Settings
from tagspace_lab.twin.spaces import GeneratedSpace

SPACE = GeneratedSpace("wiki", pages=60, seed=3)


def test_first_day_hits_nothing_and_the_best_is_never_worse_over_all_days() -> None:
    frame = hits_by_day(SPACE, [10, 30, 100], days=12)
    assert len(frame) == 36
    assert (frame.query("day == 0")[["hit_rate", "best_hit_rate"]] == 0).all(axis=None)
    sums = frame.groupby("cache_size")[["hit_rate", "best_hit_rate"]].sum()
    assert (sums["hit_rate"] <= sums["best_hit_rate"] + 1e-12).all()
    assert sums["best_hit_rate"].is_monotonic_increasing


def test_cache_as_large_as_the_space_hits_all_that_was_not_edited() -> None:
    frame = hits_by_day(SPACE, [200], days=12)
    assert list(frame["hit_rate"]) == list(frame["best_hit_rate"])
    assert frame["hit_rate"].iloc[-1] > 0.9


def test_days_hit_what_replays_of_these_days_hit() -> None:
    """The same keys: where no two pages are alike, the look-ups of a run are those of a day."""
    shares = hits_by_day(SPACE, [25], days=3)["hit_rate"]
    report = replay(SPACE, "guide", Settings(cache_size=25), runs=3, progress=False)
    assert list(shares) == [pytest.approx(run.hit_rate) for run in report.runs]


def test_equal_texts_of_a_day_are_asked_for_once() -> None:
    for keys in trace_days(SPACE, 2):
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("sizes", "days"), [([0], 3), ([], 3), ([5], 0)])
def test_counts_below_one_are_refused(sizes: list[int], days: int) -> None:
    with pytest.raises(InputError, match="allowed: integers from 1"):
        hits_by_day(SPACE, sizes, days)
