"""The small throttle of one Confluence site: few calls at once, and none while the site asks for peace.

A 429 or 503 holds everybody, and afterwards one call goes first; every answer that is let in widens the valve by one.
What Atlassian advises: wait 2 to 5 s at first, 30 s at most, with jitter. Retry-After overrides it; a Retry-After
of 0 says nothing (a Data Center states it while tokens remain).

No clock here but the loop's: the wall clock's time arrives as `wall_s`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tagspace_lab.policy.headers import read_rate_limit

__all__ = ["BUSY", "ImpatientError", "Valve"]

_WIDTH = 4
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 30.0
BUSY = (429, 503)
"""Statuses that shut the valve."""
_MOMENT_S = 1e-6


class ImpatientError(Exception):
    """The site asks for a longer wait than the caller can bear."""


class Valve:
    """Lets calls through in the order in which they come, at most `width` at once."""

    def __init__(self, rng: random.Random, width: int = _WIDTH) -> None:
        self._rng = rng
        self._most = self._width = width
        self._in_flight = 0
        self._ready_s = self._held_since_s = -math.inf
        self._refusals = 0
        self._door, self._room = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def slot(self, patience_s: float) -> AsyncIterator[float]:
        """Hold a slot; gives the seconds for which the site made this call wait, itself being first in the queue.

        Raises ImpatientError where that would be more than `patience_s`.
        """
        async with self._door:
            waited_s = await self._wait(patience_s)
            self._in_flight += 1
        try:
            yield waited_s
        finally:
            self._in_flight -= 1
            self._room.set()

    async def _wait(self, patience_s: float) -> float:
        loop, waited_s = asyncio.get_running_loop(), 0.0
        while True:
            wait_s = self._ready_s - loop.time()
            if self._in_flight >= self._width:
                self._room.clear()
                await self._room.wait()
            elif wait_s <= _MOMENT_S:
                return waited_s
            elif waited_s + wait_s > patience_s:
                raise ImpatientError
            else:
                await asyncio.sleep(wait_s)
                waited_s += wait_s

    def learn(self, status: int, headers: Mapping[str, str], *, started_s: float, now_s: float, wall_s: float) -> None:
        """What an answer says of the site's limits. `started_s`: when its request was sent."""
        limit = read_rate_limit(headers, wall_s=wall_s)
        if status in BUSY:
            self._hold(limit.retry_after_s, started_s, now_s)
            return
        if started_s < self._held_since_s:
            return  # sent before the last refusal: says nothing of the time after it
        self._refusals = 0
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
        if started_s >= self._held_since_s:
            self._refusals += 1
        self._width = 1
        self._held_since_s = now_s
        if asked_s is None:
            wait_s = min(_FIRST_WAIT_S * 2.0 ** min(self._refusals - 1, 8), _LONGEST_WAIT_S)
            wait_s *= 1 + 0.3 * self._rng.random()
        else:
            wait_s = asked_s * (1 + 0.1 * self._rng.random())
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
