"""A window that goes down a rung at a refusal and up a rung after a quiet spell."""

from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.records import Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["Ladder"]


class Ladder(Limiter):
    """What teams write first: one call fewer after a 429, one more after a quiet spell.

    A refused call comes back after 0.5, 1 and 2 s, then goes to the fallback provider.
    """

    QUIET_S = 30.0
    DELAYS_S = (0.5, 1.0, 2.0)

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.ai_concurrency
        self._max_window = settings.max_ai_concurrency
        self._changed_s = math.inf  # nothing has started

    @property
    def window(self) -> float:
        return self._window

    def on_start(self, start: Start) -> None:
        self._changed_s = min(self._changed_s, start.at_s)

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome is Outcome.RATE_LIMITED:
            self._window = max(1, self._window - 1)
            self._changed_s = now_s
        elif now_s - self._changed_s >= self.QUIET_S:
            self._window = min(self._max_window, self._window + 1)
            self._changed_s = now_s

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return self.DELAYS_S[refusals - 1] if refusals <= len(self.DELAYS_S) else None
