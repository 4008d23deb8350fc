"""The small throttle of one Confluence site: few calls at once, and none while the site asks for peace.

A 429 or 503 holds everybody, and afterwards one call goes first; every answer that is let in widens the valve by one.
What Atlassian advises: wait 2 to 5 s at first, 30 s at most, with jitter. Retry-After overrides it, unless keeping to
it has led to nothing three times; a Retry-After of 0 says nothing (a Data Center states it while tokens remain).
Refusals also part the calls: the gap between two starts doubles with each, and wears off with what is let in.

No clock here but the loop's: the wall clock's time arrives as `wall_s`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count

from tagspace_lab.policy.headers import read_rate_limit

__all__ = ["BUSY", "ImpatientError", "Valve"]

BUSY = (429, 503)
"""Statuses that shut the valve."""
_WIDTH = 4
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 30.0
_TRUSTED_WAITS = 3
_FIRST_GAP_S, _LONGEST_GAP_S = 0.05, 10.0
_GAP_DECAY = 0.98
_MOMENT_S = 1e-6


class ImpatientError(Exception):
    """The site asks for a longer wait than the caller can bear."""


class Valve:
    """Lets calls through, at most `width` at once, those with the lowest ticket first.

    Nobody waits longer than `patience_s` for the site, not counting the time behind others.
    """

    def __init__(self, rng: random.Random, patience_s: float, width: int = _WIDTH) -> None:
        self._rng, self._patience_s = rng, patience_s
        self._most = self._width = width
        self._in_flight = self._refusals = 0
        self._ready_s = self._held_since_s = -math.inf
        self._gap_s = 0.0
        self._tickets = count()
        self._is_taken = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._room = asyncio.Event()

    def ticket(self) -> int:
        """A place in the queue; a call that is tried again keeps its own."""
        return next(self._tickets)

    @asynccontextmanager
    async def slot(self, ticket: int, deadline_s: float) -> AsyncIterator[None]:
        """Hold a slot; ImpatientError where it would come after `deadline_s`, or too late for anybody."""
        await self._step_up(ticket)
        try:
            await self._wait(deadline_s)
            self._in_flight += 1
        finally:
            self._call_next()
        try:
            yield
        finally:
            self._in_flight -= 1
            self._room.set()

    async def _step_up(self, ticket: int) -> None:
        """Become the one who waits for the valve; all others wait for their turn to do so."""
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (ticket, next(self._tickets), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._waiting:
            *_, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False

    async def _wait(self, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = min(deadline_s, loop.time() + self._patience_s)
        while True:
            wait_s = self._ready_s - loop.time()
            if self._in_flight >= self._width:
                self._room.clear()
                await self._room.wait()
            elif wait_s > _MOMENT_S:
                if self._ready_s > deadline_s:
                    raise ImpatientError
                await asyncio.sleep(wait_s)
            else:
                self._ready_s = loop.time() + self._gap_s
                return

    def learn(self, status: int, headers: Mapping[str, str], *, started_s: float, now_s: float, wall_s: float) -> None:
        """What an answer says of the site's limits. `started_s`: when its request was sent."""
        limit = read_rate_limit(headers, wall_s=wall_s)
        if status in BUSY:
            self._hold(limit.retry_after_s, started_s, now_s)
            return
        if started_s < self._held_since_s:
            return  # sent before the last refusal: says nothing of the time after it
        self._refusals = 0
        self._gap_s = self._gap_s * _GAP_DECAY if self._gap_s > _FIRST_GAP_S / 2 else 0.0
        if headers.get("x-ratelimit-nearlimit", "").lower() == "true":
            self._width = 1
            return
        self._width = min(self._most, self._width + 1)
        quota = limit.quotas.get("requests")
        if quota is not None and quota.remaining is not None and quota.remaining < self._in_flight:
            # This call counts as in flight still, so the next one needs what the others leave over, and one more.
            missing = self._in_flight - quota.remaining
            self._ready_s = max(self._ready_s, now_s + min(missing * _token_s(headers, quota.reset_s), _LONGEST_WAIT_S))

    def _hold(self, asked_s: float | None, started_s: float, now_s: float) -> None:
        if started_s >= self._held_since_s:  # else it was sent before the last refusal, and is the same congestion
            self._refusals += 1
            self._gap_s = min(max(2 * self._gap_s, _FIRST_GAP_S), _LONGEST_GAP_S)
        self._width = 1
        self._held_since_s = now_s
        wait_s = (asked_s or 0.0) * (1 + 0.1 * self._rng.random())
        if asked_s is None or self._refusals > _TRUSTED_WAITS:
            advised_s = min(_FIRST_WAIT_S * 2.0 ** min(self._refusals - 1, 8), _LONGEST_WAIT_S)
            wait_s = max(wait_s, advised_s * (1 + 0.3 * self._rng.random()))
        self._ready_s = max(self._ready_s, now_s + wait_s)


def _token_s(headers: Mapping[str, str], reset_s: float | None) -> float:
    """Seconds until there is one request more: as a Data Center's bucket states, or a guess not beyond the reset."""
    interval_s = _positive(headers.get("x-ratelimit-interval-seconds"))
    fill = _positive(headers.get("x-ratelimit-fillrate"))
    if interval_s is not None and fill is not None:
        return interval_s / fill
    return 0.0 if reset_s is None else min(reset_s, _FIRST_WAIT_S)


def _positive(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
