from __future__ import annotations

import math
import random

import pytest

from tagspace_lab.policy.limits import Fixed, Start
from tagspace_lab.records import Cost
from tagspace_lab.settings import Settings
from tests.fakes import answered, refused

COST = Cost(100, 10)


def make(concurrency: int = 3) -> Fixed:
    return Fixed(Settings(ai_concurrency=concurrency), random.Random(0))


def test_window_is_constant_whatever_happens() -> None:
    limiter = make()
    for number in range(50):
        start = Start(float(number), COST, 1)
        limiter.on_start(start)
        limiter.on_end(number + 1.0, start, refused(5.0) if number % 2 else answered(["1"]))
        assert limiter.window == 3
    assert limiter.ready_at(100.0, 2, COST) == 100.0
    assert limiter.ready_at(100.0, 3, COST) == math.inf
    assert limiter.cooling_until_s == 0.0


@pytest.mark.parametrize("asked_s", [0.4, 7.0, 120.0])
def test_retry_after_is_kept_to(asked_s: float) -> None:
    assert make().retry_delay_s(1, refused(asked_s)) == asked_s


@pytest.mark.parametrize("reply", [refused(), refused(121.0)])
def test_waits_double_to_eight_seconds_less_jitter(reply: object) -> None:
    limiter = make()
    for refusals, most_s in [(1, 0.5), (2, 1.0), (5, 8.0), (60, 8.0), (5_000, 8.0)]:
        wait_s = limiter.retry_delay_s(refusals, reply)  # type: ignore[arg-type]
        assert wait_s is not None
        assert 0.75 * most_s <= wait_s <= most_s
