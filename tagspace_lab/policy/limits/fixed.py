"""A constant window: the simplest limiter, and the one that most programs have."""

from __future__ import annotations

import random

from tagspace_lab.policy.limits.protocol import Limiter
from tagspace_lab.records import Reply
from tagspace_lab.settings import Settings

__all__ = ["Fixed"]


class Fixed(Limiter):
    """A constant window, and what the vendors' SDKs do about a refusal.

    Source: the official OpenAI client: `Retry-After` where 0 < x <= 120 s, else 0.5 * 2**n s, at most
    8 s, less up to 25 % of jitter. It tries on until the give-up time ends the run.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.ai_concurrency
        self._rng = rng

    @property
    def window(self) -> float:
        return self._window

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        asked_s = reply.rate_limit.retry_after_s
        if asked_s is not None and asked_s <= 120:
            return asked_s
        return 0.5 * 2.0 ** min(refusals - 1, 4) * (1 - 0.25 * self._rng.random())
