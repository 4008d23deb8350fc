"""What teams report of the method, held against the scenario `guide`: medians of 20 seeds with today's settings."""

from __future__ import annotations

from statistics import median

import pytest

from tagspace_lab.lab.replay import baseline_settings, measure
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import load_scenario

SEEDS = range(20)


def medians(space: str, settings: Settings, runs: int = 2) -> list[dict[str, float]]:
    """The median of every number, one mapping a run."""
    pages, scenario = load_space(space), load_scenario("guide")
    replays = [measure(pages, scenario, settings, runs=runs, seed=seed) for seed in SEEDS]
    names = [name for name in RunSummary.__slots__ if name not in ("run", "binds", "f1")]
    return [{name: median(getattr(replay[run], name) for replay in replays) for name in names} for run in range(runs)]


def test_small_space_takes_half_a_minute_and_then_nothing() -> None:
    first, second = medians("small", Settings())
    assert first["makespan_s"] < 30
    assert 2 <= first["calls"] <= 4
    assert first["rate_limit_errors"] == second["rate_limit_errors"] == 0
    assert second["hit_rate"] > 0.7


def test_medium_space_takes_two_minutes_with_hardly_a_refusal() -> None:
    first, second = medians("medium", Settings())
    assert first["makespan_s"] <= 120
    assert 20 <= first["calls"] <= 40
    assert first["rate_limit_errors"] < 3
    assert first["fallbacks"] == second["fallbacks"] == 0
    assert second["hit_rate"] > 0.7


def test_large_space_takes_ten_minutes_and_settles() -> None:
    first, second = medians("large", Settings())
    assert first["makespan_s"] <= 600
    assert 100 <= first["calls"] <= 150
    assert 2.5 <= first["settled_concurrency"] <= 4.5
    assert second["hit_rate"] >= 0.6


def test_the_way_of_before_storms() -> None:
    (before,) = medians("medium", baseline_settings(Settings()), runs=1)
    assert 100 <= before["calls"] <= before["attempts"] <= 200
    assert before["rate_limit_errors"] >= 15
    assert before["fallbacks"] >= 10


@pytest.mark.parametrize("space", ["small", "medium", "large"])
def test_nothing_is_lost_on_any_seed(space: str) -> None:
    pages, scenario = load_space(space), load_scenario("guide")
    for seed in SEEDS[:5]:
        for run in measure(pages, scenario, Settings(), seed=seed):
            assert run.pages == len(pages) == run.tagged + run.cached + run.skipped
