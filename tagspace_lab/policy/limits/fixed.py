"""A constant window: the simplest limiter, and the one that most programs have."""

from __future__ import annotations

import random

from tagspace_lab.policy.limits.protocol import Limiter
from tagspace_lab.policy.limits.refusals import back_off_s
from tagspace_lab.records import Reply
from tagspace_lab.settings import Settings

__all__ = ["Fixed"]


class Fixed(Limiter):
    """A constant window, and what the vendors' SDKs do about a refusal.

    It tries on until the give-up time ends the run.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.ai_concurrency
        self._rng = rng

    @property
    def window(self) -> float:
        return self._window

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return back_off_s(refusals, reply, self._rng)
