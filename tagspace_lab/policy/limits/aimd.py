"""Additive increase, multiplicative decrease: the window of TCP, for calls."""

from __future__ import annotations

import random

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.refusals import DROPS, back_off_s
from tagspace_lab.records import Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["Aimd"]

_BACKOFF_RATIO = 0.9
"""Netflix's default; the TCP of Jacobson (1988) halves."""


class Aimd(Limiter):
    """One call more after each answer that came while half the window was in use, a tenth fewer after each drop.

    Source: Chiu and Jain, "Analysis of the increase and decrease algorithms" (1989): of the linear rules,
    those that add and multiply lead to a fair and full use. Step, ratio, rounding down and "half in use" are
    those of AIMDLimit in Netflix's concurrency-limits. Every drop counts, those of one burst each by itself. Its
    second sign of a drop, an answer slower than 5 s, is left out: a model's answer may take longer, and what
    is too long stands in `TAG_SPACE_REQUEST_TIMEOUT_S`.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.ai_concurrency
        self._max_window = settings.max_ai_concurrency
        self._rng = rng

    @property
    def window(self) -> float:
        return self._window

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome in DROPS:
            self._window = max(1, int(self._window * _BACKOFF_RATIO))
        elif reply.outcome is Outcome.OK and 2 * start.in_flight >= self._window:
            self._window = min(self._max_window, self._window + 1)

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return back_off_s(refusals, reply, self._rng)
