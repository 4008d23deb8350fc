from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.pipeline.metrics import in_flight_steps, mean_in_flight, summarise_attempts
from tagspace_lab.records import Attempt, Outcome
from tests.fakes import examples


def make(started_s: float, ended_s: float, call: int = 1, number: int = 1, outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt(call, number, "primary", started_s, ended_s, outcome, 200, 1, 0, 0, 0, 0.0, 1, 1.0)


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)), max_size=12)


def test_no_attempts_are_all_zeros() -> None:
    metrics = summarise_attempts([], 0)
    assert (metrics.total_ai_calls, metrics.attempts, metrics.peak_concurrency, metrics.mean_concurrency) == (
        0,
        0,
        0,
        0,
    )


def test_prompts_retries_and_refusals_are_counted_apart() -> None:
    attempts = [
        make(0, 1, call=1, outcome=Outcome.RATE_LIMITED),
        make(1, 2, call=1, number=2, outcome=Outcome.OVERLOADED),
        make(2, 4, call=1, number=3),
        make(3, 5, call=2),
    ]
    metrics = summarise_attempts(attempts, fallbacks=1)
    assert (metrics.total_ai_calls, metrics.attempts, metrics.retries) == (2, 4, 2)
    assert (metrics.rate_limit_errors, metrics.fallbacks, metrics.peak_concurrency) == (1, 1, 2)
    assert metrics.mean_concurrency == pytest.approx(6 / 5)


def test_mean_counts_only_the_time_in_which_any_were() -> None:
    attempts = [make(0, 2), make(1, 3), make(10, 11)]
    assert mean_in_flight(attempts) == pytest.approx(5 / 4)
    assert mean_in_flight(attempts, from_s=1, until_s=2) == 2
    assert mean_in_flight(attempts, from_s=4, until_s=9) == 0


@examples(200)
@given(spans)
def test_steps_are_never_negative_and_end_at_none(pairs: list[tuple[int, int]]) -> None:
    attempts = [make(start, start + length) for start, length in pairs]
    steps = list(in_flight_steps(attempts))
    assert all(count >= 0 for _, count in steps)
    assert [at_s for at_s, _ in steps] == sorted(at_s for at_s, _ in steps)
    assert not steps or steps[-1][1] == 0
    busy_s = sum(length for _, length in pairs)
    assert mean_in_flight(attempts) <= max(1, len(pairs))
    assert math.isclose(mean_in_flight(attempts) * _covered_s(attempts), busy_s)


def _covered_s(attempts: list[Attempt]) -> float:
    return float(len({second for one in attempts for second in range(int(one.started_s), int(one.ended_s))}))
