from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits import Ladder, Start
from tagspace_lab.records import Cost, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, refused

COST = Cost(100, 10)


def end_call(limiter: Ladder, at_s: float, reply: Reply) -> float:
    limiter.on_end(at_s, Start(at_s - 1, COST, 1), reply)
    return limiter.window


def test_refusal_takes_one_rung_and_never_the_last() -> None:
    limiter = Ladder(Settings(), random.Random(0))
    assert [end_call(limiter, at_s, refused()) for at_s in (1.0, 2.0, 3.0)] == [2, 1, 1]
    assert limiter.ready_at(4.0, 0, COST) == 4.0
    assert limiter.ready_at(4.0, 1, COST) == math.inf


def test_quiet_spell_gives_one_rung_back_up_to_the_ceiling() -> None:
    limiter = Ladder(Settings(max_ai_concurrency=4), random.Random(0))
    end_call(limiter, 10.0, refused())
    windows = [end_call(limiter, at_s, answered(["1"])) for at_s in (39.9, 40.0, 69.9, 70.0, 100.0, 130.0)]
    assert windows == [2, 3, 3, 4, 4, 4]


def test_refused_call_comes_back_three_times_then_goes_elsewhere() -> None:
    limiter = Ladder(Settings(), random.Random(0))
    assert [limiter.retry_delay_s(refusals, refused()) for refusals in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, None]


def test_quiet_spell_begins_with_the_first_call_whatever_the_clock_shows() -> None:
    limiter = Ladder(Settings(), random.Random(0))
    start = Start(8_000.0, Cost(), 1)
    limiter.on_start(start)
    limiter.on_end(8_001.0, start, answered(["1"]))
    assert limiter.window == 3
