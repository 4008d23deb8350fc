"""The process's calls at its providers, under one throttle: `get_concurrency_manager()`.

The limiter learns for as long as the process lives; the queue in front of it belongs to an event loop, so there is one
a loop. A loop may be closed at any time, and the next one may have another clock. Loops that run at once, in threads of
their own, keep to one limit together.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from tagspace_lab.errors import InputError
from tagspace_lab.integration.failures import read_failure
from tagspace_lab.integration.hosts import HAS_SLOT
from tagspace_lab.pipeline.marks import Marks
from tagspace_lab.pipeline.throttle import Closed, Slot, Throttle
from tagspace_lab.policy.limits import Start, make_limiter
from tagspace_lab.records import Attempt, Cost, Outcome, RateLimit, Reply
from tagspace_lab.settings import Settings

__all__ = ["FALLBACK", "PRIMARY", "RUN", "ConcurrencyManager", "RunThrottle"]

RUN: ContextVar[Counter[str] | None] = ContextVar("tagspace_lab_run", default=None)
"""The counters of the pipeline's run within which something is counted, if there is one."""

PRIMARY, FALLBACK = "primary", "fallback"
_UNKNOWN = Cost(1, 1)
_CLOCK_JITTER_S = 1.0
"""By less than this the clocks of two loops may differ that are meant to be the same."""
_TURN_S = 0.005
"""How long a loop holds back for another one, whose call has waited longer."""
_LOOK_AGAIN_S = 0.5
"""When a loop that waits for others' calls looks whether these still run."""
_TOLD = Reply(Outcome.RATE_LIMITED, 429, rate_limit=RateLimit(cause="concurrency"))

T = TypeVar("T")


