"""Many replays of one space against one scenario, over several processes.

The space travels once to each process, which remembers the plain texts of its pages from one replay to the next.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from tagspace_lab.errors import InputError
from tagspace_lab.lab.replay import as_space, measure
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.records import Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario, load_scenario

__all__ = ["Task", "Workers", "require_counts"]

_received: _World | None = None  # in a worker process only: what its tasks replay


class Task(NamedTuple):
    """One replay that is to be made."""

    settings: Settings
    seed: int


class Workers:
    """Replays tasks in `jobs` processes, or in this one if `jobs` is 1; a context manager.

    `space` and `scenario` are names, files or the things themselves; InputError where they cannot be
    read. The processes stay for the next Workers on the same space and scenario, and end by themselves
    after five idle minutes; after an exception, Ctrl-C included, they are ended at once.
    """

    def __init__(self, space: str | Path | Space, scenario: str | Path | Scenario, jobs: int = 1) -> None:
        require_counts(jobs=jobs)
        self.space = as_space(space)
        self.scenario = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
        self._jobs = jobs
        world = _World(self.space, self.scenario)
        self._parallel = Parallel(
            jobs, backend="loky", return_as="generator", batch_size=1, initializer=_receive, initargs=(world,)
        )

    def __enter__(self) -> Self:
        if self._jobs > 1:
            self._parallel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._jobs > 1:
            self._parallel.__exit__(kind, error, traceback)
            if error is not None:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)

    def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
        """The summaries of each task's runs, in the order of the tasks, as soon as they are there."""
        if self._jobs == 1:
            return (measure(self.space, self.scenario, settings, runs=runs, seed=seed) for settings, seed in tasks)
        with _interrupts_deferred():
            replays: Iterator[list[RunSummary]] = self._parallel(delayed(_measure)(task, runs) for task in tasks)
        return replays

    def measure_each(
        self, candidates: Sequence[Settings], seeds: Sequence[int], runs: int
    ) -> Iterator[list[list[RunSummary]]]:
        """For one candidate after the other: the summaries of its runs, seed by seed. All are replayed side by side."""
        replays = self.measure([Task(settings, seed) for settings in candidates for seed in seeds], runs)
        return (list(group) for group in zip(*[replays] * len(seeds), strict=True))


def require_counts(**counts: int) -> None:
    """Raises InputError for a count below 1, by its name."""
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}; allowed: an integer from 1.")


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, which is for the main process to handle; it comes afterwards.

    The tracker is started first, because Python lifts the block when it starts one.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, eq=False)
class _World:
    """What a process is given when it starts. joblib keeps the processes for the next one that is equal."""

    space: Space
    scenario: Scenario

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _World) and self._hashes == other._hashes

    def __hash__(self) -> int:
        return hash(self._hashes)

    @property
    def _hashes(self) -> tuple[str, ...]:
        return self.space.name, self.space.content_hash, self.scenario.name, self.scenario.content_hash


def _receive(world: _World) -> None:
    global _received
    _received = world


def _measure(task: Task, runs: int) -> list[RunSummary]:
    if _received is None:
        raise RuntimeError(f"Process {os.getpid()} was given no space to replay.")
    return measure(_received.space, _received.scenario, task.settings, runs=runs, seed=task.seed)
