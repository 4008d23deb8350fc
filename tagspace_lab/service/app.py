"""The routes of the service, over its tasks.

POST /bulk/tag-space/{space}    tag a space; answers when it is done, or at once with 202
GET  /bulk/tasks[/{id}]         where tasks stand
POST /bulk/tasks/{id}/stop      stop after what is in flight; /resume goes on
GET  /bulk/tasks/{id}/events    the same as server-sent events
GET  /metrics, /healthz, /docs
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from tagspace_lab import __version__
from tagspace_lab.errors import InputError, JournalError, ServiceError, TagspaceError
from tagspace_lab.live.task import Request as TagTask
from tagspace_lab.pipeline.journal import Journal
from tagspace_lab.service.guards import BodyLimit, Doorkeeper
from tagspace_lab.service.messages import Health, Problem, TagRequest, TagResponse, TaskList, TaskView
from tagspace_lab.service.metrics import Metrics
from tagspace_lab.service.tagger import Tagger
from tagspace_lab.service.tasks import Closing, Entry, NotHere, QueueFull, Tasks, Unknown

__all__ = ["create_app"]

SpaceKey = Annotated[
    str, Path(pattern=r"^~?[A-Za-z0-9._:@+-]{1,255}$", description="the space's key, as in its address")
]
TaskId = Annotated[str, Path(max_length=300)]

_RETRY_AFTER_S = 30
_MOST_COMPLAINTS = 5
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "the token is missing or wrong"},
    413: {"model": Problem, "description": "the body is too large"},
    422: {"model": Problem, "description": "the request is not understood"},
}
_BUSY: dict[int | str, dict[str, Any]] = {
    502: {"model": Problem, "description": "the wiki or the model gives no answer"},
    503: {"model": Problem, "description": "too many tasks wait, or the service is about to end"},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "there is no such task"}}
_ELSEWHERE: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "not in this process, or done"}}
_NO_TASK = "there is no task {!r}; GET /bulk/tasks lists the latest"


def create_app(
    tagger: Tagger,
    open_journal: Callable[[], Journal],
    *,
    token: str = "",
    vocabulary: tuple[str, ...] = (),
    most_queued: int = 8,
    resume: bool = False,
    grace_s: float = 30.0,
    heartbeat_s: float = 15.0,
    wall_clock: Callable[[], float] = time.time,
    make_token: Callable[[], str] = lambda: secrets.token_hex(3),
) -> FastAPI:
    """The application. Its tasks live from the start of its lifespan to the end, as `app.state.tasks`.

    Without a `token` it answers to names of loopback only. `vocabulary` is that of tasks which bring none.
    `most_queued` tasks wait at most; `resume`: what a former process left undone goes on. When it ends, the running
    task has `grace_s` for what is in flight.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        with open_journal() as journal:
            tasks = app.state.tasks = Tasks(
                tagger, journal, metrics, most_queued=most_queued, wall_clock=wall_clock, make_token=make_token
            )
            if resume:
                tasks.resume_interrupted()
            async with asyncio.TaskGroup() as group:
                worker = group.create_task(tasks.work())
                yield
                await tasks.close(grace_s)
                worker.cancel()

    app = FastAPI(
        title="tagspace-lab",
        version=__version__,
        summary="Tags whole wiki spaces, one task at a time.",
        lifespan=live,
        responses=_PROBLEMS,
    )
    app.state.metrics, app.state.heartbeat_s, app.state.vocabulary = metrics, heartbeat_s, vocabulary
    _add_routes(app)
    _add_problems(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Doorkeeper, token=token)
    return app


async def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.tasks
    return tasks


TheTasks = Annotated[Tasks, Depends(_tasks)]


