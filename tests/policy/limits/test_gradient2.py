from __future__ import annotations

import random

import pytest

from tagspace_lab.policy.limits import Gradient2, Start
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, failed, refused

GOOD = answered(["1"])


def make(concurrency: int = 10, usual_s: float | None = 1.0) -> Gradient2:
    """`usual_s`: ten calls took so long, while too few were in flight to move the window."""
    limiter = Gradient2(Settings(ai_concurrency=concurrency, max_ai_concurrency=20), random.Random(0))
    for _ in range(10 if usual_s else 0):
        assert end_call(limiter, usual_s or 0.0, in_flight=0) == concurrency
    return limiter


def end_call(limiter: Gradient2, rtt_s: float, in_flight: int = 20, reply: Reply = GOOD) -> float:
    limiter.on_end(50.0 + rtt_s, Start(50.0, Cost(), in_flight), reply)
    return limiter.window


@pytest.mark.parametrize(
    ("window", "last_s", "then"),
    [
        # after ten calls of 1 s the eleventh, of t s, makes the usual time (599 * 1 + 2 t) / 601
        (10, 1.0, 10.8),  # gradient 1.5, at most 1: 0.8 * 10 + 0.2 * (10 + 4)
        (10, 1.5, 10.8),  # usual 602 / 601: just above 1
        (10, 2.0, 10.3049917),  # usual 603 / 601, gradient 904.5 / 1202 = .75249584: 8 + 0.2 * 11.5249584
        (10, 4.0, 9.8),  # gradient .379, at least 0.5: 8 + 0.2 * (5 + 4)
        (8, 4.0, 8.0),  # 6.4 + 0.2 * (4 + 4): where half the speed settles
        (20, 1.0, 20.0),  # the ceiling
        (1, 4.0, 1.7),  # 0.8 + 0.2 * (0.5 + 4)
    ],
)
def test_window_moves_a_fifth_of_the_way(window: int, last_s: float, then: float) -> None:
    assert end_call(make(window), last_s) == pytest.approx(then, abs=1e-7)


def test_usual_time_is_the_mean_of_the_first_ten() -> None:
    limiter = make(usual_s=None)
    end_call(limiter, 1.0, in_flight=1)
    # the mean of 1 and 5 is 3, the gradient 1.5 * 3 / 5 = 0.9: 8 + 0.2 * (9 + 4)
    assert end_call(limiter, 5.0) == pytest.approx(10.6)
    limiter = make(usual_s=None)
    for _ in range(9):
        end_call(limiter, 1.0, in_flight=1)
    # the tenth makes it 1.1, the gradient 1.5 * 1.1 / 2 = .825: 8 + 0.2 * (8.25 + 4)
    assert end_call(limiter, 2.0) == pytest.approx(10.45)


def test_usual_time_of_more_than_twice_the_last_falls_faster() -> None:
    limiter = make(usual_s=10.0)
    end_call(limiter, 4.0, in_flight=1)
    # usual (5990 + 8) / 601 = 9.980033, times 0.95 = 9.481032; then (599 * 9.481032 + 40) / 601 = 9.516037,
    # gradient 1.5 * 9.516037 / 20 = .713703: 8 + 0.2 * (7.13703 + 4)
    assert end_call(limiter, 20.0) == pytest.approx(10.227406, abs=1e-6)
    limiter = make(usual_s=10.0)
    end_call(limiter, 6.0, in_flight=1)
    # usual (5990 + 12) / 601 = 9.986689, not twice 6; then (599 * 9.986689 + 40) / 601 = 10.020011,
    # gradient .751501: 8 + 0.2 * (7.51501 + 4)
    assert end_call(limiter, 20.0) == pytest.approx(10.303002, abs=1e-6)


def test_window_holds_while_less_than_half_of_it_is_in_use() -> None:
    assert end_call(make(), 1.0, in_flight=4) == 10
    assert end_call(make(), 1.0, in_flight=5) == pytest.approx(10.8)


def test_time_out_is_a_slow_call_and_a_refusal_no_quick_one() -> None:
    assert end_call(make(), 4.0, reply=failed(Outcome.TIMED_OUT)) == pytest.approx(9.8)
    limiter = make()
    for reply in (refused(), failed(Outcome.OVERLOADED), failed(Outcome.UNREACHABLE), failed(Outcome.CANCELLED)):
        assert end_call(limiter, 0.01, reply=reply) == 10
    assert end_call(limiter, 2.0) == pytest.approx(10.3049917, abs=1e-7), "the usual time has moved"


def test_call_that_took_no_time_at_all_is_a_quick_one() -> None:
    assert end_call(make(usual_s=None), 0.0) == pytest.approx(10.8)
