"""A batch goes in, one tagging a page comes out, whatever the providers do meanwhile.

The second of the two edges that run back: a batch that failed or came home in part is tried again,
split, or sent to the other provider, all in this file. What the verdict is stands in
`policy/retries.py`; when a call may start is the throttle's business.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tagspace_lab.clients.models import Model
from tagspace_lab.pipeline.marks import Marks
from tagspace_lab.pipeline.throttle import Closed, Slot, Throttle
from tagspace_lab.policy.batching import split
from tagspace_lab.policy.prompts import LabelRules, build_prompt, parse_answer
from tagspace_lab.policy.retries import BUDGET_WAIT_S, RetryBudget, Verdict, backoff_s, judge_failure
from tagspace_lab.records import Attempt, Batch, Cost, Outcome, Rates, Reply, Status, Tagging
from tagspace_lab.settings import Settings

__all__ = ["Endpoint", "Router"]

_PATIENCE_S = 5.0
"""The first provider is waited for if it would start a call less than this after the other one."""
_MOST_REFUSALS = 8
"""After so many refusals, none as large as it having been let in meanwhile, a call may be more than a limit lets in."""
_REFUSALS_OF_THE_LARGEST = 4
"""The same of a call that is larger than any that was ever let in: waits may double, and time is short."""
_LAST_RESORT = 0.25
"""Of the give-up time: when nothing at all has been let in for so long, calls are split without more proof."""
_MAY_BE_TOO_LARGE = "; it was refused {} times while smaller calls were let in: it may be larger than a limit allows"


@dataclass(eq=False, slots=True)
class Endpoint:
    """One provider as the router sees it. `closed`: why it takes no more calls; empty while it does."""

    name: str
    model: Model
    throttle: Throttle
    closed: str = ""
    refused: set[_Call] = field(default_factory=set)  # and not answered since
    largest: int = 0  # tokens of the largest call that was let in


@dataclass(eq=False, slots=True)
class _Call:
    """One prompt on its way: the same call until it is answered, split or given up."""

    batch: Batch
    id: int
    failures: int = 0
    broken: int = 0  # answers that left pages out: the next one is given more room
    refusals: int = 0
    tries: int = 0
    turn: int = 0  # in the queue
    tokens: int = 0  # that its last prompt was expected to take
    in_vain: int = 0  # refusals since one as large was let in
    overtaken_by: int = 0  # tokens of the largest one that was let in meanwhile
    endpoint: Endpoint | None = None
    given_up: list[Endpoint] = field(default_factory=list)

    @property
    def is_overtaken(self) -> bool:
        return 0 < self.overtaken_by < self.tokens


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
        self._marks = Marks()
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

    @property
    def rates(self) -> Rates:
        """What the primary's throttle has learned of its limits."""
        return self._endpoints[0].throttle.limiter.rates

    def begin(self, task_id: str) -> None:
        """The run begins now."""
        self.began_s = asyncio.get_running_loop().time()
        self._marks.on_start(task_id, [endpoint.name for endpoint in self._endpoints])

    async def tag(self, batch: Batch) -> AsyncIterator[list[Tagging]]:
        """One tagging for every page of `batch`, some with each answer: tagged, or an error or stop that says why."""
        todo = deque([self._new_call(batch)])
        while todo:
            call = todo.popleft()
            try:
                taggings, rest = await self._ask(call)
            except Closed:
                taggings, rest = _give_up(call.batch, *self._why_ended(call)), []
            todo.extendleft(reversed(rest))
            if taggings:
                yield taggings

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
        if endpoint is not self._endpoints[0]:
            self._marks.on_fallback(self._at_s(), endpoint.name, call.id, self._why_elsewhere(call))
        try:
            reply = await self._attempt(endpoint, call)
        except Closed:
            if self._ended.is_set():
                raise
            return [], [call]  # only this provider was closed: choose again
        if reply.outcome is Outcome.OK:
            return self._read(call, reply)
        if reply.outcome is Outcome.ADAPTED:
            return [], [call]  # no fault of the pages: again, in the form that the server takes
        return await self._recover(endpoint, call, reply)

    async def _attempt(self, endpoint: Endpoint, call: _Call) -> Reply:
        prompt = build_prompt(call.batch, self._rules, call.broken)
        slot = await endpoint.throttle.acquire(prompt.cost, call.turn)
        call.tries += 1
        reply: Reply | None = None
        try:
            reply = await endpoint.model.send(prompt)
        finally:
            endpoint.throttle.release(slot, reply)
        self._compare(endpoint, call, prompt.cost.tokens, reply)
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
            why = ": ".join(filter(None, (reply.message, answer.problem)))
            return taggings + _give_up(rest, Status.ERROR, f"{why} ({failures} attempts)"), []
        return taggings, self._split(call, rest, "the answer left pages out", failures, call.broken + 1)

    async def _recover(self, endpoint: Endpoint, call: _Call, reply: Reply) -> tuple[list[Tagging], list[_Call]]:
        """After a failed attempt: wait and send again, elsewhere or in halves, or end the pages as errors."""
        is_refusal = reply.outcome is Outcome.RATE_LIMITED
        call.failures += not is_refusal
        if reply.rate_limit.is_oversized and len(call.batch) == 1 and len(self._open(call)) > 1:
            call.given_up.append(endpoint)  # the other one may allow more
            return [], [call]
        is_suspect = is_refusal and self._seems_too_large(endpoint, call, reply)
        verdict = judge_failure(
            reply.outcome,
            status=reply.status,
            attempts=call.failures,
            max_attempts=self._settings.max_attempts,
            pages=len(call.batch),
            is_oversized=reply.rate_limit.is_oversized or (is_suspect and self._may_split(endpoint, call)),
        )
        match verdict:
            case Verdict.WAIT:
                if is_suspect:
                    call.turn = self._next_number()  # the others go first
                await self._wait_for_turn(endpoint, call, reply)
            case Verdict.RETRY:
                await self._back_off(endpoint, call)
            case Verdict.CLOSE:
                endpoint.closed = f"{endpoint.name}: {reply.message}"
                endpoint.throttle.close()
                self._marks.on_close(self._at_s(), endpoint.name, reply)
            case Verdict.SPLIT:
                halves = self._split(call, call.batch, f"{endpoint.name}: {reply.outcome}, HTTP {reply.status}")
                for half in halves if is_suspect else ():
                    half.turn, half.in_vain, half.overtaken_by = call.turn, call.in_vain, call.overtaken_by
                return [], halves
            case Verdict.FAIL if is_refusal:
                reason = f"{endpoint.name}: the page alone is more than one request may take: {reply.message}"
                return _give_up(call.batch, Status.ERROR, reason), []
            case Verdict.FAIL:
                reason = f"{endpoint.name}: {reply.message} ({call.failures} attempts)"
                return _give_up(call.batch, Status.ERROR, reason), []
        return [], [call]

    def _compare(self, endpoint: Endpoint, call: _Call, tokens: int, reply: Reply) -> None:
        """Note whether larger calls than those that were refused are let in: if so, it was not for their size."""
        call.tokens = tokens
        if reply.outcome is Outcome.RATE_LIMITED:
            call.in_vain += 1
            endpoint.refused.add(call)
            return
        for either in self._endpoints:
            either.refused.discard(call)
        if reply.outcome is Outcome.OK:
            endpoint.largest = max(endpoint.largest, tokens)
        for other in endpoint.refused if reply.outcome is Outcome.OK else ():
            other.overtaken_by = max(other.overtaken_by, tokens)
            if not other.is_overtaken:
                other.in_vain = other.overtaken_by = 0

    def _seems_too_large(self, endpoint: Endpoint, call: _Call, reply: Reply) -> bool:
        if reply.rate_limit.cause in ("requests", "concurrency"):
            return False
        most = _REFUSALS_OF_THE_LARGEST if call.tokens > endpoint.largest else _MOST_REFUSALS
        return call.in_vain >= most or self._is_last_resort(endpoint, call)

    def _may_split(self, endpoint: Endpoint, call: _Call) -> bool:
        is_smaller_let_in = call.is_overtaken or 0 < endpoint.largest < call.tokens
        return len(call.batch) > 1 and (is_smaller_let_in or self._is_last_resort(endpoint, call))

    def _is_last_resort(self, endpoint: Endpoint, call: _Call) -> bool:
        """Nothing has been let in for long, and this is the call that has waited longest: the only one to try."""
        failing_s = self.failing_s(asyncio.get_running_loop().time())
        is_oldest = all(call.turn <= other.turn for other in endpoint.refused)
        return is_oldest and failing_s >= _LAST_RESORT * self._settings.give_up_s

    async def _wait_for_turn(self, endpoint: Endpoint, call: _Call, reply: Reply) -> None:
        call.refusals += 1
        if self._turn_away(endpoint, call):
            return
        delay_s = endpoint.throttle.limiter.retry_delay_s(call.refusals, reply)
        if delay_s is None:
            call.given_up.append(endpoint)
            call.refusals = 0
        elif delay_s > 0:
            await self._pause(endpoint, call, delay_s)
        elif self._soonest(self._open(call), call) is not endpoint:
            endpoint.throttle.turn_away()  # those who wait in vain choose again, too

    async def _back_off(self, endpoint: Endpoint, call: _Call) -> None:
        if self._turn_away(endpoint, call):
            return
        wait_s = backoff_s(call.failures, self._rng)
        await self._pause(endpoint, call, wait_s if self._budget.spend() else max(wait_s, BUDGET_WAIT_S))

    def _turn_away(self, endpoint: Endpoint, call: _Call) -> bool:
        """The way of before: after any error at the primary the fallback is asked at once."""
        at_primary = endpoint is self._endpoints[0]
        call.endpoint = self._endpoints[-1] if self._settings.fallback == "any-error" and at_primary else None
        return call.endpoint not in (None, endpoint)

    def _choose(self, call: _Call) -> Endpoint | None:
        """The endpoint that takes this call next; None if none is left that could."""
        open_ = self._open(call)
        chosen, call.endpoint = call.endpoint, None
        return chosen if chosen in open_ else self._soonest(open_, call)

    def _open(self, call: _Call) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints if not endpoint.closed and endpoint not in call.given_up]

    def _soonest(self, endpoints: list[Endpoint], call: _Call) -> Endpoint | None:
        """The first of `endpoints`, unless it cools down and the other one is expected to start `call` much sooner."""
        now_s = asyncio.get_running_loop().time()
        if len(endpoints) < 2 or endpoints[0].throttle.limiter.cooling_until_s <= now_s:
            return next(iter(endpoints), None)
        cost = Cost(call.batch.tokens)
        first_s, other_s = (endpoint.throttle.predict_start_s(cost) for endpoint in endpoints)
        return endpoints[0] if first_s <= other_s + _PATIENCE_S else endpoints[1]

    def _why_closed(self) -> str:
        reasons = [endpoint.closed for endpoint in self._endpoints if endpoint.closed]
        return "; ".join(reasons) or "every provider refused the call too often (rate limit)"

    def _why_elsewhere(self, call: _Call) -> str:
        """Why a call goes past the primary, for the log."""
        primary = self._endpoints[0]
        cooling_s = primary.throttle.limiter.cooling_until_s - asyncio.get_running_loop().time()
        if primary.closed:
            return f"{primary.name} takes no more calls"
        if primary in call.given_up:
            return f"{primary.name} refused it too often"
        if self._settings.fallback == "any-error" and (call.failures or call.refusals):
            return f"after an error at {primary.name}"
        return f"{primary.name} cools down for {cooling_s:.3f} s" if cooling_s > 0 else "it may start there sooner"

    def _at_s(self) -> float:
        return asyncio.get_running_loop().time() - self.began_s

    def _why_ended(self, call: _Call) -> tuple[Status, str]:
        status, reason = self._end
        is_suspect = status is Status.ERROR and call.is_overtaken and call.in_vain >= _MOST_REFUSALS
        return status, reason + (_MAY_BE_TOO_LARGE.format(call.in_vain) if is_suspect else "")

    def _new_call(self, batch: Batch, failures: int = 0, broken: int = 0) -> _Call:
        number = self._next_number()
        return _Call(batch, number, failures, broken, turn=number)

    def _split(self, call: _Call, rest: Batch, why: str, failures: int = 0, broken: int = 0) -> list[_Call]:
        """What is left of a call, in halves."""
        halves = split(rest)
        self._marks.on_split(self._at_s(), call.id, len(call.batch), [len(half) for half in halves], why)
        return [self._new_call(half, failures, broken) for half in halves]

    def _next_number(self) -> int:
        self._calls += 1
        return self._calls

    async def _pause(self, endpoint: Endpoint, call: _Call, delay_s: float) -> None:
        """Sleep, unless the run ends first."""
        self._marks.on_delay(self._at_s(), endpoint.name, call.id, delay_s)
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
            attempt := Attempt(
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
                pace_per_s=slot.pace_per_s,
                queued=slot.queued,
                expected=slot.start.cost,
                rate_limit=reply.rate_limit,
            )
        )
        self._marks.on_attempt(attempt, reply, endpoint.throttle, now_s)


def _give_up(batch: Batch, status: Status, reason: str) -> list[Tagging]:
    return [Tagging(page_id, status, reason=reason) for page_id in batch.page_ids]
