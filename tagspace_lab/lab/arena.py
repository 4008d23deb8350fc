"""Throttles in the ring: one regime, one throttle, the real client over the same HTTP messages, in virtual time.

A client is the router with its throttle; neither texts nor caches nor labels come into it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil

import httpx
from starlette.applications import Starlette

from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import AnthropicModel, Model, OpenAIModel
from tagspace_lab.lab.oracle import Oracle
from tagspace_lab.lab.yardstick import bound_calls
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import Limiter, make_limiter
from tagspace_lab.policy.prompts import LabelRules, build_prompt
from tagspace_lab.records import Attempt, Batch, Cost, Outcome, Page, Reply, Status, Tagging, Text
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import EPOCH_S, build_app
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.regimes import CEILING, FIRST_CONCURRENCY, Regime
from tagspace_lab.twin.scenario import Provider, Quality, Scenario

__all__ = ["LONGEST_S", "MOST_ATTEMPTS", "ORACLE", "Race", "race"]

ORACLE = "oracle"
"""The name of the limiter that knows the limits."""
LONGEST_S, MOST_ATTEMPTS = 1e6, 50
"""A race is stopped, and is incomplete, after so many seconds of virtual time or so many attempts for each call."""

_RULES = LabelRules(("alpha", "beta", "gamma"), max_labels=5)
_RIGHT = Quality(accuracy=1.0, missing=((1, 0.0),), relative_accuracy=((1, 1.0),))
_SETTINGS = Settings(ai_concurrency=FIRST_CONCURRENCY, max_ai_concurrency=CEILING, request_timeout_s=600.0)
_PHASE_S = 60.0
_FIRST_PAGE = 1000
_WORD = "word"
"""A token by the client's estimate of four characters each."""


@dataclass(frozen=True, slots=True)
class Race:
    """How one throttle fared in one regime. `attempts` has a list for every client, times from the run's start.

    `makespan_s` is the time of the last answer, 0.0 if there was none; the bound is that of the answered calls.
    """

    regime: Regime
    throttle: str
    makespan_s: float
    bound_s: float
    binds: str
    done: int
    refusals: int
    attempts: tuple[tuple[Attempt, ...], ...]

    @property
    def efficiency(self) -> float:
        """bound / makespan, 0 to 1; 0.0 where calls were left undone."""
        return self.bound_s / self.makespan_s if self.is_complete else 0.0

    @property
    def is_complete(self) -> bool:
        return self.done == self.regime.calls


def race(regime: Regime, throttle: str) -> Race:
    """Let `throttle`, a name of LIMITERS or ORACLE, make all calls of `regime`. The same bytes every time."""
    rng = random.Random(f"phase {regime.number}")  # noqa: S311 - a simulation
    epoch_s = EPOCH_S + rng.uniform(0, _PHASE_S)
    scenario = _make_scenario(regime.provider, regime.kind)
    app = build_app(scenario, _Sheet(regime.calls), seed=regime.number, wall_clock=lambda: epoch_s)
    clients = [_Client(regime, share, limiter) for share, limiter in enumerate(_make_limiters(regime, throttle, app))]
    run_virtual(lambda: _run(clients, app, epoch_s))
    return _judge(regime, throttle, clients, epoch_s)


async def _run(clients: Sequence[_Client], app: Starlette, epoch_s: float) -> None:
    loop = asyncio.get_running_loop()
    async with open_http(httpx.ASGITransport(app)) as http, asyncio.TaskGroup() as group:
        for client in clients:
            model = _make_model(client.regime.provider, http, lambda: epoch_s + loop.time())
            group.create_task(client.run(model))


def _judge(regime: Regime, throttle: str, clients: Sequence[_Client], epoch_s: float) -> Race:
    attempts = [attempt for client in clients for attempt in client.attempts]
    answered = [attempt for attempt in attempts if attempt.outcome is Outcome.OK]
    bound = bound_calls(answered, regime.provider, CEILING * regime.clients, epoch_s)
    return Race(
        regime,
        throttle,
        makespan_s=max((attempt.ended_s for attempt in answered), default=0.0),
        bound_s=bound.seconds,
        binds=bound.binds,
        done=sum(tagging.status is Status.TAGGED for client in clients for tagging in client.taggings),
        refusals=sum(attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts),
        attempts=tuple(tuple(client.attempts) for client in clients),
    )


