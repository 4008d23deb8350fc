"""Many replays of spaces against scenarios, over several processes of this machine or of others.

A space travels once to each process, which remembers the plain texts of its pages from one replay to the next.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice, product
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from tagspace_lab.errors import InputError
from tagspace_lab.lab.clusters import open_cluster
from tagspace_lab.lab.replay import as_space, measure
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.records import Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario, load_scenario

__all__ = ["AnyScenario", "AnySpace", "Place", "Task", "Workers", "require_counts"]

AnySpace = str | Path | Space | list[str] | list[Path] | list[Space]
AnyScenario = str | Path | Scenario | list[str] | list[Path] | list[Scenario]
"""One, or a list of them."""

_received: _Places | None = None  # in a worker process only: what its tasks replay


class Place(NamedTuple):
    """Where settings are tried: a space and the scenario that it is replayed against."""

    space: Space
    scenario: Scenario


class Task(NamedTuple):
    """One replay that is to be made: `place` is a position among the workers' places, `first_day` that of run 1."""

    settings: Settings
    seed: int
    place: int = 0
    first_day: int = 0


class Workers:
    """Replays tasks in `jobs` processes, or in this one if `jobs` is 1; a context manager.

    `space` and `scenario` are names, files or the things themselves, or lists of these: each space is then
    replayed against each scenario. InputError where one cannot be read. The processes stay for the next Workers
    on the same places, and end by themselves after five idle minutes; after an exception, Ctrl-C included, they
    are ended at once. `scheduler` is the address of a dask scheduler, whose workers then replay instead,
    whatever `jobs` is.
    """

    def __init__(self, space: AnySpace, scenario: AnyScenario, jobs: int = 1, *, scheduler: str | None = None) -> None:
        require_counts(jobs=jobs)
        spaces = [as_space(each) for each in (space if isinstance(space, list) else [space])]
        scenarios = [_as_scenario(each) for each in (scenario if isinstance(scenario, list) else [scenario])]
        self.places = tuple(Place(*pair) for pair in product(spaces, scenarios))
        if not self.places:
            raise InputError("no space or no scenario was named; name at least one of each.")
        self._scheduler, self._jobs = scheduler, jobs
        self._given = _Places(self.places)
        self._parallel: Parallel | None = None
        self._replays: Generator[list[RunSummary], None, None] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._scheduler is not None:
            backend = self._open.enter_context(open_cluster(self._scheduler, [self._given]))
            self._parallel = Parallel(backend=backend, return_as="generator", batch_size=1, pre_dispatch="all")
        elif self._jobs > 1:
            self._parallel = Parallel(
                self._jobs,
                backend="loky",
                return_as="generator",
                batch_size=1,
                initializer=_receive,
                initargs=(self._given,),
            )
            self._parallel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_up_the_rest()
        if self._scheduler is None and self._parallel is not None:
            self._parallel.__exit__(kind, error, traceback)
            if error is not None:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)
        self._parallel = None
        self._open.close()

    def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
        """The summaries of each task's runs, in the order of the tasks, as soon as they are there."""
        if self._parallel is None:
            return (_measure_in(self._given, task, runs) for task in tasks)
        if self._scheduler is not None:
            self._replays = self._parallel(delayed(_measure_in)(self._given, task, runs) for task in tasks)
        else:
            with _interrupts_deferred():
                self._replays = self._parallel(delayed(_measure)(task, runs) for task in tasks)
        return self._replays

    def _give_up_the_rest(self) -> None:
        """Closes what nobody asks for any more, now and not when it is collected, and without joblib's advice."""
        if self._replays is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                self._replays.close()

    def measure_each(
        self, candidates: Sequence[Settings], seeds: Sequence[int], runs: int, *, first_day: int = 0
    ) -> Iterator[list[list[RunSummary]]]:
        """For one candidate after the other: the summaries of its runs, seed by seed and there place by place.

        All are replayed side by side.
        """
        units = [(seed, place) for seed in seeds for place in range(len(self.places))]
        tasks = [Task(settings, *unit, first_day) for settings in candidates for unit in units]
        replays = self.measure(tasks, runs)
        return (list(islice(replays, len(units))) for _ in candidates)


def require_counts(**counts: int) -> None:
    """Raises InputError for a count below 1, by its name."""
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}; allowed: an integer from 1.")


def _as_scenario(scenario: str | Path | Scenario) -> Scenario:
    return scenario if isinstance(scenario, Scenario) else load_scenario(scenario)


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
class _Places:
    """What a process is given when it starts. joblib keeps the processes for the next ones that are equal."""

    places: tuple[Place, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Places) and self._hashes == other._hashes

    def __hash__(self) -> int:
        return hash(self._hashes)

    @property
    def _hashes(self) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (space.name, space.content_hash, scenario.name, scenario.content_hash) for space, scenario in self.places
        )


def _receive(places: _Places) -> None:
    global _received
    _received = places


def _measure(task: Task, runs: int) -> list[RunSummary]:
    if _received is None:
        raise RuntimeError(f"Process {os.getpid()} was given no space to replay.")
    return _measure_in(_received, task, runs)


def _measure_in(given: _Places, task: Task, runs: int) -> list[RunSummary]:
    space, scenario = given.places[task.place]
    return measure(space, scenario, task.settings, runs=runs, seed=task.seed, first_day=task.first_day)
