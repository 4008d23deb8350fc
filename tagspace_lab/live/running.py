"""A task from its request to its result: journaled, opened, run, closed. What the command line and the service call."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tagspace_lab.errors import JournalError
from tagspace_lab.live.connections import Connections
from tagspace_lab.live.job import TagJob, TagResult
from tagspace_lab.live.opening import open_services, site_of
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Attempt
from tagspace_lab.settings import Settings

__all__ = ["name_task", "resume_task", "run_task", "site_of", "start_task"]


def name_task(space: str, now_s: float, token: str) -> str:
    """A task id that sorts by time and can be typed, as in `DOCS-20260131-235959-1f3a`."""
    plain = "".join(char for char in space if char.isascii() and (char.isalnum() or char in "-_~"))
    return f"{plain or 'space'}-{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S}-{token}"


def start_task(journal: Journal, request: Request, connections: Connections, *, task_id: str, now_s: float) -> str:
    """Enter a new task into the journal, which holds it from now on; gives its id."""
    journal.begin(
        Task(task_id, request.space, site_of(connections), TaskState.RUNNING, now_s, request=request.to_dict())
    )
    return task_id


def resume_task(journal: Journal, task_id: str, *, wanted: Request | None = None) -> Request:
    """Take up a task again, as it was requested.

    JournalError, and the task is left as it is, where it is unknown, done or runs elsewhere, and where the request is
    not the one that is `wanted`.
    """
    if (task := journal.task(task_id)) is None:
        raise JournalError(f"task {task_id!r} is unknown: there is nothing to resume")
    try:
        request = Request.from_dict(task.request)
    except (KeyError, TypeError) as error:
        raise JournalError(f"task {task_id!r} was written by another version: start a new one") from error
    if wanted is not None and request != wanted:
        raise JournalError(
            f"task {task_id} was started with other options (--apply, --mode, --pages, --labels): give the same ones "
            "to resume it, or leave --resume out to start a new one"
        )
    journal.reopen(task_id)
    return request


async def run_task(
    task_id: str,
    request: Request,
    connections: Connections,
    settings: Settings,
    journal: Journal,
    *,
    rng: random.Random,
    wall_clock: Callable[[], float],
    is_resumed: bool = False,
    trace: TraceWriter | None = None,
    listeners: Sequence[Callable[[Attempt], None]] = (),
    on_progress: Callable[[TagJob, int, int], None] | None = None,
    check_stop: Callable[[], bool] | None = None,
) -> TagResult:
    """Run a task that the journal holds, to its end. Whatever happens, the journal says so.

    Raises SettingsError where a connection is missing, ConfluenceError where the space cannot be read at all.
    """
    try:
        async with open_services(
            connections, settings, request.rules(settings), journal, rng=rng, wall_clock=wall_clock
        ) as services:

            def advance(done: int, known: int) -> None:
                if on_progress is not None:
                    on_progress(job, done, known)

            job = TagJob(
                task_id,
                request,
                services,
                settings,
                is_resumed=is_resumed,
                trace=trace,
                listeners=listeners,
                on_progress=advance,
                check_stop=check_stop,
            )
            return await job.run()
    except BaseException as error:
        if journal.holds(task_id):  # it failed before the job could say so
            journal.end(task_id, TaskState.FAILED, {"error": str(error)}, wall_clock())
        raise