@dataclass(frozen=True, slots=True)
class _Client:
    """One client of the regime: a throttle of its own, and its share of the calls."""

    regime: Regime
    share: int
    limiter: Limiter
    attempts: list[Attempt] = field(default_factory=list)
    taggings: list[Tagging] = field(default_factory=list)

    async def run(self, model: Model) -> None:
        """Make all calls, or those that can be made before the race is stopped."""
        calls = range(self.share, self.regime.calls, self.regime.clients)
        router = self._make_router(model, MOST_ATTEMPTS * len(calls))
        stop = asyncio.get_running_loop().call_at(LONGEST_S, router.end, Status.STOPPED, "the race took too long")
        async with asyncio.TaskGroup() as group:
            for number in calls:
                group.create_task(self._tag(router, number))
        stop.cancel()

    async def _tag(self, router: Router, number: int) -> None:
        async for taggings in router.tag(_make_batch(number, self.regime.tokens[number])):
            self.taggings.extend(taggings)

    def _make_router(self, model: Model, most_attempts: int) -> Router:
        def record(attempt: Attempt) -> None:
            self.attempts.append(attempt)
            if len(self.attempts) == most_attempts:
                router.end(Status.STOPPED, "the race took too many attempts")

        router = Router(
            Endpoint("primary", model, Throttle(self.limiter)),
            None,
            settings=_SETTINGS,
            rules=_RULES,
            rng=random.Random(f"{self.regime.number}/{self.share}/router"),  # noqa: S311
            record=record,
        )
        return router


def _make_limiters(regime: Regime, throttle: str, app: Starlette) -> list[Limiter]:
    """One for every client; those that know the limits know of each other, too."""
    if throttle == ORACLE:
        return [_make_oracle(regime.provider, app)] * regime.clients
    settings = _SETTINGS.with_changes(throttle=throttle)
    seeds = (f"{regime.number}/{share}" for share in range(regime.clients))
    return [make_limiter(settings, random.Random(seed)) for seed in seeds]  # noqa: S311


def _make_oracle(provider: Provider, app: Starlette) -> Oracle:
    """Told what each call will be charged, to the token, where the client itself has an estimate."""
    around = _chars_around(provider.headers == "anthropic")

    def wait_s(estimate: Cost) -> float | None:
        chars = len(_WORD) * (estimate.input_tokens - _estimate_around()) + around
        wait: float | None = app.state.provider.wait_s(
            Cost(ceil(chars / provider.chars_per_token), estimate.output_tokens)
        )
        return wait

    return Oracle(wait_s, CEILING)


@cache
def _estimate_around() -> int:
    """Input tokens that the client estimates for what stands around a page's text."""
    return build_prompt(_make_batch(0, 0), _RULES).cost.input_tokens


@cache
def _chars_around(is_anthropic: bool) -> int:
    """Characters that a call is charged for beside its page's text: a twin with one token a character says it."""
    provider = Provider.model_validate(
        {"chars_per_token": 1.0, "max_context_tokens": 1_000_000, "headers": "anthropic" if is_anthropic else "none"}
    )
    app = build_app(_make_scenario(provider, "no limits"), _Sheet(1))

    async def ask() -> Reply:
        async with open_http(httpx.ASGITransport(app)) as http:
            model = _make_model(provider, http, lambda: EPOCH_S)
            return await model.send(build_prompt(_make_batch(0, 1), _RULES))

    return run_virtual(ask).used.input_tokens - len(_WORD)


def _make_model(provider: Provider, http: httpx.AsyncClient, wall_clock: Callable[[], float]) -> Model:
    wire = AnthropicModel if provider.headers == "anthropic" else OpenAIModel
    return wire(http, "http://twin/v1", "twin", "twin", _SETTINGS.request_timeout_s, wall_clock)


def _make_scenario(provider: Provider, description: str) -> Scenario:
    return Scenario(name="regime", description=description, source="drawn", provider=provider, quality=_RIGHT)


def _make_batch(number: int, tokens: int) -> Batch:
    page = _FIRST_PAGE + number
    return Batch((Text(str(page), f"Page {page}", _WORD * tokens, tokens, f"key {number}"),))


@dataclass(frozen=True, slots=True)
class _Sheet:
    """So many pages with one gold label each: what the twin wants to know of a space."""

    pages: int
    name: str = "calls"
    key: str = "CALLS"
    vocabulary: tuple[str, ...] = _RULES.vocabulary
    last_day: int = 0
    content_hash: str = "calls"

    def __len__(self) -> int:
        return self.pages

    def page(self, index: int, day: int = 0) -> Page:
        page_id = str(_FIRST_PAGE + index)
        return Page(page_id, f"Page {page_id}", "", 1, self.gold(page_id))

    def index_of(self, page_id: str) -> int:
        if not page_id.isdecimal() or not 0 <= int(page_id) - _FIRST_PAGE < self.pages:
            raise KeyError(page_id)
        return int(page_id) - _FIRST_PAGE

    def gold(self, page_id: str) -> tuple[str, ...]:
        return self.vocabulary[:1]