def _add_routes(app: FastAPI) -> None:
    @app.post("/bulk/tag-space/{space}", response_model=TagResponse, responses=_BUSY | {202: {"model": TaskView}})
    async def tag_space(space: SpaceKey, tasks: TheTasks, body: TagRequest | None = None) -> Any:
        """Tag every page of a space."""
        wanted = body or TagRequest()
        if wanted.mode == "suggest" and not wanted.dry_run:
            raise InputError("mode suggest never writes labels: leave dry_run true, or use mode add")
        labels = tuple(dict.fromkeys(wanted.labels)) or app.state.vocabulary
        entry = tasks.submit(TagTask(space, apply=not wanted.dry_run, mode=wanted.mode, labels=labels))
        return _accept(tasks, entry) if wanted.background else await _wait_for(entry)

    @app.get("/bulk/tasks", response_model=TaskList)
    async def list_tasks(tasks: TheTasks) -> Any:
        """The latest tasks, of this process and of others."""
        return {"tasks": tasks.views()}

    @app.get("/bulk/tasks/{task_id}", response_model=TaskView, responses=_UNKNOWN)
    async def get_task(task_id: TaskId, tasks: TheTasks) -> Any:
        """Where a task stands; once it has ended, with its result."""
        return tasks.view(task_id) | {"result": tasks.result(task_id)}

    @app.post("/bulk/tasks/{task_id}/stop", response_model=TaskView, responses=_UNKNOWN | _ELSEWHERE)
    async def stop_task(task_id: TaskId, tasks: TheTasks) -> Any:
        """Stop a task after what is in flight. One that has ended stays as it is."""
        return tasks.stop(task_id)

    @app.post("/bulk/tasks/{task_id}/resume", status_code=202, response_model=TaskView, responses=_BUSY | _ELSEWHERE)
    async def resume_task(task_id: TaskId, tasks: TheTasks) -> Any:
        """Go on with a task that was stopped, failed or interrupted."""
        tasks.view(task_id)
        try:
            return _accept(tasks, tasks.resume(task_id))
        except JournalError as error:
            return _problem(409, str(error), task_id)

    @app.get("/bulk/tasks/{task_id}/events", response_class=StreamingResponse, responses=_UNKNOWN)
    async def follow_task(task_id: TaskId, tasks: TheTasks, request: Request) -> Any:
        """Server-sent events: `progress` now and at every change, `end` last. Whoever comes back is told all anew."""
        tasks.view(task_id)
        events = _write_events(tasks.events(task_id, request.app.state.heartbeat_s))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    @app.get("/metrics", response_class=Response)
    async def read_metrics(request: Request) -> Response:
        """Numbers for Prometheus."""
        return Response(request.app.state.metrics.write(), media_type=_METRICS_TYPE)

    @app.get("/healthz", response_model=Health)
    async def check_health(tasks: TheTasks) -> Any:
        """Whether the service takes tasks. Needs no token."""
        return {"status": "stopping" if tasks.closing.is_set() else "ok", "version": __version__}


def _accept(tasks: Tasks, entry: Entry) -> JSONResponse:
    headers = {"location": f"/bulk/tasks/{entry.task_id}"}
    return JSONResponse(tasks.view(entry.task_id) | {"result": None}, 202, headers)


async def _wait_for(entry: Entry) -> Any:
    await entry.ended.wait()
    if entry.result is not None:
        return entry.result
    match entry.error:
        case Closing():
            return _problem(503, "the service ended before the task did; it can be resumed", entry.task_id)
        case ServiceError() as error:
            return _problem(502, str(error), entry.task_id)
        case InputError() as error:
            return _problem(500, str(error), entry.task_id)
        case TagspaceError() as error:
            return _problem(409, str(error), entry.task_id)
        case _:
            return _problem(500, "the task failed by a defect; see the log of the service", entry.task_id)


async def _write_events(events: AsyncIterator[tuple[str, dict[str, Any]]]) -> AsyncIterator[str]:
    number = 0
    async for kind, view in events:
        number += 1
        yield f"id: {number}\nevent: {kind}\ndata: {json.dumps(view)}\n\n" if view else ": heartbeat\n\n"


def _add_problems(app: FastAPI) -> None:
    busy = {"retry-after": str(_RETRY_AFTER_S)}

    @app.exception_handler(QueueFull)
    async def on_full(request: Request, error: Exception) -> JSONResponse:
        return _problem(503, "as many tasks wait as may; try again later", headers=busy)

    @app.exception_handler(Closing)
    async def on_closing(request: Request, error: Exception) -> JSONResponse:
        return _problem(503, "the service is about to end", headers=busy)

    @app.exception_handler(Unknown)
    async def on_unknown(request: Request, error: Exception) -> JSONResponse:
        return _problem(404, _NO_TASK.format(request.path_params.get("task_id")))

    @app.exception_handler(NotHere)
    async def on_elsewhere(request: Request, error: Exception) -> JSONResponse:
        return _problem(409, "the task runs in another process: stop it there")

    @app.exception_handler(RequestValidationError)
    async def on_wrong_request(request: Request, error: RequestValidationError) -> JSONResponse:
        """Says where and why, and never what was sent: it may be a secret, or nothing that can be written."""
        return _problem(422, "; ".join(map(_word, error.errors()[:_MOST_COMPLAINTS])))

    @app.exception_handler(InputError)
    async def on_wrong_input(request: Request, error: Exception) -> JSONResponse:
        return _problem(422, str(error))

    @app.exception_handler(JournalError)
    async def on_lost_journal(request: Request, error: Exception) -> JSONResponse:
        return _problem(503, "the journal cannot be used; see the log of the service")


def _word(complaint: dict[str, Any]) -> str:
    if complaint["loc"] == ("body",):
        return "the body is no JSON object, or is not sent as Content-Type: application/json"
    place = ".".join(map(str, complaint["loc"][1:]))
    if complaint["type"] == "json_invalid":
        return f"the body is no JSON, from character {place} on"
    return f"{ascii(place)[1:-1][:80]}: {complaint['msg']}"


def _problem(
    status: int, why: str, task_id: str | None = None, *, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"detail": why, "task_id": task_id}, status, headers)
