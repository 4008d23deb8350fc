"""Calls that are more than a limit lets in at once: split, never left waiting for ever, and nobody starves behind them.

In virtual time, against the twin's gate; what it says of a refusal is left out where the provider is `silent`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.headers import read_rate_limit
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Attempt, Batch, Outcome, Reply, Status, Tagging
from tagspace_lab.settings import Settings
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.dialects import refusal_message
from tagspace_lab.twin.quotas import Charge, Gate
from tagspace_lab.twin.schema import Limits
from tests.fakes import RULES, ScriptedModel, answered, make_text, refused

BUCKET = Limits(tokens_per_min=60_000, burst_tokens=2_000, retry_after="missing")


class Gated:
    """A model behind the twin's gate that answers rightly; `dialect` words its refusals, None says nothing."""

    name = "gated"

    def __init__(self, limits: Limits = BUCKET, dialect: str | None = None) -> None:
        self.gate, self.dialect = Gate(limits), dialect

    async def send(self, prompt: Prompt) -> Reply:
        tokens = prompt.cost.tokens
        verdict = self.gate.admit(Charge(1, tokens, tokens, 1), asyncio.get_running_loop().time())
        await asyncio.sleep(0.5 if verdict.is_admitted else 0.02)
        if verdict.is_admitted:
            self.gate.leave()
            return answered(prompt.page_ids)
        body = {"error": {"message": refusal_message(self.dialect, verdict, "m")}} if self.dialect else None
        return Reply(Outcome.RATE_LIMITED, 429, message="HTTP 429", rate_limit=read_rate_limit({}, body, wall_s=0.0))


class Run:
    """Batches through a router, as many at once as a pipeline would have, and the give-up time beside it."""

    def __init__(self, model: Any, batches: Sequence[Batch], second: Any = None, **settings: object) -> None:
        self.attempts: list[Attempt] = []
        self.batches, self.models = batches, (model, second)
        self.settings = Settings().with_changes(**settings)
        self.taggings: dict[str, Tagging] = {}
        run_virtual(self._main)
        assert self.taggings.keys() == {page_id for batch in batches for page_id in batch.page_ids}

    async def _main(self) -> None:
        ends = [
            Endpoint(name, model, Throttle(make_limiter(self.settings, random.Random(0)))) if model else None
            for name, model in zip(("primary", "fallback"), self.models, strict=True)
        ]
        assert ends[0]
        router = Router(
            ends[0], ends[1], settings=self.settings, rules=RULES, rng=random.Random(0), record=self.attempts.append
        )
        todo = list(reversed(self.batches))

        async def work() -> None:
            while todo:
                async for taggings in router.tag(todo.pop()):
                    self.taggings |= {tagging.page_id: tagging for tagging in taggings}

        async def watch() -> None:
            while (left_s := 300.0 - router.failing_s(asyncio.get_running_loop().time())) > 1e-6:
                await router.failing.wait()
                await asyncio.sleep(left_s)
            router.end(Status.ERROR, "nothing has succeeded for 300 s: the run was given up")

        watching = asyncio.ensure_future(watch())
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.max_ai_concurrency):
                group.create_task(work())
        self.took_s = asyncio.get_running_loop().time()
        watching.cancel()

    def of(self, batch: Batch) -> set[Status]:
        return {self.taggings[page_id].status for page_id in batch.page_ids}


def make_batches(*sizes: int, pages: int = 4) -> list[Batch]:
    """One batch of `pages` for each number of tokens of a page."""
    numbers = iter(range(10_000))
    return [Batch(tuple(make_text(next(numbers), tokens) for _ in range(pages))) for tokens in sizes]


@pytest.mark.parametrize("dialect", ["openai", None])
@pytest.mark.parametrize("throttle", ["learned", "fixed", "aimd"])
@pytest.mark.parametrize("place", [0, 5, 19])
def test_batch_larger_than_the_bucket_is_split_and_tagged(throttle: str, dialect: str | None, place: int) -> None:
    sizes = [100] * 20
    sizes[place] = 1_000
    run = Run(Gated(dialect=dialect), make_batches(*sizes), throttle=throttle)
    assert {tagging.status for tagging in run.taggings.values()} == {Status.TAGGED}
    assert run.took_s < 200


@pytest.mark.parametrize("dialect", ["openai", None])
def test_batches_that_are_all_larger_than_the_bucket_are_tagged_before_the_run_is_given_up(dialect: str | None) -> None:
    run = Run(Gated(dialect=dialect), make_batches(*[700] * 6))
    assert {tagging.status for tagging in run.taggings.values()} == {Status.TAGGED}


@pytest.mark.parametrize("dialect", ["openai", None])
@pytest.mark.parametrize("throttle", ["learned", "fixed"])
@pytest.mark.parametrize("place", [0, 5])
def test_page_larger_than_the_bucket_ends_as_an_error_that_says_so(
    throttle: str, dialect: str | None, place: int
) -> None:
    batches = make_batches(*[100] * 20)
    large = Batch((make_text(9_000, 5_000),))
    run = Run(Gated(dialect=dialect), [*batches[:place], large, *batches[place:]], throttle=throttle)
    assert all(run.of(batch) == {Status.TAGGED} for batch in batches)
    tagging = run.taggings[large.page_ids[0]]
    assert tagging.status is Status.ERROR
    assert ("the page alone is more" if dialect else "may be larger than a limit allows") in tagging.reason
    others_s = max(attempt.ended_s for attempt in run.attempts if attempt.outcome is Outcome.OK)
    assert others_s < 90, "the others waited behind it"


def test_page_that_is_too_large_for_one_provider_is_tagged_by_the_other() -> None:
    large = Batch((make_text(9_000, 5_000),))
    run = Run(Gated(dialect="openai"), [large, *make_batches(*[100] * 4)], ScriptedModel())
    assert run.of(large) == {Status.TAGGED}
    assert sum(attempt.provider == "fallback" for attempt in run.attempts) == 1


def test_refusals_that_larger_calls_did_not_meet_split_nothing() -> None:
    """Every other call is refused, whatever its size."""
    model = ScriptedModel(lambda page_ids, number: refused() if number % 2 else answered(page_ids))
    run = Run(model, make_batches(*[100] * 40), ai_concurrency=10, throttle="fixed")
    assert {attempt.pages for attempt in run.attempts} == {4}


@pytest.mark.parametrize("cause", ["requests", "concurrency"])
def test_refusals_for_another_reason_than_size_split_nothing(cause: str) -> None:
    reply = replace(refused(), rate_limit=replace(refused().rate_limit, cause=cause))
    model = ScriptedModel(lambda page_ids, number: reply if len(page_ids) > 1 and number < 80 else answered(page_ids))
    batches = [*make_batches(500), *(Batch((make_text(5_000 + number),)) for number in range(40))]
    run = Run(model, batches, throttle="fixed")
    assert run.of(batches[0]) == {Status.TAGGED}
    assert {attempt.pages for attempt in run.attempts} == {1, 4}
