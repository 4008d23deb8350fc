"""One promise each: what was measured, what was promised, whether it holds; and the means to measure."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

__all__ = ["Figure", "Stopwatch", "fresh", "skipped"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `holds` is None where nothing was measured, `target` empty where nothing was promised."""

    what: str
    target: str
    measured: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        return {True: "holds", False: "MISSED", None: "skipped"}[self.holds]


def skipped(what: str, target: str, why: str) -> Figure:
    """A figure that cannot be taken here."""
    return Figure(what, target, why, None)


def fresh(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns in a process of its own, which has imported and replayed nothing before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


class Stopwatch:
    """CPU and wall seconds since it was made."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu_s

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._wall_s
