"""Goals are limits that are kept at equality; prices only decide between equals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.objective import Goals, Measured, find_excess, find_f1_loss, find_objective
from tagspace_lab.settings import Settings

MEASURED = Measured(
    makespan_s=10.0,
    bound_s=5.0,
    best_bound_s=4.0,
    rate_limit_share=0.05,
    tokens=100_000.0,
    concurrency=3.0,
    hit_rate=0.5,
    f1=0.9,
    errors=2,
)


def test_goal_is_kept_at_its_limit() -> None:
    one_by_one = replace(MEASURED, f1=0.92)
    goals = Goals(max_rate_limit_share=0.05, max_f1_loss=0.02, max_errors=0)
    assert find_excess(MEASURED, one_by_one, goals) == pytest.approx({"rate_limit_share": 0, "f1_loss": 0, "errors": 0})


def test_each_goal_is_missed_by_its_own_excess() -> None:
    one_by_one = replace(MEASURED, f1=0.95, errors=1)
    excess = find_excess(MEASURED, one_by_one, Goals(max_rate_limit_share=0.01))
    assert excess == pytest.approx({"rate_limit_share": 0.04, "f1_loss": 0.03, "errors": 1})


def test_space_without_gold_labels_loses_no_quality() -> None:
    assert find_f1_loss(replace(MEASURED, f1=None), replace(MEASURED, f1=None)) == 0


@pytest.mark.parametrize(
    ("cheap", "dear"),
    [
        (Settings(max_ai_concurrency=10), Settings(max_ai_concurrency=11)),
        (Settings(cache_size=150), Settings(cache_size=300)),
        (Settings(cache_enabled=False), Settings(cache_enabled=True)),
    ],
)
def test_less_wins_a_tie_by_under_a_tenth_of_a_second(cheap: Settings, dear: Settings) -> None:
    assert 0 < find_objective(dear, MEASURED) - find_objective(cheap, MEASURED) <= 0.1


def test_fewer_tokens_win_a_tie() -> None:
    assert find_objective(Settings(), MEASURED) > find_objective(Settings(), replace(MEASURED, tokens=90_000.0))


@pytest.mark.parametrize("goal", ["max_rate_limit_share", "max_f1_loss", "max_errors"])
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_negative_goal_is_refused(goal: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{goal} is {value}; allowed: a number from 0"):
        Goals(**{goal: value})  # type: ignore[arg-type]
