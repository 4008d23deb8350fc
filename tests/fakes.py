"""Stand-ins that the tests of several rooms share: texts, a space, a listing, a model and a limiter that obey."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings as hypothesis_settings

from tagspace_lab.clients.models import Model
from tagspace_lab.clients.stores import Store
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.pipeline.cache import ResultCache
from tagspace_lab.pipeline.pipeline import Pipeline, RunResult
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import Limiter, Start, make_limiter
from tagspace_lab.policy.prompts import LabelRules, Prompt
from tagspace_lab.records import Batch, Cost, Outcome, Page, RateLimit, Reply, Text
from tagspace_lab.settings import Settings
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.scenario import Scenario

RULES = LabelRules(("alpha", "beta", "gamma"), max_labels=2)


def examples(count: int) -> hypothesis_settings:
    """So many examples, the same ones every time."""
    return hypothesis_settings(max_examples=count, deadline=None, derandomize=True)


def make_text(number: int, tokens: int = 10, words: str = "") -> Text:
    return Text(str(1000 + number), f"Page {number}", words or f"text {number}", tokens, f"key {number}")


def make_batch(count: int) -> Batch:
    return Batch(tuple(make_text(number) for number in range(count)))


def make_pages(count: int) -> list[Page]:
    return [Page(str(1000 + number), f"Page {number}", f"<p>text {number}</p>") for number in range(count)]


def write_answer(page_ids: Iterable[str], *labels: str) -> str:
    return json.dumps({"pages": [{"id": page_id, "labels": list(labels or ("alpha",))} for page_id in page_ids]})


def answered(page_ids: Iterable[str], *labels: str) -> Reply:
    return Reply(Outcome.OK, 200, write_answer(page_ids, *labels), used=Cost(10, 5))


def refused(retry_after_s: float | None = None, **quotas: Any) -> Reply:
    return Reply(Outcome.RATE_LIMITED, 429, message="HTTP 429", rate_limit=RateLimit(quotas, retry_after_s))


def failed(outcome: Outcome = Outcome.OVERLOADED, status: int = 503) -> Reply:
    return Reply(outcome, status, message=f"HTTP {status}")


@dataclass
class Shelf:
    """A space's listing, `size` pages at a time; it breaks off before listing number `breaks_at`."""

    pages: Sequence[Page]
    size: int = 5
    breaks_at: float = math.inf
    pause_s: float = 0.1
    handed_out: int = 0

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        for number, start in enumerate(range(0, len(self.pages), self.size)):
            if number >= self.breaks_at:
                raise ConfluenceError("the listing broke off")
            await asyncio.sleep(self.pause_s)
            listing = list(self.pages[start : start + self.size])
            self.handed_out += len(listing)
            yield listing


Script = Callable[[tuple[str, ...], int], Reply]


@dataclass
class ScriptedModel:
    """Answers after `latency_s` what `script(page_ids, number of the call)` says; by default every page, rightly."""

    script: Script = lambda page_ids, number: answered(page_ids)
    latency_s: float | Callable[[int], float] = 1.0
    name: str = "scripted"
    asked: list[tuple[str, ...]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def send(self, prompt: Prompt) -> Reply:
        number = len(self.asked)
        self.asked.append(prompt.page_ids)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s(number) if callable(self.latency_s) else self.latency_s)
        finally:
            self.in_flight -= 1
        return self.script(prompt.page_ids, number)


@dataclass
class Obedient(Limiter):
    """A limiter that teaches itself nothing: `window` calls at once, `gap_s` apart, none before `gate_s`."""

    window: float = 3
    gap_s: float = 0.0
    gate_s: float = 0.0
    last_s: float = -math.inf
    starts: list[Start] = field(default_factory=list)
    ends: list[tuple[Start, Reply]] = field(default_factory=list)

    @property
    def cooling_until_s(self) -> float:
        return self.gate_s

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        return max(now_s, self.gate_s, self.last_s + self.gap_s) if in_flight < self.window else math.inf

    def on_start(self, start: Start) -> None:
        self.last_s = start.at_s
        self.starts.append(start)

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        self.ends.append((start, reply))

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return 1.0


@dataclass
class Job:
    """A pipeline over fakes, to be run once in virtual time; attempts end up in its result."""

    pages: Sequence[Page] = ()
    model: Model = field(default_factory=ScriptedModel)
    fallback: Model | None = None
    settings: Settings = field(default_factory=Settings)
    store: Store | None = None
    source: Shelf | None = None
    limiters: Sequence[Limiter] = ()
    options: dict[str, Any] = field(default_factory=dict)
    run_id: str = "run"

    def run(self) -> RunResult:
        async def main() -> RunResult:
            return await self._pipeline().run("SPACE")

        return run_virtual(main)

    def _pipeline(self) -> Pipeline:
        result = RunResult(self.run_id)
        primary, fallback = (self._endpoint(number) for number in range(2))
        router = Router(
            primary,
            fallback if self.fallback else None,
            settings=self.settings,
            rules=RULES,
            rng=random.Random(0),
            record=result.attempts.append,
        )
        return Pipeline(
            self.source or Shelf(self.pages),
            router,
            ResultCache(self.store, "SPACE", self.run_id),
            settings=self.settings,
            rules=RULES,
            model_name="scripted",
            result=result,
            **self.options,
        )

    def _endpoint(self, number: int) -> Endpoint:
        settings = self.settings
        made = make_limiter(settings, random.Random(0))
        limiter = self.limiters[number] if number < len(self.limiters) else made
        model = self.fallback if number and self.fallback else self.model
        return Endpoint(("primary", "fallback")[number], model, Throttle(limiter))


@dataclass(frozen=True)
class TinySpace:
    """So many pages for the twin, each with two gold labels of RULES; `bodies` replaces the texts of some."""

    pages: int = 20
    bodies: dict[int, str] = field(default_factory=dict)
    name: str = "tiny"
    key: str = "TINY"
    vocabulary: tuple[str, ...] = RULES.vocabulary
    last_day: int = 0
    content_hash: str = "tiny"

    def __len__(self) -> int:
        return self.pages

    def page(self, index: int, day: int = 0) -> Page:
        page_id = str(1000 + index)
        body = self.bodies.get(index, f"<p>{'word ' * 40}{index}</p>")
        return Page(page_id, f"Page {index}", body, 1, self.gold(page_id))

    def index_of(self, page_id: str) -> int:
        if not page_id.isdecimal() or not 1000 <= int(page_id) < 1000 + self.pages:
            raise KeyError(page_id)
        return int(page_id) - 1000

    def gold(self, page_id: str) -> tuple[str, ...]:
        first = self.index_of(page_id) % 3
        return (self.vocabulary[first], self.vocabulary[(first + 1) % 3])


def make_scenario(**tables: Any) -> Scenario:
    """A provider that is always right and answers in exactly 1 s, unless `tables` say otherwise."""
    steady = {"latency": {"first_token_s": 1.0, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}}
    words = {"name": "x", "description": "x", "source": "x"}
    quality = {"accuracy": 1.0, "missing": [[1, 0.0]], "relative_accuracy": [[1, 1.0]]}
    provider = steady | tables.pop("provider", {})
    return Scenario.model_validate_json(json.dumps({**words, "quality": quality, "provider": provider} | tables))
