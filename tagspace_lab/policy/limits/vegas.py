"""TCP Vegas for calls: the window follows the queue that the round trips betray."""

from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.refusals import DROPS, back_off_s
from tagspace_lab.records import Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["Vegas"]

_ALPHA = 3
"""Steps of queue below which the window may grow."""
_BETA = 6
"""Steps of queue above which it shrinks, and steps that it grows by where there is next to no queue."""
_PROBE_MULTIPLIER = 30
"""Windows of samples after which the no-load time is measured anew, less up to half."""


class Vegas(Limiter):
    """Keeps a few calls queued at the provider: window * (1 - no-load time / time of the last answer).

    Source: Brakmo, O'Malley and Peterson, "TCP Vegas" (1994), with the constants of VegasLimit in Netflix's
    concurrency-limits. A step is log10 of the window, rounded down, at least 1. A queue of a step at most: grow by 6
    steps; of less than 3: by one step; of more than 6, or a drop: shrink by one step. The shortest time seen is the
    no-load time; now and then the next one replaces it, because the provider may have become slower for good.

    One thing is as in TCP and not as in Netflix's class: a drop has no round trip. A 429 comes back in a few
    milliseconds, and as the no-load time would make every answer look queued.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.ai_concurrency
        self._max_window = settings.max_ai_concurrency
        self._rng = rng
        self._no_load_s = math.inf
        self._samples = 0  # since the last probe
        self._jitter = rng.uniform(0.5, 1.0)

    @property
    def window(self) -> float:
        return self._window

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome in DROPS:
            self._grow(-self._step)
        elif reply.outcome is Outcome.OK:
            self._on_sample(now_s - start.at_s, start.in_flight)

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return back_off_s(refusals, reply, self._rng)

    def _on_sample(self, rtt_s: float, in_flight: int) -> None:
        self._samples += 1
        if self._samples >= self._jitter * _PROBE_MULTIPLIER * self._window:
            self._samples, self._jitter = 0, self._rng.uniform(0.5, 1.0)
            self._no_load_s = rtt_s
        elif rtt_s < self._no_load_s:
            self._no_load_s = rtt_s
        elif 2 * in_flight >= self._window:
            queue = math.ceil(self._window * (1 - self._no_load_s / rtt_s)) if rtt_s > self._no_load_s else 0
            self._follow(queue)

    def _follow(self, queue: int) -> None:
        step = self._step
        if queue <= step:
            self._grow(_BETA * step)
        elif queue < _ALPHA * step:
            self._grow(step)
        elif queue > _BETA * step:
            self._grow(-step)

    @property
    def _step(self) -> int:
        return max(1, int(math.log10(self._window)))

    def _grow(self, calls: int) -> None:
        self._window = max(1, min(self._max_window, self._window + calls))
