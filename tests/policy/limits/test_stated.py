from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits.protocol import Start
from tagspace_lab.policy.limits.stated import StatedQuotas
from tagspace_lab.records import Cost, Outcome, Quota, RateLimit, Reply
from tests.fakes import examples

COST = Cost(900, 100)
numbers = st.none() | st.sampled_from([0.0, 1.0, 40_000.0, 1e12]) | st.floats(0, 1e9)
quotas = st.builds(Quota, numbers.filter(lambda limit: limit != 0), numbers, numbers)


def states(
    remaining: float | None, limit: float | None = 60, reset_s: float | None = 60, unit: str = "requests"
) -> RateLimit:
    return RateLimit({unit: Quota(limit, remaining, reset_s)})


def told(said: RateLimit, at_s: float = 10.0) -> StatedQuotas:
    stated, start = StatedQuotas(), Start(at_s - 1, COST, 1)
    stated.on_start(start)
    stated.on_end(at_s, start, Reply(Outcome.OK, 200, rate_limit=said))
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


def start_two(at_s: float) -> float:
    """When a third may start if two have that the statement does not count."""
    stated = told(states(2))
    for in_flight in (1, 2):
        assert stated.ready_at(at_s, COST) == at_s
        stated.on_start(Start(at_s, COST, in_flight))
    return stated.ready_at(at_s, COST)


@pytest.mark.parametrize("at_s", [10.0, 10.1])
def test_calls_on_their_way_are_taken_off(at_s: float) -> None:
    assert start_two(at_s) > at_s


def test_window_that_has_ended_holds_nobody() -> None:
    assert told(states(0, reset_s=5)).ready_at(15.0, COST) == 15.0


def test_call_above_the_whole_quota_is_not_held_for_ever() -> None:
    assert told(states(500, 500, 60, "tokens")).ready_at(10.0, COST) == 10.0


@examples(300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["requests", "tokens"]), quotas, st.sampled_from([Outcome.OK, Outcome.RATE_LIMITED])),
        max_size=8,
    )
)
def test_whatever_is_stated_holds_a_call_for_a_minute_at_most(said: list[tuple[str, Quota, Outcome]]) -> None:
    stated, now_s = StatedQuotas(), 0.0
    for unit, quota, outcome in said:
        start = Start(now_s, COST, 1)
        stated.on_start(start)
        now_s += 1.0
        stated.on_end(now_s, start, Reply(outcome, rate_limit=RateLimit({unit: quota})))
        ready_s = stated.ready_at(now_s, COST)
        assert math.isfinite(ready_s)
        assert now_s <= ready_s <= now_s + 61.0