class _Lane:
    """One provider of the process: its limiter, and a queue for each event loop that uses it.

    `lock` is held by whoever starts or ends a call, and never across an await.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._latest_s = 0.0
        self.lock = threading.RLock()
        self._renew()

    def _renew(self) -> None:
        self.limiter = make_limiter(self._settings, random.Random(time.time_ns()))  # noqa: S311 - jitter
        self.queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()

    def queue(self) -> _Queue:
        """That of the running loop."""
        with self.lock:
            self.now_s()
            loop = asyncio.get_running_loop()
            if loop not in self.queues:
                self.queues[loop] = _Queue(self)
            return self.queues[loop]

    def now_s(self) -> float:
        """The time by which the limiter learns; what it learned is forgotten where that went back."""
        try:
            now_s = asyncio.get_running_loop().time()
        except RuntimeError:
            now_s = time.monotonic()  # the clock of every ordinary loop
        with self.lock:
            if now_s < self._latest_s - _CLOCK_JITTER_S:
                self._renew()
            self._latest_s = now_s
        return now_s

    def learn(self, reply: Reply) -> None:
        """Take in what became of a call that nobody asked a slot for."""
        with self.lock:
            now_s = self.now_s()
            start = Start(now_s, _UNKNOWN, max(1, int(self.limiter.window)))
            self.limiter.on_start(start)
            self.limiter.on_end(now_s, start, reply)


class _Queue(Throttle):
    """The throttle of one loop, beside those of others: what these have in flight counts, and who waits longest starts.

    Calls of a loop that does not run now are as good as ended.
    """

    def __init__(self, lane: _Lane) -> None:
        super().__init__(lane.limiter)
        self._lane = lane
        self._is_holding_back = False

    @property
    def in_flight(self) -> int:
        return self._in_flight + sum(other._in_flight for _, other in self._others())

    def release(self, slot: Slot, reply: Reply | None) -> None:
        with self._lane.lock:
            super().release(slot, reply)
            self._wake_others()

    def _admit(self) -> None:
        with self._lane.lock:
            if self._is_holding_back:
                return
            if self._queue and self._wake_others(before_s=self._queue[0].since_s):
                self._is_holding_back = True
                asyncio.get_running_loop().call_later(_TURN_S, self._take_turn)
            else:
                self._start_what_may()

    def _take_turn(self) -> None:
        self._is_holding_back = False
        with self._lane.lock:
            self._start_what_may()

    def _start_what_may(self) -> None:
        super()._admit()
        if self._queue and self._timer is None and not self._in_flight:  # none of ours will wake us
            self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._admit)

    def _wake_others(self, before_s: float = math.inf) -> bool:
        """Let other loops look at their queues whose first call came before; whether there are any."""
        woken = [(loop, other) for loop, other in self._others() if other._queue and other._queue[0].since_s < before_s]
        for loop, other in woken:
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(other._admit)
        return bool(woken)

    def _others(self) -> list[tuple[asyncio.AbstractEventLoop, _Queue]]:
        queues = list(self._lane.queues.items()) if len(self._lane.queues) > 1 else []
        return [(loop, other) for loop, other in queues if other is not self and loop.is_running()]


class ConcurrencyManager:
    """How many calls may be in flight, learned from what becomes of them. Use it within any event loop.

    >>> import asyncio
    >>> from tagspace_lab.integration import get_concurrency_manager, reset
    >>> reset()
    >>> async def ask():
    ...     return "answer"
    >>> manager = get_concurrency_manager()
    >>> asyncio.run(manager.call_with_limit(ask()))
    'answer'
    >>> manager.metrics["total_ai_calls"], manager.current_concurrency
    (1, 3)
    >>> manager.record_rate_limit_error()
    >>> manager.current_concurrency, manager.get_metrics()["rate_limit_errors"]
    (2, 1)
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lanes = {name: _Lane(settings) for name in (PRIMARY, FALLBACK)}
        self._marks = Marks()
        self._began_s = self._lanes[PRIMARY].now_s()
        self.calls = 0
        """Calls that were numbered so far."""
        self.metrics: dict[str, Any] = dict.fromkeys(
            ("total_ai_calls", "rate_limit_errors", "retries", "fallback_switches", "errors"), 0
        )
        """Counters since the process began, and the concurrency now: always the same dict, kept up to date."""
        self._refresh()

    @property
    def current_concurrency(self) -> int:
        """Calls that may be in flight at the primary provider: from 1 to `max_concurrency`."""
        return max(1, min(int(self._lanes[PRIMARY].limiter.window), self.max_concurrency))

    @property
    def max_concurrency(self) -> int:
        return self._settings.max_ai_concurrency

    async def call_with_limit(self, awaitable: Awaitable[T] | Callable[[], Awaitable[T]]) -> T:
        """The result of `awaitable`, or of what a function without arguments returns, once a slot is free.

        What it raises is raised here, and teaches the throttle: a 429 lowers the concurrency. Within a call that
        holds a slot already it is awaited at once.
        """
        self.calls += 1
        return await self.call(PRIMARY, awaitable, self.calls)

    def record_rate_limit_error(self) -> None:
        """The host was refused outside of :meth:`call_with_limit`: one call fewer at once, and never less than one."""
        self._lanes[PRIMARY].learn(_TOLD)
        self.count(rate_limit_errors=1)

    def record_retry(self) -> None:
        """The host tries a call again."""
        self.count(retries=1)

    def record_fallback(self) -> None:
        """The host turned to its other provider."""
        self.count(fallback_switches=1)

    def get_metrics(self) -> dict[str, Any]:
        """A copy of :attr:`metrics`."""
        self._refresh()
        return dict(self.metrics)

    def count(self, **more: int) -> None:
        """Add to the counters of :attr:`metrics`."""
        run = RUN.get()
        with self._lanes[PRIMARY].lock:
            for name, number in more.items():
                self.metrics[name] += number
                if run is not None:
                    run[name] += number
        self._refresh()

    def count_attempt(self, attempt: Attempt) -> None:
        """Count an attempt of a pipeline's run."""
        self.count(
            total_ai_calls=attempt.number == 1,
            retries=attempt.number > 1,
            rate_limit_errors=attempt.outcome is Outcome.RATE_LIMITED,
            fallback_switches=attempt.provider == FALLBACK,
            errors=attempt.outcome not in (Outcome.OK, Outcome.RATE_LIMITED),
        )

    def run_throttle(self, lane: str) -> Throttle:
        """A run's way into the queue of the running loop."""
        return RunThrottle(self._lanes[lane].queue(), self.calls)

    def at_s(self) -> float:
        """Seconds since this was made."""
        return self._lanes[PRIMARY].now_s() - self._began_s

    def cools_down(self, lane: str) -> bool:
        """Whether nothing starts there just now, because the provider refused."""
        now_s = self._lanes[lane].now_s()
        return self._lanes[lane].limiter.cooling_until_s > now_s

    async def call(
        self,
        lane: str,
        awaitable: Awaitable[T] | Callable[[], Awaitable[T]],
        number: int,
        tries: int = 1,
        cost: Cost = _UNKNOWN,
    ) -> T:
        """One attempt of call `number` at a provider, under its throttle."""
        if HAS_SLOT.get():
            self.count(fallback_switches=lane == FALLBACK)
            return await _begin(awaitable)
        throttle = self._lanes[lane].queue()
        try:
            slot = await throttle.acquire(cost, number)
        except BaseException:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # it will not be awaited, and that is meant
            raise
        reply: Reply | None = None
        token = HAS_SLOT.set(True)
        try:
            result = await _begin(awaitable)
            reply = Reply(Outcome.OK, 200)
        except Exception as error:
            reply = read_failure(error)
            raise
        finally:
            HAS_SLOT.reset(token)
            throttle.release(slot, reply)
            if reply is not None:
                self._note(lane, number, tries, slot, reply, throttle)
        return result

    def _note(self, lane: str, number: int, tries: int, slot: Slot, reply: Reply, throttle: Throttle) -> None:
        now_s = self._lanes[lane].now_s()
        attempt = Attempt(
            call=number,
            number=tries,
            provider=lane,
            started_s=slot.start.at_s - self._began_s,
            ended_s=now_s - self._began_s,
            outcome=reply.outcome,
            status=reply.status,
            pages=0,
            input_tokens=0,
            output_tokens=0,
            cached_tokens=0,
            waited_s=slot.waited_s,
            in_flight=slot.start.in_flight,
            window=slot.window,
            retry_after_s=reply.rate_limit.retry_after_s,
            pace_per_s=slot.pace_per_s,
            queued=slot.queued,
            expected=slot.start.cost,
            rate_limit=reply.rate_limit,
        )
        self.count_attempt(attempt)
        self._marks.on_attempt(attempt, reply, throttle, now_s)

    def _refresh(self) -> None:
        self.metrics["current_concurrency"] = self.current_concurrency
        self.metrics["max_concurrency"] = self.max_concurrency


