"""Which settings a study steps away from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.objective import Referee, Verdict
from tagspace_lab.lab.search import find_leaders
from tagspace_lab.lab.workers import Workers
from tagspace_lab.settings import Settings

Judge = Callable[[Sequence[Settings], Goals], list[Verdict]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Verdicts on `small`, where more calls at once are faster and larger batches need fewer calls."""

    def on_small(candidates: Sequence[Settings], goals: Goals) -> list[Verdict]:
        with Workers("small", "openai-tier1") as workers:
            return list(Referee.prepare(workers, Settings(), goals, [1], 1).judge(candidates))

    return on_small


def settings(size: int, ceiling: int) -> Settings:
    return Settings(ai_concurrency=ceiling, max_ai_concurrency=ceiling, batch_size=size, cache_size=15)


def test_two_batch_sizes_lead(judge: Judge) -> None:
    """The second best of the same batch size has to wait."""
    verdicts = judge([settings(5, 1), settings(2, 15), settings(2, 14), settings(2, 13)], Goals())
    assert find_leaders(verdicts) == [settings(2, 13), settings(5, 1)]


def test_what_would_be_better_and_misses_a_goal_by_least_leads_too(judge: Judge) -> None:
    """15 pages at batch size 1, 2 and 3 are 15, 8 and 5 calls."""
    verdicts = judge([settings(1, 15), settings(2, 15), settings(3, 1), settings(5, 1)], Goals(max_calls=7))
    assert [verdict.feasible for verdict in verdicts] == [False, False, True, True]
    assert find_leaders(verdicts)[2:] == [settings(2, 15)]


def test_what_misses_a_goal_and_would_not_be_better_does_not_lead(judge: Judge) -> None:
    verdicts = judge([settings(1, 1), settings(5, 3)], Goals(max_calls=7))
    assert find_leaders(verdicts) == [settings(5, 3)]


def test_where_nothing_keeps_the_goals_the_nearest_to_them_leads(judge: Judge) -> None:
    verdicts = judge([settings(1, 15), settings(5, 1), settings(2, 15)], Goals(max_calls=1))
    assert find_leaders(verdicts) == [settings(5, 1)]
