from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from tagspace_lab.clients.models import Model
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import Limiter, make_limiter
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Attempt, Outcome, Reply, Status, Tagging
from tagspace_lab.settings import Settings
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import RULES, Obedient, ScriptedModel, answered, failed, make_batch, refused

BATCH = make_batch(4)
ALL = set(BATCH.page_ids)


class Desk:
    """A router with what it was told and what it did."""

    def __init__(
        self,
        primary: Model | None = None,
        second: Model | None = None,
        limiters: tuple[Limiter, ...] = (),
        **settings: object,
    ) -> None:
        self.attempts: list[Attempt] = []
        self.models = [primary or ScriptedModel(), second]
        self.limiters = [*limiters, Obedient(), Obedient()][:2]
        self.settings = Settings().with_changes(**settings)
        self.took_s = 0.0

    def make(self) -> Router:
        names = ("primary", "fallback")
        ends = [
            Endpoint(name, model, Throttle(limiter)) if model else None
            for name, model, limiter in zip(names, self.models, self.limiters, strict=True)
        ]
        assert ends[0]
        self.router = Router(
            ends[0], ends[1], settings=self.settings, rules=RULES, rng=random.Random(0), record=self.attempts.append
        )
        return self.router

    def tag(
        self, at_once: int = 1, meanwhile: Callable[[Router], None] | None = None, at_s: float = 0.0
    ) -> list[Tagging]:
        async def main() -> list[Tagging]:
            router = self.make()
            if meanwhile:
                asyncio.get_running_loop().call_later(at_s, meanwhile, router)
            done = await asyncio.gather(*(collect(router) for _ in range(at_once)))
            self.took_s = asyncio.get_running_loop().time()
            return [tagging for taggings in done for tagging in taggings]

        taggings = run_virtual(main)
        assert sorted(tagging.page_id for tagging in taggings) == sorted(BATCH.page_ids * at_once)
        assert self.router.fallbacks == sum(attempt.provider == "fallback" for attempt in self.attempts)
        return taggings

    @property
    def went_to(self) -> list[str]:
        return [attempt.provider for attempt in self.attempts]


async def collect(router: Router) -> list[Tagging]:
    return [tagging async for taggings in router.tag(BATCH) for tagging in taggings]


def statuses(taggings: list[Tagging]) -> set[Status]:
    return {tagging.status for tagging in taggings}


def reasons(taggings: list[Tagging]) -> str:
    return " ".join(sorted({tagging.reason for tagging in taggings}))


def first(count: int, reply: Reply) -> ScriptedModel:
    """Answers so many calls with `reply`, all others rightly."""
    return ScriptedModel(lambda page_ids, number: reply if number < count else answered(page_ids))


def always(reply: Reply) -> ScriptedModel:
    return ScriptedModel(lambda page_ids, number: reply)


def test_good_answer_tags_every_page_in_one_call() -> None:
    desk = Desk()
    assert statuses(desk.tag()) == {Status.TAGGED}
    (attempt,) = desk.attempts
    assert (attempt.call, attempt.number, attempt.pages, attempt.outcome) == (1, 1, 4, Outcome.OK)
    assert (attempt.started_s, attempt.ended_s) == (0.0, 1.0)


def test_partial_answer_keeps_its_pages_and_asks_for_the_rest_in_halves() -> None:
    model = ScriptedModel(lambda page_ids, number: answered(page_ids[:1]))
    assert statuses(Desk(model).tag()) == {Status.TAGGED}
    assert model.asked == [BATCH.page_ids, ("1001", "1002"), ("1002",), ("1003",)]


def test_page_that_never_gets_a_good_answer_ends_as_an_error_alone() -> None:
    model = ScriptedModel(lambda page_ids, number: answered([page_id for page_id in page_ids if page_id != "1002"]))
    desk = Desk(model)
    taggings = desk.tag()
    assert {tagging.page_id for tagging in taggings if tagging.status is Status.TAGGED} == ALL - {"1002"}
    assert "(4 attempts)" in reasons(taggings)
    assert len(desk.attempts) <= 5


@pytest.mark.parametrize("text", ["", "Sorry.", '{"pages": [{"id": "9", "labels": ["alpha"]}]}'])
def test_broken_answers_end(text: str) -> None:
    desk = Desk(always(Reply(Outcome.OK, 200, text)))
    assert statuses(desk.tag()) == {Status.ERROR}
    assert len(desk.attempts) <= 2 * len(BATCH) - 1 + 2 * len(BATCH)


