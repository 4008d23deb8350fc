from __future__ import annotations

import math
import random

import pytest

from tagspace_lab.policy.limits import Cubic, Start
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, failed, refused

COST = Cost(100, 10)
BEGAN_S = 100.3  # no round number: the buckets count from the first call
GOOD = answered(["1"])


def make() -> Cubic:
    limiter = Cubic(Settings(max_ai_concurrency=10), random.Random(0))
    limiter.on_start(Start(BEGAN_S, COST, 1))
    return limiter


def end_calls(limiter: Cubic, after_s: float, count: int = 1, reply: Reply = GOOD) -> float:
    for _ in range(count):
        limiter.on_end(BEGAN_S + after_s, Start(BEGAN_S, COST, 1), reply)
    return limiter.pace_per_s


def make_throttled() -> Cubic:
    """44 answers and a refusal in the first second: 45 a second, smoothed 0.8 * 45 = 36, cut to 0.7 * 36 = 25.2.

    k is then (0.3 * 36 / 0.4)^(1/3) = 27^(1/3) = 3 s.
    """
    limiter = make()
    assert end_calls(limiter, 0.25, 44) == math.inf
    assert end_calls(limiter, 1.0, reply=refused()) == pytest.approx(25.2)
    return limiter


def ready_after_s(limiter: Cubic, after_s: float, in_flight: int = 0) -> float:
    return limiter.ready_at(BEGAN_S + after_s, in_flight, COST) - BEGAN_S


def start_call(limiter: Cubic, after_s: float) -> None:
    limiter.on_start(Start(BEGAN_S + after_s, COST, 1))


def test_before_the_first_refusal_only_the_ceiling_holds() -> None:
    limiter = make()
    for number in range(50):
        start_call(limiter, number / 100)
        end_calls(limiter, number / 100, reply=failed() if number % 2 else GOOD)
    assert limiter.window == 10
    assert ready_after_s(limiter, 0.5, in_flight=9) == pytest.approx(0.5)
    assert ready_after_s(limiter, 0.5, in_flight=10) == math.inf


def test_rate_is_cut_and_grows_along_the_cubic() -> None:
    limiter = make_throttled()
    # 0.2 s later: 0.4 * (0.2 - 3)^3 + 36 = 27.2192
    assert end_calls(limiter, 1.2, 50) == pytest.approx(27.2192)
    # after k s: w again; 51 ends in 3 s are 17 a second, smoothed 0.8 * 17 + 0.2 * 36 = 20.8: twice that is more
    assert end_calls(limiter, 4.0) == pytest.approx(36.0)


def test_rate_grows_to_twice_the_measured_one_at_most() -> None:
    limiter = make_throttled()
    # one end in 3 s: 0.8 / 3 + 0.2 * 36 = 7.466667, twice is less than w
    assert end_calls(limiter, 4.0) == pytest.approx(14.933333)


def test_second_cut_starts_at_the_lower_of_what_was_sent_and_what_was_allowed() -> None:
    limiter = make_throttled()
    assert end_calls(limiter, 1.1, reply=refused()) == pytest.approx(0.7 * 25.2)  # sent 36
    # 2 ends in 3 s: 0.8 * 2 / 3 + 0.2 * 36 = 7.733333; w is 25.2, k = 18.9^(1/3) = 2.663775, allowed
    # 0.4 * (2.9 - 2.663775)^3 + 25.2 = 25.205273, of which twice the measured rate is less
    limiter = make_throttled()
    end_calls(limiter, 1.1)
    assert end_calls(limiter, 4.0, reply=refused()) == pytest.approx(0.7 * 7.733333)


def test_refusal_in_the_first_half_second_leaves_the_slowest_rate() -> None:
    assert end_calls(make(), 0.49, reply=refused()) == 0.5
    # a bucket is over when an end falls into the next: 0.8 * 1 / 0.5 = 1.6, cut to 1.12
    assert end_calls(make(), 0.5, reply=refused()) == pytest.approx(1.12)


def test_every_other_failure_is_no_refusal_and_a_cancelled_call_is_not_counted() -> None:
    limiter = make()
    assert end_calls(limiter, 0.5, 5, failed()) == math.inf
    # 5 ends: 8 a second after the first, which closed its bucket with 1: 0.8 * 2 = 1.6; 4 more up to the refusal
    end_calls(limiter, 0.9, 7, Reply(Outcome.CANCELLED))
    # 5 ends in half a second: 0.8 * 10 + 0.2 * 1.6 = 8.32, cut to 5.824; the refused one is the fifth
    assert end_calls(limiter, 1.0, reply=refused()) == pytest.approx(5.824)


def test_tokens_come_at_the_rate_and_a_second_of_them_is_kept() -> None:
    limiter = make()
    end_calls(limiter, 0.1, reply=refused())
    # 0.1 s at 1 a second before the refusal, then 0.5 a second: the other 0.9 take 1.8 s
    assert ready_after_s(limiter, 0.1) == pytest.approx(1.9)
    assert ready_after_s(limiter, 1.0) == pytest.approx(1.9)
    start_call(limiter, 1.9)
    assert ready_after_s(limiter, 1.9) == pytest.approx(3.9)
    # a minute's tokens: one is kept
    assert ready_after_s(limiter, 61.9) == pytest.approx(61.9)
    start_call(limiter, 61.9)
    assert ready_after_s(limiter, 61.9) == pytest.approx(63.9)


def test_bucket_fills_from_the_first_call_on() -> None:
    limiter = make()
    end_calls(limiter, 0.5)
    end_calls(limiter, 0.6, reply=refused())
    # 0.5 s at 1 a second; then 0.4 * 0.5^3 = 0.05, at least 0.5, for 0.1 s: 0.55. Measured is 0.8 * 2 = 1.6,
    # cut to 1.12: the other 0.45 take 0.45 / 1.12 = 0.401786 s
    assert ready_after_s(limiter, 0.6) == pytest.approx(1.001786)


def test_full_bucket_lets_a_second_of_calls_go_at_once() -> None:
    limiter = make_throttled()
    # after a second at 25.2 there are 25.2 in it: 25 go, the rest of the next takes 0.8 / 25.2 s
    for _ in range(25):
        assert ready_after_s(limiter, 3.0) == pytest.approx(3.0)
        start_call(limiter, 3.0)
    assert ready_after_s(limiter, 3.0) == pytest.approx(3.0 + 0.8 / 25.2)


def test_call_is_ready_at_the_very_instant_that_was_said() -> None:
    limiter, ready_s = make_throttled(), BEGAN_S + 3.0
    for _ in range(1000):
        ready_s = limiter.ready_at(ready_s, 0, COST)
        assert limiter.ready_at(ready_s, 0, COST) == ready_s
        limiter.on_start(Start(ready_s, COST, 1))


def test_refused_call_stays_away_for_a_random_part_of_one_two_four_up_to_twenty_seconds() -> None:
    limiter, dice = make(), random.Random(0)
    for refusals, most_s in [(1, 1.0), (2, 2.0), (5, 16.0), (6, 20.0), (5_000, 20.0)]:
        assert limiter.retry_delay_s(refusals, refused()) == most_s * dice.random()
    assert limiter.retry_delay_s(1, refused(7.0)) == 7.0
    assert limiter.retry_delay_s(1, refused(500.0)) == dice.random()
