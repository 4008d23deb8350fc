from __future__ import annotations

import random

import pytest

from tagspace_lab.policy.limits import Aimd, Start
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, failed, refused

GOOD = answered(["1"])


def make(concurrency: int, ceiling: int = 20) -> Aimd:
    return Aimd(Settings(ai_concurrency=concurrency, max_ai_concurrency=ceiling), random.Random(0))


def end_call(limiter: Aimd, reply: Reply, in_flight: int = 20) -> float:
    limiter.on_end(2.0, Start(1.0, Cost(), in_flight), reply)
    return limiter.window


def test_answer_with_half_the_window_in_use_adds_one_up_to_the_ceiling() -> None:
    limiter = make(8, ceiling=11)
    # twice 4 is 8: grows; twice 4 is less than 9: holds; twice 5 is more
    assert [end_call(limiter, GOOD, in_flight) for in_flight in (4, 4, 5, 11, 11)] == [9, 9, 10, 11, 11]


def test_each_drop_of_a_burst_takes_a_tenth_rounded_down_and_never_the_last() -> None:
    limiter = make(11)
    # 9.9, 8.1, 7.2, 6.3, 5.4, 4.5, 3.6, 2.7, 1.8, 0.9
    assert [end_call(limiter, refused()) for _ in range(10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 1]


@pytest.mark.parametrize("outcome", [Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.UNREACHABLE])
def test_overload_and_silence_are_drops_too(outcome: Outcome) -> None:
    assert end_call(make(10), failed(outcome)) == 9


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.REFUSED, Outcome.EXHAUSTED])
def test_what_says_nothing_of_the_load_changes_nothing(outcome: Outcome) -> None:
    assert end_call(make(10), failed(outcome)) == 10
