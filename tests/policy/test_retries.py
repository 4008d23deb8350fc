from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.retries import RetryBudget, Verdict, backoff_s, judge_failure
from tagspace_lab.records import Outcome
from tests.fakes import examples


@pytest.mark.parametrize(
    ("outcome", "status", "attempts", "pages", "verdict"),
    [
        (Outcome.RATE_LIMITED, 429, 1, 5, Verdict.WAIT),
        (Outcome.RATE_LIMITED, 429, 99, 1, Verdict.WAIT),
        (Outcome.EXHAUSTED, 429, 1, 5, Verdict.CLOSE),
        (Outcome.REFUSED, 401, 1, 5, Verdict.CLOSE),
        (Outcome.REFUSED, 403, 1, 1, Verdict.CLOSE),
        (Outcome.REFUSED, 400, 1, 2, Verdict.SPLIT),
        (Outcome.REFUSED, 413, 1, 1, Verdict.FAIL),
        (Outcome.OVERLOADED, 503, 3, 5, Verdict.RETRY),
        (Outcome.OVERLOADED, 529, 4, 5, Verdict.FAIL),
        (Outcome.UNREACHABLE, 0, 4, 1, Verdict.FAIL),
        (Outcome.TIMED_OUT, 0, 3, 1, Verdict.RETRY),
        (Outcome.TIMED_OUT, 0, 4, 2, Verdict.SPLIT),
        (Outcome.TIMED_OUT, 0, 4, 1, Verdict.FAIL),
    ],
)
def test_table_of_verdicts(outcome: Outcome, status: int, attempts: int, pages: int, verdict: Verdict) -> None:
    assert judge_failure(outcome, status=status, attempts=attempts, max_attempts=4, pages=pages) is verdict


@pytest.mark.parametrize(("pages", "verdict"), [(2, Verdict.SPLIT), (1, Verdict.FAIL)])
def test_refusal_for_its_size_is_not_waited_for(pages: int, verdict: Verdict) -> None:
    judged = judge_failure(Outcome.RATE_LIMITED, status=429, attempts=0, max_attempts=4, pages=pages, is_oversized=True)
    assert judged is verdict


@examples(200)
@given(st.integers(1, 5_000), st.integers())
def test_backoff_doubles_up_to_its_ceiling_with_positive_jitter(failures: int, seed: int) -> None:
    least_s = min(8.0, 0.5 * 2 ** min(failures - 1, 10))
    assert least_s <= backoff_s(failures, random.Random(seed)) <= 1.5 * least_s


def test_backoff_of_many_callers_spreads() -> None:
    rng = random.Random(1)
    waits_s = sorted(backoff_s(1, rng) for _ in range(30))
    assert waits_s[-1] - waits_s[0] > 0.2


def test_budget_lets_some_go_and_then_a_share_of_successes() -> None:
    budget = RetryBudget(share=0.1)
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(9):
        budget.on_success()
    assert not budget.spend()
    budget.on_success()
    budget.on_success()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_budget_is_bounded() -> None:
    budget = RetryBudget(share=1.0)
    for _ in range(10_000):
        budget.on_success()
    assert sum(budget.spend() for _ in range(1_000)) == 100
