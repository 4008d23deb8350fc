from __future__ import annotations

import math
import random

import pytest

from tagspace_lab.policy.limits import Start, Vegas
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, failed, refused

GOOD = answered(["1"])


def make(concurrency: int, ceiling: int = 100) -> Vegas:
    return Vegas(Settings(ai_concurrency=concurrency, max_ai_concurrency=ceiling), random.Random(0))


def end_call(limiter: Vegas, rtt_s: float, in_flight: int = 100, reply: Reply = GOOD) -> float:
    limiter.on_end(50.0 + rtt_s, Start(50.0, Cost(), in_flight), reply)
    return limiter.window


@pytest.mark.parametrize(
    ("window", "no_load_s", "then"),
    [
        # log10 of 16 is one step of 1; an answer after 16 s has 16 * (1 - no_load / 16) calls in the queue
        (16, 16.0, 22),  # none: 6 steps up
        (16, 15.0, 22),  # 1: no more than a step, 6 steps up
        (16, 14.0, 17),  # 2: less than 3, a step up
        (16, 13.0, 16),  # 3: well
        (16, 10.0, 16),  # 6: well
        (16, 9.0, 15),  # 7: more than 6, a step down
        (16, 14.5, 17),  # 1.5, rounded up to 2
        (98, 16.0, 100),  # 6 steps up, but for the ceiling
        # log10 of 100 is two steps of 1
        (100, 12.0, 98),  # 25: more than 12, two down
        (100, 14.0, 98),  # 12.5, rounded up to 13: two down
        (100, 14.25, 100),  # 10.9, rounded up to 11: well
        (1, 1.0, 7),  # 0.9, rounded up to 1: the last call alone makes no queue
    ],
)
def test_window_follows_the_queue(window: int, no_load_s: float, then: int) -> None:
    limiter = make(window)
    assert end_call(limiter, no_load_s) == window  # the first answer only sets the no-load time
    assert end_call(limiter, 16.0) == then


def test_shorter_time_is_the_new_no_load_time_and_moves_nothing() -> None:
    limiter = make(16)
    # no load 16, then 9: 16 * (1 - 9 / 16) = 7 calls in the queue
    assert [end_call(limiter, rtt_s) for rtt_s in (16.0, 9.0, 16.0)] == [16, 16, 15]


def test_window_holds_while_less_than_half_of_it_is_in_use() -> None:
    limiter = make(16)
    assert [end_call(limiter, 1.0, in_flight) for in_flight in (7, 7, 8)] == [16, 16, 22]


def test_drop_is_a_step_down_and_its_time_no_sample() -> None:
    limiter = make(100)
    # log10 of 100 is 2, of 98 it is 1; had a refusal after 0.01 s set the no-load time, 97 calls would queue
    assert [end_call(limiter, 0.01, reply=refused()) for _ in range(2)] == [98, 97]
    assert [end_call(limiter, 1.0) for _ in range(2)] == [97, 100]
    assert end_call(limiter, 60.0, reply=failed(Outcome.TIMED_OUT)) == 98


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.REFUSED, Outcome.EXHAUSTED])
def test_what_says_nothing_of_the_load_changes_nothing(outcome: Outcome) -> None:
    limiter = make(16)
    end_call(limiter, 16.0)
    assert end_call(limiter, 1.0, reply=failed(outcome)) == 16
    assert end_call(limiter, 16.0) == 22


def test_last_slot_is_never_taken() -> None:
    limiter = make(2)
    assert [end_call(limiter, 1.0, reply=refused()) for _ in range(3)] == [1, 1, 1]


def test_no_load_time_is_measured_anew_after_thirty_windows_less_some_jitter() -> None:
    limiter, dice = make(6), random.Random(0)
    end_call(limiter, 1.0)
    # at 2 s 6 * (1 - 1 / 2) = 3 calls queue, which is well, until 2 s is the no-load time: then none does
    first = math.ceil(30 * 6 * dice.uniform(0.5, 1.0))
    assert [end_call(limiter, 2.0) for _ in range(first)] == [6] * (first - 1) + [12]
    # at 4 s 12 * (1 - 2 / 4) = 6 calls queue, which is well; the last answer above is the first sample
    second = math.ceil(30 * 12 * dice.uniform(0.5, 1.0))
    assert [end_call(limiter, 4.0) for _ in range(second)] == [12] * (second - 1) + [18]


def test_call_that_took_no_time_at_all_makes_no_queue() -> None:
    limiter = make(16)
    assert [end_call(limiter, 0.0) for _ in range(2)] == [16, 22]
