"""What holds of every limiter, whatever it believes."""

from __future__ import annotations

import math
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits import LIMITERS, Limiter, Start, make_limiter
from tagspace_lab.records import Cost, Outcome, RateLimit, Reply, Status
from tagspace_lab.settings import Settings
from tests.fakes import Job, ScriptedModel, answered, examples, make_pages, refused

COST = Cost(100, 10)
THROTTLES = [pytest.param(throttle, id=throttle) for throttle in LIMITERS]

waits_s = st.just(0.0) | st.floats(0, 0.5) | st.floats(0, 1000)
replies = st.builds(
    lambda outcome, asked_s: Reply(outcome, rate_limit=RateLimit(retry_after_s=asked_s)),
    st.sampled_from([Outcome.OK, Outcome.OK, Outcome.RATE_LIMITED, *Outcome]),
    st.none() | st.floats(0.001, 3600),
)
starts = st.builds(Cost, st.integers(0, 10_000), st.integers(0, 1_000))
events = st.lists(st.tuples(waits_s, starts | st.tuples(replies, st.integers(0, 99))), max_size=60)


def check(limiter: Limiter, settings: Settings, now_s: float, in_flight: int) -> None:
    ready_s = limiter.ready_at(now_s, in_flight, COST)
    assert 1 <= limiter.window <= settings.max_ai_concurrency
    assert now_s <= ready_s  # nan would fail
    assert limiter.ready_at(now_s, in_flight, COST) == ready_s
    assert math.isfinite(limiter.ready_at(now_s, 0, COST)), "nothing will ever wake it"
    assert limiter.ready_at(now_s, settings.max_ai_concurrency, COST) == math.inf
    assert limiter.pace_per_s > 0
    assert 0 <= limiter.cooling_until_s < math.inf


@pytest.mark.parametrize("throttle", THROTTLES)
def test_limiter_keeps_its_promises_whatever_happens(throttle: str) -> None:
    @examples(100)
    @given(st.integers(1, 10), st.integers(0, 20), st.floats(0, 1e6), events, st.integers(0, 9))
    def keep(start: int, room: int, now_s: float, events: list[tuple[float, object]], seed: int) -> None:
        settings = Settings.model_validate(
            {"throttle": throttle, "ai_concurrency": start, "max_ai_concurrency": start + room}
        )
        limiter = make_limiter(settings, random.Random(seed))
        under_way: list[Start] = []
        check(limiter, settings, now_s, 0)
        for wait_s, event in events:
            now_s += wait_s
            if isinstance(event, Cost):
                under_way.append(Start(now_s, event, len(under_way) + 1))
                limiter.on_start(under_way[-1])
            elif isinstance(event, tuple) and under_way:
                reply, number = event
                limiter.on_end(now_s, under_way.pop(number % len(under_way)), reply)
                delay_s = limiter.retry_delay_s(number + 1, reply)
                assert delay_s is None if throttle == "ladder" and number >= 3 else delay_s is not None
                assert delay_s is None or 0 <= delay_s < math.inf
            check(limiter, settings, now_s, len(under_way))

    keep()


@pytest.mark.parametrize("throttle", THROTTLES)
def test_window_starts_where_the_settings_say(throttle: str) -> None:
    settings = Settings.model_validate({"throttle": throttle, "ai_concurrency": 4, "max_ai_concurrency": 7})
    assert make_limiter(settings, random.Random(0)).window == (7 if throttle in ("cubic", "google-sre") else 4)


@pytest.mark.parametrize("throttle", sorted(LIMITERS.keys() - {"ladder"}))  # which gives a call up
@pytest.mark.parametrize("retry_after_s", [None, 0.2])
def test_thirty_calls_come_home_from_a_model_that_refuses_two_in_five(
    throttle: str, retry_after_s: float | None
) -> None:
    model = ScriptedModel(lambda ids, number: refused(retry_after_s) if number % 5 in (1, 3) else answered(ids))
    settings = Settings.model_validate({"throttle": throttle, "batch_size": 1})
    result = Job(make_pages(30), model, settings=settings).run()
    assert [tagging.status for tagging in result.results] == [Status.TAGGED] * 30
    assert len(result.attempts) == 50
    assert model.peak <= settings.max_ai_concurrency


def test_settings_name_every_limiter() -> None:
    assert get_args(Settings.model_fields["throttle"].annotation) == tuple(LIMITERS)
