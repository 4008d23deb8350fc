"""Gradient2: the window shrinks while calls take longer than they used to."""

from __future__ import annotations

import random

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.refusals import back_off_s
from tagspace_lab.records import Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["Gradient2"]

_QUEUE_SIZE = 4
_SMOOTHING = 0.2
_TOLERANCE = 1.5
_LONG_SAMPLES, _WARM_UP_SAMPLES = 600, 10
_DECAY = 0.95
"""All as in Gradient2Limit; its first versions had no tolerance, and a decay of 0.9."""
_SHORTEST_S = 1e-9
"""A call that took no time at all cannot be divided by."""


class Gradient2(Limiter):
    """After each answer the window moves a fifth of the way to window * gradient + 4.

    The gradient is 1.5 * usual time / last time, within [0.5, 1]. The usual time is the mean of the first 10 calls,
    then an exponential average over 600 (weight 2 / 601); where it is more than twice the last time, it also
    falls by 5 %. Nothing moves while less than half of the window was in use.

    Source: Gradient2Limit of Netflix's concurrency-limits and its defaults, without the optional sampling
    windows. It learns nothing from a drop as such: refusals alone do not make it smaller. There, a drop's time is a
    sample like any other; here only that of a time-out is, since a 429 that comes at once is no quick answer.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = float(settings.ai_concurrency)
        self._max_window = settings.max_ai_concurrency
        self._rng = rng
        self._usual_s = 0.0
        self._samples = 0

    @property
    def window(self) -> float:
        return self._window

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome not in (Outcome.OK, Outcome.TIMED_OUT):
            return
        last_s = max(now_s - start.at_s, _SHORTEST_S)
        usual_s = self._update_usual(last_s)
        if usual_s > 2 * last_s:
            self._usual_s *= _DECAY
        if 2 * start.in_flight < self._window:
            return
        gradient = max(0.5, min(1.0, _TOLERANCE * usual_s / last_s))
        wanted = self._window * gradient + _QUEUE_SIZE
        moved = (1 - _SMOOTHING) * self._window + _SMOOTHING * wanted
        self._window = max(1.0, min(float(self._max_window), moved))

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return back_off_s(refusals, reply, self._rng)

    def _update_usual(self, last_s: float) -> float:
        self._samples = min(self._samples + 1, _WARM_UP_SAMPLES + 1)
        weight = 1 / self._samples if self._samples <= _WARM_UP_SAMPLES else 2 / (_LONG_SAMPLES + 1)
        self._usual_s += weight * (last_s - self._usual_s)
        return self._usual_s