@pytest.mark.parametrize("reply", [failed(), failed(Outcome.TIMED_OUT, 0), failed(Outcome.UNREACHABLE, 0)])
def test_failure_that_passes_is_retried_after_a_back_off(reply: Reply) -> None:
    desk = Desk(first(3, reply))
    assert statuses(desk.tag()) == {Status.TAGGED}
    pauses = [after.started_s - before.ended_s for before, after in zip(desk.attempts, desk.attempts[1:], strict=False)]
    assert all(least <= pause <= 1.5 * least for least, pause in zip((0.5, 1.0, 2.0), pauses, strict=True))
    assert [attempt.number for attempt in desk.attempts] == [1, 2, 3, 4]


def test_failure_that_stays_ends_the_pages_with_its_reason() -> None:
    desk = Desk(always(failed()), max_attempts=3)
    assert reasons(desk.tag()) == "primary: HTTP 503 (3 attempts)"
    assert len(desk.attempts) == 3


def test_time_outs_that_stay_are_split_before_they_are_given_up() -> None:
    model = ScriptedModel(
        lambda page_ids, number: failed(Outcome.TIMED_OUT, 0) if len(page_ids) > 1 else answered(page_ids)
    )
    assert statuses(Desk(model, max_attempts=2).tag()) == {Status.TAGGED}


def test_request_that_is_too_large_is_split_at_once() -> None:
    model = ScriptedModel(
        lambda page_ids, number: failed(Outcome.REFUSED, 400) if len(page_ids) > 2 else answered(page_ids)
    )
    desk = Desk(model)
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert [len(page_ids) for page_ids in model.asked] == [4, 2, 2]
    assert desk.took_s == 3.0


def test_refusals_use_up_no_attempts() -> None:
    desk = Desk(first(30, refused()), max_attempts=1)
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert len(desk.attempts) == 31


def test_refusals_before_an_error_leave_all_attempts_to_it() -> None:
    replies = [refused(), refused(), refused(), failed()]
    model = ScriptedModel(lambda page_ids, number: replies[number] if number < 4 else answered(page_ids))
    assert statuses(Desk(model, max_attempts=2).tag()) == {Status.TAGGED}


def test_retries_beyond_the_budget_wait_for_successes() -> None:
    desk = Desk(always(failed()), limiters=(Obedient(10),), retry_budget=0.0, max_attempts=3)
    desk.tag(at_once=10)
    retries_s = sorted(attempt.started_s for attempt in desk.attempts if attempt.number > 1)
    assert len(retries_s) == 20
    assert sum(started_s < 10 for started_s in retries_s) == 10, "the budget holds ten to start from"


@pytest.mark.parametrize("reply", [failed(Outcome.EXHAUSTED, 429), failed(Outcome.REFUSED, 401)])
def test_provider_that_is_out_is_asked_no_more(reply: Reply) -> None:
    desk = Desk(always(reply), limiters=(Obedient(2),))
    taggings = desk.tag(at_once=10)
    assert statuses(taggings) == {Status.ERROR}
    assert reasons(taggings) == f"primary: HTTP {reply.status}"
    assert len(desk.attempts) <= 3, "calls that were waiting went out all the same"


def test_provider_that_is_out_hands_everything_to_the_fallback() -> None:
    desk = Desk(always(failed(Outcome.EXHAUSTED, 429)), ScriptedModel(), limiters=(Obedient(2),))
    assert statuses(desk.tag(at_once=6)) == {Status.TAGGED}
    assert desk.went_to.count("primary") <= 3
    assert all(attempt.number == 1 for attempt in desk.attempts if attempt.call > 3)


def test_cooling_primary_is_waited_for_if_it_is_soon_back() -> None:
    desk = Desk(second=ScriptedModel(), limiters=(Obedient(gate_s=5.0),))
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert desk.went_to == ["primary"]


def test_primary_that_cools_for_long_is_passed_over_for_the_fallback() -> None:
    desk = Desk(second=ScriptedModel(), limiters=(Obedient(gate_s=5.1),))
    desk.tag()
    assert (desk.went_to, desk.took_s) == (["fallback"], 1.0)


def test_when_both_cool_the_one_that_is_back_first_is_waited_for() -> None:
    desk = Desk(second=ScriptedModel(), limiters=(Obedient(gate_s=20.0), Obedient(gate_s=30.0)))
    desk.tag()
    assert (desk.went_to, desk.took_s) == (["primary"], 21.0)


def test_never_means_that_the_fallback_is_never_asked() -> None:
    fallback = ScriptedModel()
    desk = Desk(first(3, refused()), fallback, limiters=(Obedient(gate_s=50.0),), fallback="never")
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert not fallback.asked


@pytest.mark.parametrize("reply", [refused(), failed(), failed(Outcome.TIMED_OUT, 0)])
def test_any_error_sends_the_call_to_the_fallback_at_once(reply: Reply) -> None:
    desk = Desk(always(reply), ScriptedModel(), fallback="any-error")
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert (desk.went_to, desk.took_s) == (["primary", "fallback"], 2.0)


