from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits.intervals import CapInterval, RateInterval
from tagspace_lab.twin.meters import Bucket
from tagspace_lab.twin.supply import Supply
from tests.fakes import examples


def probe(rate: RateInterval, bucket: Bucket, now_s: float) -> bool:
    """One call whose end is known at once."""
    rate.on_start(1)
    admitted = bucket.wait_s(1, now_s) <= 0
    if admitted:
        bucket.take(1, now_s)
        rate.on_accepted(now_s, 1)
    else:
        rate.on_refused(now_s, 1, 0.1)
    return admitted


def test_nothing_is_known_before_a_refusal() -> None:
    rate = RateInterval()
    for number in range(100):
        rate.on_start(1)
        rate.on_accepted(number / 10, 1)
    assert (rate.low, rate.high, rate.pace, rate.is_known) == (0.0, math.inf, math.inf, False)


@examples(60)
@given(st.floats(2, 25), st.integers(1, 20))
def test_interval_closes_around_the_true_rate(true_per_s: float, burst: int) -> None:
    rate, bucket = RateInterval(), Bucket(true_per_s, burst, Supply())
    now_s, refusals = 0.0, 0
    for _ in range(400):
        admitted = probe(rate, bucket, now_s)
        refusals += not admitted
        now_s += 1 / rate.pace if admitted or rate.is_known else 0.1
    assert rate.is_known
    assert 0.5 * true_per_s <= rate.pace <= 2 * true_per_s
    assert rate.low <= true_per_s * 1.05
    assert refusals < 120


def test_acceptances_above_what_was_refused_make_it_forget() -> None:
    rate = RateInterval()
    for at_s in (1.0, 2.0):
        rate.on_start(1)
        rate.on_refused(at_s, 1, 0.1)
        rate.on_start(1)
        rate.on_accepted(at_s + 0.5, 1)
    for number in range(200):
        rate.on_start(1)
        rate.on_accepted(3 + number / 100, 1)
    assert rate.high > 20


def test_cap_lies_below_what_was_refused_and_at_what_was_accepted() -> None:
    cap = CapInterval()
    cap.on_accepted(4)
    cap.on_refused(9)
    cap.on_refused(7)
    assert (cap.low, cap.high) == (4, 6)


def test_cap_that_contradicts_itself_was_not_the_cause() -> None:
    cap = CapInterval()
    cap.on_accepted(4)
    cap.on_refused(3)
    assert cap.high == math.inf
