"""The time of a run: seconds of the event loop, real or virtual, since somebody first asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property

__all__ = ["Stopwatch"]


class Stopwatch:
    """Starts at the first reading, which is 0.0; the parts of a simulated world share one.

    `wall_clock`, seconds since 1970, is read once, at that moment: `epoch_s`.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._start_s: float | None = None

    @cached_property
    def epoch_s(self) -> float:
        """What the wall clock said at 0.0."""
        return self._wall_clock()

    def __call__(self) -> float:
        now_s = asyncio.get_running_loop().time()
        if self._start_s is None:
            self._start_s, _ = now_s, self.epoch_s
        return now_s - self._start_s