def test_any_error_comes_back_from_a_fallback_that_fails_too() -> None:
    desk = Desk(first(1, failed()), always(failed()), fallback="any-error")
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert desk.went_to == ["primary", "fallback", "primary"]


def test_provider_that_a_limiter_gives_up_is_left_for_the_fallback() -> None:
    class Impatient(Obedient):
        def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
            return 1.0 if refusals < 3 else None

    desk = Desk(always(refused()), first(1, refused()), limiters=(Impatient(),))
    assert statuses(desk.tag()) == {Status.TAGGED}
    assert desk.went_to == ["primary"] * 3 + ["fallback"] * 2
    desk = Desk(always(refused()), limiters=(Impatient(),))
    assert "refused the call too often" in reasons(desk.tag())


@pytest.mark.parametrize("at_s", [0.0, 0.5, 1.0, 1.2])
def test_end_brings_home_what_is_in_flight_and_stops_the_rest(at_s: float) -> None:
    desk = Desk(first(2, failed()), limiters=(Obedient(1),))
    taggings = desk.tag(at_once=3, meanwhile=lambda router: router.end(Status.STOPPED, "enough"), at_s=at_s)
    assert statuses(taggings) == {Status.STOPPED}
    assert reasons(taggings) == "enough"
    assert desk.took_s <= at_s + 1.0
    assert all(limiter.window >= 1 for limiter in desk.limiters)


def test_end_keeps_the_pages_that_were_answered() -> None:
    model = ScriptedModel(lambda page_ids, number: answered(page_ids[:2]))
    taggings = Desk(model).tag(meanwhile=lambda router: router.end(Status.STOPPED, "enough"), at_s=0.5)
    assert [tagging.status for tagging in taggings] == [Status.TAGGED] * 2 + [Status.STOPPED] * 2


def test_failing_counts_from_the_first_failure_after_the_last_success() -> None:
    desk = Desk(first(3, refused()))
    seen: list[float] = []

    def look(router: Router) -> None:
        seen.append(router.failing_s(asyncio.get_running_loop().time()))
        asyncio.get_running_loop().call_later(1.0, look, router)

    desk.tag(meanwhile=look, at_s=0.5)
    assert seen == [0.0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert desk.router.failing_s(100.0) == 0.0


def test_cancelled_call_hands_its_slot_back() -> None:
    limiter = Obedient(1)
    desk = Desk(limiters=(limiter,))

    async def main() -> None:
        router = desk.make()
        task = asyncio.ensure_future(collect(router))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert len(await collect(router)) == 4

    run_virtual(main)
    assert [attempt.outcome for attempt in desk.attempts] == [Outcome.OK]
    assert [reply.outcome for _, reply in limiter.ends] == [Outcome.CANCELLED, Outcome.OK]


def test_calls_that_wait_at_a_gate_that_closes_go_to_the_fallback_too() -> None:
    """All six wait for the primary when its first refusal closes the gate for a long time."""
    one = Settings(ai_concurrency=1, max_ai_concurrency=1)
    gates = tuple(make_limiter(one, random.Random(0)) for _ in range(2))
    desk = Desk(always(refused(300.0)), ScriptedModel(), limiters=gates)
    assert statuses(desk.tag(at_once=6)) == {Status.TAGGED}
    assert desk.went_to.count("primary") == 1
    assert desk.took_s < 30


def test_overload_does_not_ask_for_more_room_and_a_broken_answer_does() -> None:
    def rooms(reply: Reply) -> list[int]:
        asked: list[int] = []

        class Noting(ScriptedModel):
            async def send(self, prompt: Prompt) -> Reply:
                asked.append(prompt.max_output_tokens // len(prompt.page_ids))
                return await super().send(prompt)

        Desk(Noting(lambda page_ids, number: answered(page_ids) if number else reply)).tag()
        return asked

    first, *after_overload = rooms(failed())
    assert after_overload == [first]
    first, *after_nonsense = rooms(Reply(Outcome.OK, 200, "nonsense"))
    assert min(after_nonsense) >= 2 * first


def test_slow_pace_alone_is_no_reason_to_fall_back() -> None:
    class Paced(Obedient):
        pace_per_s = 0.5

    desk = Desk(second=ScriptedModel(), limiters=(Paced(100, gap_s=2.0), Obedient(100)))
    assert statuses(desk.tag(at_once=20)) == {Status.TAGGED}
    assert set(desk.went_to) == {"primary"}


def test_calls_that_queue_alike_at_both_stay_with_the_primary() -> None:
    desk = Desk(second=ScriptedModel(), limiters=(Obedient(3), Obedient(3)))
    desk.tag(at_once=9)
    assert set(desk.went_to) == {"primary"}
