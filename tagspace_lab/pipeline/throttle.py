"""Lets calls through one by one, as the limiter says: the enforcing half of the throttle.

First come, first served, by the number of the call: only the head of the queue may start, so a large
call is never overtaken for ever, and a refused one takes its old place again. Waiters are woken by
events (a call ended, a time has come), never by polling. A slot ends once, with the reply it brought
or with None where the call was cancelled.

All state changes in plain functions between two awaits, so that a cancellation finds it whole.
"""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from dataclasses import dataclass

from tagspace_lab.policy.limits import Limiter, Start
from tagspace_lab.records import Cost, Outcome, Reply

__all__ = ["Closed", "Slot", "Throttle"]

_WEIGHT = 0.1
"""Of the latest call in the mean time that a call takes."""
_CANCELLED = Reply(Outcome.CANCELLED)


class Closed(Exception):  # noqa: N818 - an ending, not an error
    """This call waits in vain: the run ended, or another provider is sooner."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to make one call. `waited_s`: seconds spent in the queue.

    At the start: `window` and `pace_per_s` as the limiter had them, and `queued`, the calls that wait behind it.
    """

    start: Start
    waited_s: float
    window: float
    pace_per_s: float = math.inf
    queued: int = 0


@dataclass(eq=False, slots=True)
class _Waiter:
    turn: int
    cost: Cost
    since_s: float
    slot: asyncio.Future[Slot]


class Throttle:
    """The queue in front of one (provider, model, key). Use it within one event loop."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self._queue: list[_Waiter] = []  # by turn
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._call_s = 0.0  # mean time of a call that was answered

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def queued(self) -> int:
        """Calls that wait for a slot."""
        return len(self._queue)

    def predict_start_s(self, cost: Cost) -> float:
        """When a call of `cost` that joined the end of the queue now would start, as far as is known.

        By the limiter's gate and pace, and by the slots: those in front of it leave them one after the other.
        """
        now_s, limiter, ahead = asyncio.get_running_loop().time(), self.limiter, len(self._queue)
        ready_s = limiter.ready_at(now_s, self.in_flight, cost)
        opens_s = max(now_s, limiter.cooling_until_s, ready_s if math.isfinite(ready_s) else 0.0)
        slots = max(1, int(limiter.window))
        freed_s = max(0, self.in_flight + ahead + 1 - slots) * self._call_s / slots
        return max(opens_s + ahead / limiter.pace_per_s, now_s + freed_s)

    async def acquire(self, cost: Cost, turn: int) -> Slot:
        """Wait for a slot, behind those with a lower `turn`. Raises Closed if the throttle closes before."""
        if self._closed:
            raise Closed
        loop = asyncio.get_running_loop()
        waiter = _Waiter(turn, cost, loop.time(), loop.create_future())
        insort(self._queue, waiter, key=lambda other: other.turn)
        self._admit()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def release(self, slot: Slot, reply: Reply | None) -> None:
        """The slot's call ended with `reply`; None: it was cancelled, which teaches nothing."""
        self._in_flight -= 1
        now_s = asyncio.get_running_loop().time()
        if reply is not None and reply.outcome is Outcome.OK:
            took_s = now_s - slot.start.at_s
            self._call_s += (took_s - self._call_s) * (_WEIGHT if self._call_s else 1.0)
        self.limiter.on_end(now_s, slot.start, reply or _CANCELLED)
        self._admit()

    def close(self) -> None:
        """Turn away whoever waits, and whoever comes; calls in flight go on to their end."""
        self._closed = True
        self.turn_away()

    def turn_away(self) -> None:
        """End every wait with Closed; whoever comes later is welcome."""
        self._cancel_timer()
        while self._queue:
            waiter = self._queue.pop()
            if not waiter.slot.done():
                waiter.slot.set_exception(Closed())

    def _admit(self) -> None:
        """Start whoever's turn it is, from the head of the queue; set the timer for the next turn."""
        now_s = asyncio.get_running_loop().time()
        self._cancel_timer()
        while self._queue:
            head = self._queue[0]
            if head.slot.done():  # cancelled, and not told yet
                self._queue.pop(0)
                continue
            ready_s = self.limiter.ready_at(now_s, self.in_flight, head.cost)
            if ready_s > now_s:
                if math.isfinite(ready_s):
                    self._timer = asyncio.get_running_loop().call_at(ready_s, self._admit)
                return
            self._queue.pop(0)
            self._start(head, now_s)

    def _start(self, waiter: _Waiter, now_s: float) -> None:
        self._in_flight += 1
        window, pace_per_s = self.limiter.window, self.limiter.pace_per_s
        start = Start(now_s, waiter.cost, self.in_flight)
        self.limiter.on_start(start)
        waiter.slot.set_result(Slot(start, now_s - waiter.since_s, window, pace_per_s, self.queued))

    def _forget(self, waiter: _Waiter) -> None:
        """A cancelled waiter leaves the queue, or hands back the slot that it was just given."""
        if waiter in self._queue:
            self._queue.remove(waiter)
            self._admit()
        elif waiter.slot.done() and not waiter.slot.cancelled() and waiter.slot.exception() is None:
            self.release(waiter.slot.result(), None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
