"""What races are judged by, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tagspace_lab.lab.arena import Race
from tagspace_lab.lab.races import (
    admitted_s,
    race_all,
    recovery_s,
    score,
    smaller_share,
    tabulate_scores,
    time_to_capacity_s,
)
from tagspace_lab.records import Attempt, Outcome
from tagspace_lab.twin.regimes import Regime
from tagspace_lab.twin.scenario import LimitStep, Outage, Provider
from tagspace_lab.twin.schema import Event

LATENCY_S = 1.0


def attempt(at_s: float, outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt(1, 1, "primary", at_s, at_s + LATENCY_S, outcome, 200, 1, 250, 10, 0, 0.0, 1, 3.0)


def make_race(
    *clients: Sequence[float], undone: int = 0, refused_s: Sequence[float] = (), event: Event | None = None
) -> Race:
    """A race whose clients sent their calls at these times."""
    provider = Provider(events=(event,) if event else ())
    done = sum(map(len, clients))
    calls = done + undone
    regime = Regime(0, "by hand", "none", provider, calls, (250,) * calls, len(clients))
    refused = tuple(attempt(at_s, Outcome.RATE_LIMITED) for at_s in refused_s)
    attempts = tuple(refused + tuple(map(attempt, times)) for times in clients)
    makespan_s = max(max(times) for times in clients) + LATENCY_S
    return Race(regime, "any", makespan_s, makespan_s / 2, "any", done, len(refused), attempts)


STEADY = make_race([float(number) for number in range(99)])
"""One call a second, 99 calls in 99 s: a mean rate of one a second."""


def test_refused_calls_were_not_admitted() -> None:
    assert admitted_s(make_race([3.0, 5.0], [4.0], refused_s=[1.0])) == [3.0, 4.0, 5.0]


def test_capacity_is_reached_by_ten_calls_at_nine_tenths_of_the_rate() -> None:
    slow = [2.0 * number for number in range(20)]  # up to 38 s
    fast = [38.0 + number for number in range(1, 30)]
    assert time_to_capacity_s(STEADY, STEADY) == 10.0
    # Ten gaps may take 10 / 0.9 = 11.1 s: one of 2 s and nine of 1 s do, and end at 47 s.
    assert time_to_capacity_s(make_race(slow + fast), STEADY) == 47.0
    assert time_to_capacity_s(make_race(slow), STEADY) == math.inf
    assert time_to_capacity_s(make_race(slow[:10]), STEADY) is None


@pytest.mark.parametrize(
    "event",
    [
        LimitStep(kind="limits", at_s=40.0, factor=0.5),
        Outage(kind="outage", at_s=20.0, until_s=40.0),
    ],
)
def test_recovery_starts_with_the_step_or_the_end_of_the_outage(event: Event) -> None:
    before = [float(number) for number in range(20)]
    oracle = make_race(before + [40.0 + 2 * number for number in range(31)], event=event)  # 31 calls in 60 s
    # A gap of 10 s, then a call every 2 s: the first ten gaps end 30 s after the step; 10 / (.9 x 31 / 60) = 21.5 s.
    late = make_race(before + [50.0 + 2 * number for number in range(31)], event=event)
    assert recovery_s(late, oracle) == 30.0
    assert recovery_s(oracle, oracle) == 20.0
    assert recovery_s(make_race(before, event=event), oracle) is None


def test_nothing_recovers_without_a_step() -> None:
    assert recovery_s(STEADY, STEADY) is None


def test_smaller_share_looks_at_the_first_half() -> None:
    """19 s in all: the first half ends at 9.5 s, with five calls of the one and three of the other."""
    assert smaller_share(make_race([0, 1, 2, 3, 4, 18], [5, 6, 7, 10, 11, 12])) == pytest.approx(3 / 8)
    assert smaller_share(STEADY) is None


def test_run_that_left_calls_undone_counts_as_nothing() -> None:
    judged = score(make_race([0.0, 1.0], undone=3), STEADY)
    assert (judged.efficiency, judged.of_oracle, judged.undone) == (0.0, 0.0, 3)


def test_score_is_told_beside_the_oracle() -> None:
    judged = score(make_race([2.0 * number for number in range(99)], refused_s=[1.0, 2.0]), STEADY)
    assert judged.of_oracle == pytest.approx(99 / 197)
    assert (judged.efficiency, judged.refusals, judged.undone) == (0.5, 2, 0)
    assert score(STEADY, STEADY).to_capacity == pytest.approx(10 / 99)


def test_throttles_are_raced_in_the_same_regimes_and_the_best_stands_first() -> None:
    scores = race_all([3, 4], ["fixed", "learned"])
    assert [each.throttle for each in scores] == ["fixed", "learned"] * 2
    assert scores[0].calls == scores[1].calls
    table = tabulate_scores(scores)
    of_oracle = table["of_oracle"]
    assert of_oracle.is_monotonic_decreasing
    assert of_oracle["learned"] == pytest.approx((scores[1].of_oracle + scores[3].of_oracle) / 2)
    assert table["worst"]["fixed"] == min(scores[0].of_oracle, scores[2].of_oracle)
    refused = [each.refusals / each.calls for each in scores[1::2]]
    assert table["refusals"]["learned"] == pytest.approx(sum(refused) / 2)
    assert table["undone"].to_dict() == {
        name: sum(s.undone for s in scores if s.throttle == name) for name in table.index
    }
