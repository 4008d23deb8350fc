"""Google's client-side throttling: the more the provider refuses, the more calls are turned back before they leave."""

from __future__ import annotations

import math
import random
from collections import deque

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.refusals import back_off_s
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["GoogleSre"]

_K = 2
_HISTORY_S = 120.0
"""Both as the book recommends."""
_TRY_AGAIN_S = 0.5
"""How long a call that was turned back here stays away: the first wait of the SDKs."""


class GoogleSre(Limiter):
    """No window but the ceiling, and a chance of max(0, (requests - 2 accepts) / (requests + 1)) to be turned back.

    Source: "Site Reliability Engineering" (Google, 2016), chapter 21, "Handling Overload", equation 21-1, with
    its K of 2 and its two minutes of history. Requests are all that were tried, those turned back here included;
    accepts those that the provider took, be it to call them wrong.

    A batch job cannot drop a call. So the head of the queue tries, and when it is turned back tries again half a
    second later; whoever is behind it waits. The dice are thrown once a try, however often `ready_at` is asked,
    and a try that went well holds until the call starts. A request counts when its fate is known and not when it
    starts: with a handful of calls that take seconds, those under way would pass for refused.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.max_ai_concurrency
        self._rng = rng
        self._history: deque[tuple[float, bool]] = deque()  # when, and whether it was accepted
        self._accepts = 0
        self._may_go = False
        self._next_try_s = -math.inf

    @property
    def window(self) -> float:
        return self._window

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        if in_flight >= self._window:
            return math.inf
        if not self._may_go and now_s >= self._next_try_s:
            self._try(now_s)
        return now_s if self._may_go else self._next_try_s

    def on_start(self, start: Start) -> None:
        self._may_go = False

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome is not Outcome.CANCELLED:
            self._note(now_s, accepted=reply.outcome in (Outcome.OK, Outcome.REFUSED, Outcome.ADAPTED))

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return back_off_s(refusals, reply, self._rng)

    def _try(self, now_s: float) -> None:
        self._forget(now_s - _HISTORY_S)
        requests = len(self._history)
        if self._rng.random() < (requests - _K * self._accepts) / (requests + 1):
            self._note(now_s, accepted=False)
            self._next_try_s = now_s + _TRY_AGAIN_S
        else:
            self._may_go = True

    def _note(self, now_s: float, accepted: bool) -> None:
        self._history.append((now_s, accepted))
        self._accepts += accepted

    def _forget(self, before_s: float) -> None:
        while self._history and self._history[0][0] < before_s:
            self._accepts -= self._history.popleft()[1]
