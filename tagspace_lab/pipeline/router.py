"""A batch goes in, one tagging a page comes out, whatever the providers do meanwhile.

The second of the two edges that run back: a batch that failed or came home in part is tried again,
split, or sent to the other provider, all in this file. What the verdict is stands in
`policy/retries.py`; when a call may start is the throttle's business.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tagspace_lab.clients.models import Model
from tagspace_lab.pipeline.throttle import Closed, Slot, Throttle
from tagspace_lab.policy.batching import split
from tagspace_lab.policy.prompts import LabelRules, build_prompt, parse_answer
from tagspace_lab.policy.retries import BUDGET_WAIT_S, RetryBudget, Verdict, backoff_s, judge_failure
from tagspace_lab.records import Attempt, Batch, Outcome, Reply, Status, Tagging
from tagspace_lab.settings import Settings

__all__ = ["Endpoint", "Router"]

_PATIENCE_S = 5.0
"""A provider that cools down for less than this is waited for."""


@dataclass(eq=False, slots=True)
class Endpoint:
    """One provider as the router sees it. `closed`: why it takes no more calls; empty while it does."""

    name: str
    model: Model
    throttle: Throttle
    closed: str = ""


@dataclass(eq=False, slots=True)
class _Call:
    """One prompt on its way: the same call until it is answered, split or given up."""

    batch: Batch
    id: int
    failures: int = 0
    broken: int = 0  # answers that left pages out: the next one is given more room
    refusals: int = 0
    tries: int = 0
    endpoint: Endpoint | None = None
    given_up: list[Endpoint] = field(default_factory=list)


class Router:
    """Primary provider, retries, splits and fallback. `record` gets every attempt as it ends."""

    def __init__(
        self,
        primary: Endpoint,
        fallback: Endpoint | None,
        *,
        settings: Settings,
        rules: LabelRules,
        rng: random.Random,
        record: Callable[[Attempt], None],
    ) -> None:
        self._endpoints = [primary] if fallback is None or settings.fallback == "never" else [primary, fallback]
        self._settings = settings
        self._rules = rules
        self._rng = rng
        self._record = record
        self._budget = RetryBudget(settings.retry_budget)
        self._calls = 0
        self._ended = asyncio.Event()
        self._end = (Status.STOPPED, "the run was stopped")
        self._failing_since_s = 0.0
        self.failing = asyncio.Event()
        """Set while the last thing heard was a failure."""
        self.began_s = 0.0
        """When the run began, by the event loop's clock: the zero of all times that are recorded."""
        self.fallbacks = 0
        """Attempts that were sent to the fallback provider."""

    async def tag(self, batch: Batch) -> list[Tagging]:
        """One tagging for every page of `batch`: tagged, or an error or stop that says why."""
        done: list[Tagging] = []
        todo = deque([self._new_call(batch)])
        while todo:
            call = todo.popleft()
            try:
                taggings, rest = await self._ask(call)
            except Closed:
                taggings, rest = _give_up(call.batch, *self._end), []
            done += taggings
            todo.extendleft(reversed(rest))
        return done

    def end(self, status: Status, reason: str) -> None:
        """Start nothing more: what waits ends with `status` and `reason`, what is in flight comes home."""
        self._end = (status, reason)
        self._ended.set()
        for endpoint in self._endpoints:
            endpoint.throttle.close()

    def failing_s(self, now_s: float) -> float:
        """Seconds since the first of the failures after which nothing has succeeded; 0.0 when all is well."""
        return now_s - self._failing_since_s if self.failing.is_set() else 0.0

    async def _ask(self, call: _Call) -> tuple[list[Tagging], list[_Call]]:
        """Try once: the taggings that this ended with, and the calls that are still to be made."""
        endpoint = self._choose(call)
        if endpoint is None:
            return _give_up(call.batch, Status.ERROR, self._why_closed()), []
        try:
            reply = await self._attempt(endpoint, call)
        except Closed:
            if self._ended.is_set():
                raise
            return [], [call]  # only this provider was closed: choose again
        if reply.outcome is Outcome.OK:
            return self._read(call, reply)
        return await self._recover(endpoint, call, reply)

    async def _attempt(self, endpoint: Endpoint, call: _Call) -> Reply:
        prompt = build_prompt(call.batch, self._rules, call.broken)
        slot = await endpoint.throttle.acquire(prompt.cost, call.id)
        call.tries += 1
        reply: Reply | None = None
        try:
            reply = await endpoint.model.send(prompt)
        finally:
            endpoint.throttle.release(slot, reply)
        self._note(endpoint, call, slot, reply)
        return reply

    def _read(self, call: _Call, reply: Reply) -> tuple[list[Tagging], list[_Call]]:
        """Keep the good pages of an answer; ask again for the others, in smaller batches."""
        answer = parse_answer(reply.text, call.batch.page_ids, self._rules)
        taggings = [Tagging(page_id, Status.TAGGED, labels) for page_id, labels in answer.labels.items()]
        if not answer.missing:
            return taggings, []
        missing = set(answer.missing)
        rest = Batch(tuple(text for text in call.batch.texts if text.page_id in missing))
        failures = call.failures + 1
        if len(call.batch) == 1 and failures >= self._settings.max_attempts:
            return taggings + _give_up(rest, Status.ERROR, f"{answer.problem} ({failures} attempts)"), []
        return taggings, [self._new_call(half, failures, call.broken + 1) for half in split(rest)]

    async def _recover(self, endpoint: Endpoint, call: _Call, reply: Reply) -> tuple[list[Tagging], list[_Call]]:
        """After a failed attempt: wait and send again, elsewhere or in halves, or end the pages as errors."""
        call.failures += reply.outcome is not Outcome.RATE_LIMITED
        verdict = judge_failure(
            reply.outcome,
            status=reply.status,
            attempts=call.failures,
            max_attempts=self._settings.max_attempts,
            pages=len(call.batch),
        )
        match verdict:
            case Verdict.WAIT:
                await self._wait_for_turn(endpoint, call, reply)
            case Verdict.RETRY:
                await self._back_off(endpoint, call)
            case Verdict.CLOSE:
                endpoint.closed = f"{endpoint.name}: {reply.message}"
                endpoint.throttle.close()
            case Verdict.SPLIT:
                return [], [self._new_call(half) for half in split(call.batch)]
            case Verdict.FAIL:
                reason = f"{endpoint.name}: {reply.message} ({call.failures} attempts)"
                return _give_up(call.batch, Status.ERROR, reason), []
        return [], [call]

    async def _wait_for_turn(self, endpoint: Endpoint, call: _Call, reply: Reply) -> None:
        call.refusals += 1
        if self._turn_away(endpoint, call):
            return
        delay_s = endpoint.throttle.limiter.retry_delay_s(call.refusals, reply)
        if delay_s is None:
            call.given_up.append(endpoint)
            call.refusals = 0
        elif delay_s > 0:
            await self._pause(delay_s)
        elif self._soonest(self._open(call)) is not endpoint:
            endpoint.throttle.turn_away()  # those who wait in vain choose again, too

    async def _back_off(self, endpoint: Endpoint, call: _Call) -> None:
        if self._turn_away(endpoint, call):
            return
        wait_s = backoff_s(call.failures, self._rng)
        await self._pause(wait_s if self._budget.spend() else max(wait_s, BUDGET_WAIT_S))

    def _turn_away(self, endpoint: Endpoint, call: _Call) -> bool:
        """The way of before: after any error at the primary the fallback is asked at once."""
        at_primary = endpoint is self._endpoints[0]
        call.endpoint = self._endpoints[-1] if self._settings.fallback == "any-error" and at_primary else None
        return call.endpoint not in (None, endpoint)

    def _choose(self, call: _Call) -> Endpoint | None:
        """The endpoint that takes this call next; None if none is left that could."""
        open_ = self._open(call)
        chosen, call.endpoint = call.endpoint, None
        return chosen if chosen in open_ else self._soonest(open_)

    def _open(self, call: _Call) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints if not endpoint.closed and endpoint not in call.given_up]

    def _soonest(self, endpoints: list[Endpoint]) -> Endpoint | None:
        """The first of `endpoints` if it cools down for a short while at most, else the one that is ready first."""
        now_s = asyncio.get_running_loop().time()
        waits_s = [max(0.0, endpoint.throttle.limiter.cooling_until_s - now_s) for endpoint in endpoints]
        if not endpoints or waits_s[0] <= _PATIENCE_S:
            return next(iter(endpoints), None)
        return endpoints[waits_s.index(min(waits_s))]

    def _why_closed(self) -> str:
        reasons = [endpoint.closed for endpoint in self._endpoints if endpoint.closed]
        return "; ".join(reasons) or "every provider refused the call too often (rate limit)"

    def _new_call(self, batch: Batch, failures: int = 0, broken: int = 0) -> _Call:
        self._calls += 1
        return _Call(batch, self._calls, failures, broken)

    async def _pause(self, delay_s: float) -> None:
        """Sleep, unless the run ends first."""
        try:
            async with asyncio.timeout(delay_s):
                await self._ended.wait()
        except TimeoutError:
            return
        raise Closed

    def _note(self, endpoint: Endpoint, call: _Call, slot: Slot, reply: Reply) -> None:
        now_s = asyncio.get_running_loop().time()
        self.fallbacks += endpoint is not self._endpoints[0]
        if reply.outcome is Outcome.OK:
            self.failing.clear()
            self._budget.on_success()
        elif not self.failing.is_set():
            self.failing.set()
            self._failing_since_s = now_s
        self._record(
            Attempt(
                call=call.id,
                number=call.tries,
                provider=endpoint.name,
                started_s=slot.start.at_s - self.began_s,
                ended_s=now_s - self.began_s,
                outcome=reply.outcome,
                status=reply.status,
                pages=len(call.batch),
                input_tokens=reply.used.input_tokens,
                output_tokens=reply.used.output_tokens,
                cached_tokens=reply.cached_tokens,
                waited_s=slot.waited_s,
                in_flight=slot.start.in_flight,
                window=slot.window,
                retry_after_s=reply.rate_limit.retry_after_s,
            )
        )


def _give_up(batch: Batch, status: Status, reason: str) -> list[Tagging]:
    return [Tagging(page_id, status, reason=reason) for page_id in batch.page_ids]
