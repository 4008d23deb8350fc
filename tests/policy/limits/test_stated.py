from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits.protocol import Start
from tagspace_lab.policy.limits.stated import StatedQuotas
from tagspace_lab.records import Cost, Quota, RateLimit
from tests.fakes import examples

COST = Cost(900, 100)
numbers = st.none() | st.sampled_from([0.0, 1.0, 40_000.0, 1e12]) | st.floats(0, 1e9)
quotas = st.builds(Quota, numbers.filter(lambda limit: limit != 0), numbers, numbers)


def states(remaining: float | None, limit: float | None = 60, reset_s: float | None = 60, unit: str = "requests") -> RateLimit:
    return RateLimit({unit: Quota(limit, remaining, reset_s)})


def told(said: RateLimit, at_s: float = 10.0) -> StatedQuotas:
    stated = StatedQuotas()
    stated.on_response(at_s, at_s - 1, said)
    return stated


def test_nothing_stated_holds_nobody() -> None:
    assert StatedQuotas().ready_at(10.0, COST) == 10.0
    assert told(states(None)).ready_at(10.0, COST) == 10.0


def test_quota_with_room_holds_nobody_and_one_without_does() -> None:
    assert told(states(1)).ready_at(10.0, COST) == 10.0
    assert 10.0 < told(states(0)).ready_at(10.0, COST) <= 70.0


def test_every_unit_counts_with_what_the_call_takes_of_it() -> None:
    for unit, needed in [("tokens", 1000), ("input_tokens", 900), ("output_tokens", 100)]:
        assert told(states(needed, 40_000, 30, unit)).ready_at(10.0, COST) == 10.0
        assert told(states(needed - 1, 40_000, 30, unit)).ready_at(10.0, COST) > 10.0


def test_calls_on_their_way_are_taken_off() -> None:
    stated = told(states(2))
    for in_flight in (1, 2):
        assert stated.ready_at(10.0, COST) == 10.0
        stated.on_start(Start(10.0, COST, in_flight))
    assert stated.ready_at(10.0, COST) > 10.0


def test_window_that_has_ended_holds_nobody() -> None:
    assert told(states(0, reset_s=5)).ready_at(15.0, COST) == 15.0


def test_call_above_the_whole_quota_is_not_held_for_ever() -> None:
    assert told(states(500, 500, 60, "tokens")).ready_at(10.0, COST) == 10.0


@examples(300)
@given(st.lists(st.tuples(st.sampled_from(["requests", "tokens"]), quotas), max_size=8))
def test_whatever_is_stated_holds_a_call_for_a_minute_at_most(said: list[tuple[str, Quota]]) -> None:
    stated, now_s = StatedQuotas(), 0.0
    for unit, quota in said:
        start = Start(now_s, COST, 1)
        stated.on_start(start)
        now_s += 1.0
        stated.on_response(now_s, start.at_s, RateLimit({unit: quota}))
        ready_s = stated.ready_at(now_s, COST)
        assert math.isfinite(ready_s)
        assert now_s <= ready_s <= now_s + 61.0
