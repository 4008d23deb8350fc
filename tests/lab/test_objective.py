"""Goals are limits that are kept at equality; prices only decide between equals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.goals import SEEKS
from tagspace_lab.lab.objective import (
    Goals,
    Measured,
    Referee,
    find_excess,
    find_f1_loss,
    find_price,
    find_upkeep,
    pool,
)
from tagspace_lab.lab.workers import Workers
from tagspace_lab.settings import Settings

MEASURED = Measured(
    makespan_s=10.0,
    bound_s=5.0,
    best_bound_s=4.0,
    rate_limit_share=0.05,
    calls=30.0,
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
    assert 0 < find_upkeep(dear) - find_upkeep(cheap) <= 0.1 + 1e-9


def test_limits_on_calls_tokens_and_makespan_count_only_where_they_are_set() -> None:
    excess = find_excess(MEASURED, MEASURED, Goals(max_calls=20, max_tokens=100_000, max_makespan_s=11))
    assert (excess["calls"], excess["tokens"], excess["makespan_s"]) == pytest.approx((10, 0, -1))
    assert "calls" not in find_excess(MEASURED, MEASURED, Goals())


SETTINGS = (Settings(), Settings(batch_size=20), Settings(max_ai_concurrency=40, ai_concurrency=20))


def judge(scenario: str | list[str], goals: Goals = Goals(), seeds: int = 2) -> tuple[Referee, list[float]]:  # noqa: B008
    """The objectives of SETTINGS."""
    with Workers("small", scenario) as workers:
        referee = Referee.prepare(workers, Settings(), goals, range(seeds), 2)
        return referee, [verdict.objective_s for verdict in referee.judge(SETTINGS)]


def test_objective_is_the_mean_of_its_costs_and_prices() -> None:
    referee, objectives = judge("openai-tier1")
    measured = pool(referee.todays)
    assert objectives[0] == pytest.approx(measured.makespan_s + 2e-6 * measured.tokens + find_upkeep(Settings()))


def test_tokens_decide_only_what_is_equal() -> None:
    referee, (first, *_) = judge("openai-tier1")
    cheaper = [[replace(run, input_tokens=run.input_tokens - 5_000) for run in runs] for runs in referee.todays]
    assert first - 0.02 < referee.rule(Settings(), cheaper).objective_s < first


def test_scenarios_count_alike_however_long_they_take() -> None:
    """Doubled on the slow one or on the quick one, the objective grows by the same."""
    referee, (today_s, *_) = judge(["openai-tier1", "anthropic-tier1"])
    grown = []
    for place in range(2):
        runs = [list(one) for one in referee.todays]
        runs[place::2] = [[replace(run, makespan_s=2 * run.makespan_s) for run in one] for one in runs[place::2]]
        grown.append(referee.rule(Settings(), runs).objective_s - today_s)
    assert grown[0] == pytest.approx(grown[1])


def test_worst_case_is_no_better_than_the_tail_and_that_than_the_mean() -> None:
    means, tails, worst = (judge("openai-tier1", Goals(over=over), seeds=8)[1] for over in ("mean", "cvar", "worst"))
    for mean, tail, most in zip(means, tails, worst, strict=True):
        assert mean < tail < most


def test_goal_is_kept_only_where_every_place_keeps_it() -> None:
    """Refused in one place alone: together the goal would pass."""
    referee, _ = judge(["openai-tier1", "azure"])
    runs = [list(one) for one in referee.todays]
    runs[1::2] = [[replace(run, rate_limit_errors=run.attempts) for run in one] for one in runs[1::2]]
    verdict = referee.rule(Settings(), runs)
    assert verdict.excess["rate_limit_share"] == pytest.approx(1 - 0.05)
    assert verdict.measured.rate_limit_share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seek", SEEKS)
def test_each_goal_prices_what_it_is_named_for(seek: str) -> None:
    referee, _ = judge("openai-tier1", seeds=1)
    (run, *_), *_ = referee.todays
    dearer = {
        "fastest": replace(run, makespan_s=run.makespan_s + 1),
        "cheapest": replace(run, input_tokens=run.input_tokens + 1_000),
        "gentlest": replace(run, rate_limit_errors=run.rate_limit_errors + 1),
        "balanced": replace(run, rate_limit_errors=run.rate_limit_errors + 1),
    }[seek]
    assert find_price(dearer, SEEKS[seek]) - find_price(run, SEEKS[seek]) >= 1 - 1e-9


def test_first_seeds_alone_are_judged_by_the_same_seeds_one_by_one() -> None:
    referee, _ = judge("openai-tier1", seeds=3)
    verdict = referee.rule(Settings(batch_size=1), referee.one_by_one[:2])
    assert verdict.is_partial
    assert verdict.f1_loss == 0


@pytest.mark.parametrize("goal", ["max_rate_limit_share", "max_f1_loss", "max_errors"])
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_negative_goal_is_refused(goal: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{goal} is {value}; allowed: a number from 0"):
        Goals(**{goal: value})  # type: ignore[arg-type]
