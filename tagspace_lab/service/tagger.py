"""What the service runs: one task after the other, each as the command line runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from tagspace_lab.live.connections import Connections
from tagspace_lab.live.job import TagJob
from tagspace_lab.live.opening import open_services
from tagspace_lab.live.running import run_task, site_of
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Attempt
from tagspace_lab.settings import Settings

__all__ = ["LiveTagger", "Tagger", "Watcher"]


Listener = Callable[[Attempt], None]


class Watcher(Protocol):
    """Who looks on while a task runs."""

    def on_progress(self, processed: int, total: int, counters: dict[str, Any]) -> None:
        """A page ended; `counters` are numbers by name."""

    def on_attempt(self, attempt: Attempt) -> None:
        """A request to a provider ended."""

    def should_stop(self) -> bool:
        """Whether to start nothing more."""


class Tagger(Protocol):
    """Runs tasks that a journal holds, and enters there how each page and the task itself ended."""

    @property
    def site(self) -> str:
        """The wiki's name in the journal."""

    async def run(
        self, task_id: str, request: Request, journal: Journal, watcher: Watcher, *, is_resumed: bool
    ) -> dict[str, Any]:
        """The result of the task as :func:`~tagspace_lab.live.task.result_dict` words it.

        Raises what ended the whole task: ServiceError, InputError.
        """


@dataclass(frozen=True)
class LiveTagger:
    """Tags the wiki that the connections name, with everything opened anew for each task.

    `watch` opens one more listener of a task's attempts, and is closed when the task has ended. Attempts are
    appended to `trace`, if there is one.
    """

    connections: Connections
    settings: Settings
    rng: random.Random
    wall_clock: Callable[[], float]
    watch: Callable[[str, Request], AbstractContextManager[Listener]] = lambda task_id, request: nullcontext(_ignore)
    trace: Path | None = None

    @property
    def site(self) -> str:
        return site_of(self.connections)

    async def check(self, journal: Journal) -> None:
        """Raises SettingsError where a connection is not told, TraceError where the trace cannot be; asks nobody."""
        if self.trace is not None:
            TraceWriter(self.trace).close()
        rules = Request("").rules(self.settings)
        async with open_services(
            self.connections, self.settings, rules, journal, rng=self.rng, wall_clock=self.wall_clock
        ):
            return

    async def run(
        self, task_id: str, request: Request, journal: Journal, watcher: Watcher, *, is_resumed: bool
    ) -> dict[str, Any]:
        def advance(job: TagJob, done: int, known: int) -> None:
            watcher.on_progress(done, known, asdict(job.counters))

        recording = nullcontext() if self.trace is None else TraceWriter(self.trace)
        with self.watch(task_id, request) as listener, recording as writer:
            result = await run_task(
                task_id,
                request,
                self.connections,
                self.settings,
                journal,
                rng=self.rng,
                wall_clock=self.wall_clock,
                is_resumed=is_resumed,
                trace=writer,
                listeners=(watcher.on_attempt, listener),
                on_progress=advance,
                check_stop=watcher.should_stop,
            )
        return result.to_dict()


def _ignore(attempt: Attempt) -> None:
    """A listener that does not listen."""
