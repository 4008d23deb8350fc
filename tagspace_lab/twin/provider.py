"""The simulated provider: OpenAI-compatible and Anthropic endpoints over one gate, one model and one luck.

It knows nothing of who asks: pages are found in the prompt, tokens counted from its characters. Every
decision is made in a plain function at the instant a call arrives; what remains is to wait and answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tagspace_lab.records import Cost, Space
from tagspace_lab.twin.answers import Model, cut_short, render
from tagspace_lab.twin.dialects import rate_limit_headers, refusal_headers, refusal_message
from tagspace_lab.twin.fates import Ending, Fate, draw_fate, service_s, weather
from tagspace_lab.twin.injection import find_orders, is_obeyed, say_as_ordered
from tagspace_lab.twin.noise import draw
from tagspace_lab.twin.quotas import Charge, Gate, Verdict
from tagspace_lab.twin.schema import Injection, Provider, Quality
from tagspace_lab.twin.stopwatch import Stopwatch
from tagspace_lab.twin.wires import AnthropicWire, Ask, OpenAIWire, Usage, VendorError, Wire, find_pages

__all__ = ["Decision", "ProviderTwin"]

_LOG_ENTRIES = 100_000
_CACHED_PREFIXES = 64
_CACHE_TTL_S = 300.0
_CACHE_MIN_TOKENS = 1024
_UNREADABLE = 400
"""What is wrong with such a request is found behind the limits, so that its answer tells them."""
_PLAIN_ANSWER = "This is a simulated model: it tags the pages of its space and has nothing else to say."
_MODELS = {
    "object": "list",
    "data": [
        {"id": "twin", "object": "model", "created": 0, "owned_by": "twin"}
        | {"type": "model", "display_name": "Twin", "created_at": "1970-01-01T00:00:00Z"}
    ],
    "has_more": False,
    "first_id": "twin",
    "last_id": "twin",
}
"""The list of models in the words of both vendors, whose SDKs ask for it at the same address."""


class Decision(NamedTuple):
    """What the gate said to one call: `limit` names what refused it and is empty if it was admitted.

    `in_flight` counts the calls in progress after the decision.
    """

    at_s: float
    limit: str
    in_flight: int


@dataclass(frozen=True, slots=True)
class _Call:
    """An accepted request, weighed; `page_ids` is None where the prompt holds no pages."""

    ask: Ask
    page_ids: list[str] | None
    input_tokens: int
    cached_tokens: int
    created_tokens: int
    charge: Charge


class ProviderTwin:
    """One provider. `log` holds its last 100,000 decisions, `counts` all of them by refusing limit ("" for admitted).

    `elapsed_s` tells the time since the run began, and what the wall clock said at its start.
    """

    def __init__(
        self,
        provider: Provider,
        space: Space,
        quality: Quality,
        *,
        elapsed_s: Stopwatch,
        name: str = "provider",
        seed: int = 0,
        injection: Injection | None = None,
    ) -> None:
        self._provider, self._elapsed_s, self._injection = provider, elapsed_s, injection
        self._key = (seed, name)
        self._model = Model(space, quality, provider.output, seed=seed)
        self._seen: Counter[bytes] = Counter()
        self._prefixes: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.log: deque[Decision] = deque(maxlen=_LOG_ENTRIES)
        self.counts: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Calls in progress."""
        return self._gate.in_flight if self.counts else 0

    @cached_property
    def _gate(self) -> Gate:
        """Made for the first call, which starts the clock that its windows may follow."""
        seed, name = self._key
        provider = self._provider
        return Gate(provider.limits, provider.events, seed=seed, name=name, phase_s=self._elapsed_s.epoch_s)

    def wait_s(self, cost: Cost) -> float | None:
        """Seconds until a call of `cost` would be admitted if no other came; None: not before one has ended.

        For those who are to know the limits; everybody else finds out by calling.
        """
        return self._gate.wait_s(self._charge(cost.output_tokens, cost.input_tokens), self._elapsed_s())

    def routes(self, prefix: str) -> list[Route]:
        """The two endpoints under `prefix`, such as `/v1`, and the list of models that SDKs greet a server with."""
        openai, anthropic = OpenAIWire(), AnthropicWire()

        async def complete_chat(request: Request) -> Response:
            return await self._serve(request, openai)

        async def create_message(request: Request) -> Response:
            return await self._serve(request, anthropic)

        async def list_models(_: Request) -> Response:
            return JSONResponse(_MODELS)

        return [
            Route(f"{prefix}/models", list_models, methods=["GET"]),
            Route(f"{prefix}/chat/completions", complete_chat, methods=["POST"]),
            Route(f"{prefix}/messages", create_message, methods=["POST"]),
        ]

    async def _serve(self, request: Request, wire: Wire) -> Response:
        body = await request.body()
        now_s = self._elapsed_s()
        try:
            call = self._weigh(wire.read(request.headers, body), wire, now_s)
            verdict = self._decide(call, now_s)
            if not verdict.is_admitted:
                await asyncio.sleep(self._provider.latency.reject_s)
                return self._refuse(call, verdict, wire)
            try:
                return await self._work(call, wire, now_s)
            finally:
                self._gate.leave()
        except VendorError as error:
            headers = self._limit_headers() if error.status == _UNREADABLE else {}
            return JSONResponse(wire.error(error), error.status, headers)

    def _weigh(self, ask: Ask, wire: Wire, now_s: float) -> _Call:
        """Count tokens and what they will be charged as; raises VendorError for a prompt that is too long."""
        provider = self._provider
        tokens = ceil(ask.chars / provider.chars_per_token)
        if tokens > provider.max_context_tokens:
            raise VendorError(
                f"This model's maximum context length is {provider.max_context_tokens} tokens. However, your "
                f"messages resulted in {tokens} tokens. Please reduce the length of the messages.",
                code="context_length_exceeded",
                param="messages",
            )
        prefix = int(len(ask.prefix) / provider.chars_per_token) // wire.cache_step * wire.cache_step
        is_cacheable = ask.is_cacheable and prefix >= _CACHE_MIN_TOKENS
        is_cached = is_cacheable and self._is_known(ask, now_s)
        cached, created = (prefix, 0) if is_cached else (0, prefix if is_cacheable else 0)
        counted = tokens if wire.counts_cached else tokens - cached
        return _Call(ask, find_pages(ask.prompt), tokens, cached, created, self._charge(ask.max_tokens, counted))

    def _charge(self, max_tokens: int | None, input_tokens: int) -> Charge:
        """What the gate takes on arrival. Output that is not reserved needs room for one token, no more."""
        if self._provider.limits.reserve_max_tokens:
            reserved = max_tokens or 1
            return Charge(1, max(reserved, input_tokens), input_tokens, reserved)
        return Charge(1, input_tokens, input_tokens, 1)

    def _decide(self, call: _Call, now_s: float) -> Verdict:
        verdict = self._gate.admit(call.charge, now_s)
        self.log.append(Decision(now_s, verdict.limit, self._gate.in_flight))
        self.counts[verdict.limit] += 1
        return verdict

    def _refuse(self, call: _Call, verdict: Verdict, wire: Wire) -> Response:
        dialect = self._provider.headers
        kind = verdict.limit if verdict.limit in ("requests", "tokens") else "rate_limit_error"
        error = VendorError(
            refusal_message(dialect, verdict, call.ask.model),
            status=verdict.status,
            kind=kind if verdict.status == 429 else None,
            code="429" if dialect in ("azure", "gateway") else "rate_limit_exceeded",
        )
        headers = self._limit_headers() | refusal_headers(dialect, verdict)
        return JSONResponse(wire.error(error), error.status, headers)

    async def _work(self, call: _Call, wire: Wire, now_s: float) -> Response:
        """Take the time that the call takes, then answer it; raises VendorError if its fate is a fault."""
        latency = self._provider.latency
        call_id, fate = self._draw(call)
        load = self._load(now_s)
        if fate.ending is Ending.TIMEOUT:
            await asyncio.sleep(self._provider.faults.timeout_s)
            raise VendorError("The server had no answer in time.", status=504)
        if fate.ending is Ending.SERVER_ERROR:
            await asyncio.sleep(service_s(latency, fate, 0, load))
            raise VendorError("The server had an error while processing your request.", status=wire.overload_status)
        text, output_tokens, is_cut = self._say(call, fate, call_id)
        await asyncio.sleep(service_s(latency, fate, output_tokens, load))
        self._settle(call, output_tokens)
        usage = Usage(call.input_tokens, output_tokens, call.cached_tokens, call.created_tokens)
        body = wire.answer(call.ask, text, usage, call_id, int(self._elapsed_s.epoch_s + now_s), is_cut)
        return JSONResponse(body, headers=self._limit_headers())

    def _draw(self, call: _Call) -> tuple[str, Fate]:
        """An id for an accepted call and its fate, both keyed by its pages and how often they were accepted before."""
        name = draw(*sorted(call.page_ids)) if call.page_ids else draw(call.ask.prompt)
        number = self._seen[name]
        self._seen[name] += 1
        key = (*self._key, name.hex(), number)
        return draw(*key, size=12).hex(), draw_fate(self._provider.faults, len(call.page_ids or ()), *key)

    def _load(self, now_s: float) -> float:
        """What latency is multiplied by for a call that has just been admitted."""
        factor = weather(self._provider.latency, now_s, *self._key)
        if (reference := self._provider.load_reference) is not None:
            factor *= 1.0 + self._provider.latency.load_factor * (self._gate.in_flight - 1) / reference
        return factor

    def _say(self, call: _Call, fate: Fate, call_id: str) -> tuple[str, int, bool]:
        """The model's text, its tokens, and whether max_tokens cut it."""
        if call.page_ids is None:
            text = render([]) if call.ask.wants_json else _PLAIN_ANSWER
            tokens = ceil(len(text) / self._provider.chars_per_token)
        else:
            entries, tokens = self._model.answer(call.page_ids)
            entries = cut_short(entries, fate.cut) if fate.ending is Ending.PARTIAL else entries
            order = self._order(call, call_id)
            text = say_as_ordered(entries, order, call_id) if order else render(entries)
        if fate.ending is Ending.MALFORMED:
            text = text[: int(fate.cut * (len(text) - 1))]
        if call.ask.max_tokens is None or tokens <= call.ask.max_tokens:
            return text, tokens, False
        return text[: len(text) * call.ask.max_tokens // tokens], call.ask.max_tokens, True

    def _order(self, call: _Call, call_id: str) -> str:
        """The label that one of the pages demands for all of them, if the model obeys; else empty."""
        if self._injection is None or not is_obeyed(self._injection, call_id):
            return ""
        return next(iter(find_orders(call.ask.prompt)), "")

    def _settle(self, call: _Call, output_tokens: int) -> None:
        """Charge the real output, and remember the prompt's fixed part: it is in the cache once it was answered."""
        now_s = self._elapsed_s()
        if not self._provider.limits.reserve_max_tokens:
            self._gate.settle(Charge(0, output_tokens, 0, output_tokens - 1), now_s)
        if call.cached_tokens or call.created_tokens:
            key = (call.ask.model, call.ask.prefix)
            self._prefixes[key] = now_s
            self._prefixes.move_to_end(key)
            while len(self._prefixes) > _CACHED_PREFIXES:
                self._prefixes.popitem(last=False)

    def _is_known(self, ask: Ask, now_s: float) -> bool:
        used_s = self._prefixes.get((ask.model, ask.prefix))
        return used_s is not None and now_s - used_s <= _CACHE_TTL_S

    def _limit_headers(self) -> dict[str, str]:
        if self._provider.headers == "none":
            return {}
        now_s = self._elapsed_s()
        return rate_limit_headers(self._provider.headers, self._gate.gauges(now_s), self._elapsed_s.epoch_s + now_s)
