"""Many replays of spaces against scenarios, over several processes of this machine or of others.

A space travels once to each process, which remembers the plain texts of its pages from one replay to the next.

Ctrl-C comes between two replays: it never tears a write to a journal, nor processes that are being started or ended.
No callback of a replay starts the next one: it would do so amid the end of the processes, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

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

_IDLE_S = 300
_GLANCE_S = 0.1
"""How long Ctrl-C may go unseen while a replay is waited for."""

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
        self._submit: Callable[..., Future[list[RunSummary]]] | None = None
        self._interrupts = _Interrupts()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self._interrupts)
            if self._scheduler is not None:
                cluster, given = opening.enter_context(open_cluster(self._scheduler, self._given))
                self._submit = partial(cluster.submit, _measure_in, given)
            elif self._jobs > 1:
                self._submit = partial(opening.enter_context(_open_pool(self._jobs, self._given)).submit, _measure)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._submit = None
        self._open.__exit__(kind, error, traceback)

    def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
        """The summaries of each task's runs, in the order of the tasks, as soon as they are there."""
        if self._submit is None:
            for task in tasks:
                self._interrupts.hand_on()
                yield _measure_in(self._given, task, runs)
            return
        with _deaf_children():
            replays = [self._submit(task, runs) for task in tasks]
        for replay in replays:
            self._interrupts.hand_on()
            while not wait((replay,), timeout=_GLANCE_S).done:
                self._interrupts.hand_on()
            yield replay.result()

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


class _Interrupts:
    """Ctrl-C, and SIGTERM where it is handled alike, held back for the time of the block until it is handed on.

    The second one is handed on at once, in case that something hangs; after that there are no more.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: int | None = None
        self._is_handed_on = False

    def __enter__(self) -> None:
        self._came, self._is_handed_on = None, False
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            self._before = {number: handler for number, handler in handlers.items() if callable(handler)}
            for number in self._before:
                signal.signal(number, self._note)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.hand_on()

    def hand_on(self) -> None:
        """Raises KeyboardInterrupt, if one came and the handler was Python's own."""
        if self._came is not None and not self._is_handed_on:
            self._is_handed_on = True
            self._before[self._came](self._came, None)

    def _note(self, number: int, frame: object) -> None:
        if self._came is not None:
            self.hand_on()
        self._came = number


@contextmanager
def _open_pool(jobs: int, places: _Places) -> Iterator[Any]:
    """Processes that know the places; those of the last pool, where they do."""
    pool = get_reusable_executor(jobs, timeout=_IDLE_S, initializer=_receive, initargs=(places,))
    try:
        yield pool
    except BaseException:
        # loky's own way (`kill_workers`) fails with a traceback where replays still wait for a process.
        for process in list(pool._processes.values()):
            process.terminate()
        pool.shutdown()
        raise


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, which is for the main process to handle.

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
    """What a process is given when it starts. The processes stay for the next ones that are equal."""

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
