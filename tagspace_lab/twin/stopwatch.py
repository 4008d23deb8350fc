"""The time of a run: seconds of the event loop, real or virtual, since somebody first asked."""

from __future__ import annotations

import asyncio

__all__ = ["Stopwatch"]


class Stopwatch:
    """Starts at the first reading, which is 0.0; the parts of a simulated world share one."""

    def __init__(self) -> None:
        self._start_s: float | None = None

    def __call__(self) -> float:
        now_s = asyncio.get_running_loop().time()
        if self._start_s is None:
            self._start_s = now_s
        return now_s - self._start_s