class RunThrottle(Throttle):
    """One run's way into a queue that others use too: closing it turns away this run's calls alone.

    The run's calls take turns from `turns` on, so that those who came before it go first.
    """

    def __init__(self, shared: Throttle, turns: int) -> None:
        super().__init__(shared.limiter)
        self._shared = shared
        self._turns = turns
        self._waiting: set[asyncio.Task[Slot]] = set()

    @property
    def in_flight(self) -> int:
        return self._shared.in_flight

    @property
    def queued(self) -> int:
        return self._shared.queued

    def predict_start_s(self, cost: Cost) -> float:
        return self._shared.predict_start_s(cost)

    async def acquire(self, cost: Cost, turn: int) -> Slot:
        if self._closed:
            raise Closed
        waiting = asyncio.ensure_future(self._shared.acquire(cost, self._turns + turn))
        self._waiting.add(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if waiting in self._waiting or (task is not None and task.cancelling()):
                raise
            raise Closed from None  # turned away, not cancelled
        finally:
            self._waiting.discard(waiting)

    def release(self, slot: Slot, reply: Reply | None) -> None:
        self._shared.release(slot, reply)

    def turn_away(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.cancel()


async def _begin(awaitable: Awaitable[T] | Callable[[], Awaitable[T]]) -> T:
    begun = awaitable() if callable(awaitable) and not inspect.isawaitable(awaitable) else awaitable
    if not inspect.isawaitable(begun):
        raise InputError(
            f"call_with_limit() was given {type(begun).__name__}; give it an awaitable, or a function that returns one"
        )
    return await begun
