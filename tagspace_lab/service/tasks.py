"""The tasks of the service: a bounded queue, and one task at a time out of it.

The journal knows every task, of this process and of others, before and after a restart; what is in memory here is only
what waits or runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tagspace_lab.errors import JournalError, TagspaceError
from tagspace_lab.live.running import name_task, resume_task
from tagspace_lab.live.task import Request, result_dict
from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tagspace_lab.records import Attempt, Status
from tagspace_lab.service.metrics import Metrics
from tagspace_lab.service.tagger import Tagger

__all__ = ["Closing", "NotHere", "QueueFull", "Tasks", "Unknown"]

_log = logging.getLogger(__name__)
_OPEN = frozenset({TaskState.QUEUED, TaskState.RUNNING})
_LEAST_S = 0.1
"""Between two events of one task."""
_POLL_S = 1.0
"""Between two looks at a task that another process runs."""


class QueueFull(Exception):  # noqa: N818 - an answer, not a defect
    """As many tasks wait as may."""


class Closing(Exception):  # noqa: N818
    """The service is about to end."""


class Unknown(Exception):  # noqa: N818
    """There is no such task."""


class NotHere(Exception):  # noqa: N818
    """The task runs in another process."""


@dataclass(eq=False)
class Entry:
    """A task of this process that waits, runs, or has just ended: then with its result, or with what ended it."""

    task_id: str
    request: Request
    metrics: Metrics
    is_resumed: bool = False
    is_stopping: bool = False
    processed: int = 0
    total: int = 0
    counters: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: Exception | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: set[asyncio.Event] = field(default_factory=set)

    def on_progress(self, processed: int, total: int, counters: dict[str, Any]) -> None:
        self.processed, self.total, self.counters = processed, total, counters
        self.tell()

    def on_attempt(self, attempt: Attempt) -> None:
        self.metrics.on_attempt(attempt)

    def should_stop(self) -> bool:
        return self.is_stopping

    def tell(self) -> None:
        """Wake those who watch."""
        for changed in self.watchers:
            changed.set()


class Tasks:
    """Made inside the event loop that uses it; :meth:`work` runs as a task there. `make_token` ends a task's id."""

    def __init__(
        self,
        tagger: Tagger,
        journal: Journal,
        metrics: Metrics,
        *,
        most_queued: int,
        wall_clock: Callable[[], float],
        make_token: Callable[[], str],
    ) -> None:
        self._tagger = tagger
        self._journal = journal
        self._metrics = metrics
        self._most_queued = most_queued
        self._wall_clock = wall_clock
        self._make_token = make_token
        self._queue: list[Entry] = []
        self._running: Entry | None = None
        self._is_wanted = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.closing = asyncio.Event()
        """Set when the service begins to end."""

    def submit(self, request: Request) -> Entry:
        """Enter a new task. Raises QueueFull, Closing, or JournalError where it cannot be journaled."""
        self._check_room()
        now_s = self._wall_clock()
        task_id = name_task(request.space, now_s, self._make_token())
        task = Task(task_id, request.space, self._tagger.site, TaskState.QUEUED, now_s, request=request.to_dict())
        self._journal.begin(task)
        return self._enqueue(Entry(task_id, request, self._metrics))

    def resume(self, task_id: str) -> Entry:
        """Take up a task that ended before it was done. Raises as :meth:`submit` does."""
        self._check_room()
        return self._enqueue(Entry(task_id, resume_task(self._journal, task_id), self._metrics, is_resumed=True))

    def resume_interrupted(self) -> list[str]:
        """Take up what a former process left undone: of each space the latest task. Gives their ids."""
        seen: set[str] = set()
        resumed: list[str] = []
        for task in self._journal.tasks():
            is_latest = task.space not in seen and task.site == self._tagger.site
            seen.add(task.space)
            if is_latest and task.state is TaskState.INTERRUPTED and len(self._queue) < self._most_queued:
                try:
                    resumed.append(self.resume(task.id).task_id)
                except JournalError as error:
                    _log.warning("task %s is not resumed: %s", task.id, error)
        return resumed

    def stop(self, task_id: str) -> dict[str, Any]:
        """Stop a task: one that waits at once, one that runs after what is in flight. Gives it as it is then.

        Nothing happens to one that ended already. Raises Unknown, or NotHere for a task of another process.
        """
        entry = self.find(task_id)
        if entry is not None and entry in self._queue:
            self._queue.remove(entry)
            self._metrics.queued.set(len(self._queue))
            self._journal.end(task_id, TaskState.STOPPED, {}, self._wall_clock())
            self._finish(entry, TaskState.STOPPED)
        elif entry is not None:
            entry.is_stopping = True
            entry.tell()
        elif self._look_up(task_id).state in _OPEN:
            raise NotHere
        return self.view(task_id)

    def find(self, task_id: str) -> Entry | None:
        """A task of this process that waits or runs."""
        entries = [*self._queue, *([self._running] if self._running is not None else [])]
        return next((entry for entry in entries if entry.task_id == task_id), None)

    def view(self, task_id: str) -> dict[str, Any]:
        """What is told of a task. Raises Unknown."""
        return self._describe(self._look_up(task_id))

    def views(self) -> list[dict[str, Any]]:
        """The latest hundred tasks, the newest first."""
        return [self._describe(task) for task in self._journal.tasks()]

    def result(self, task_id: str) -> dict[str, Any] | None:
        """The result of a task that ended, or as far as it came, with every page; None while it is open."""
        task = self._look_up(task_id)
        if task.state in _OPEN:
            return None
        ends = self._journal.pages(task_id).values()
        wanted = task.request
        pages = None if wanted.get("pages") is None else frozenset[str]()
        request = Request(task.space, wanted.get("apply", False), wanted.get("mode", "add"), pages)
        skipped = int(task.result.get("skipped_by_whitelist", 0))
        told = result_dict(
            task_id, ends, request=request, total=max(task.total, len(ends)), skipped_by_whitelist=skipped
        )
        return task.result | told | {"state": str(task.state)}

    async def events(self, task_id: str, heartbeat_s: float) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(`progress`, view) now and whenever it changes, (`end`, view) last; `heartbeat` where nothing happens.

        The first one tells all that was missed. When the service ends, only the events of the task that runs go on
        to their end. Raises Unknown.
        """
        entry, changed = self.find(task_id), asyncio.Event()
        if entry is not None:
            entry.watchers.add(changed)
        try:
            view, waited_s = self.view(task_id), 0.0
            yield "progress", view
            while TaskState(view["status"]) in _OPEN and not (self.closing.is_set() and entry is not self._running):
                wait_s = heartbeat_s if entry is not None else _POLL_S
                is_told = await _is_set_within(changed, wait_s)
                changed.clear()
                before, view = view, self.view(task_id)
                waited_s = 0.0 if view != before else waited_s + wait_s
                if view != before:
                    yield "progress", view
                    if is_told and TaskState(view["status"]) in _OPEN:
                        await _is_set_within(self.closing, _LEAST_S)
                elif waited_s >= heartbeat_s:
                    waited_s = 0.0
                    yield "heartbeat", {}
            if TaskState(view["status"]) not in _OPEN:
                yield "end", view
        finally:
            if entry is not None:
                entry.watchers.discard(changed)

    async def work(self) -> None:
        """Run what is queued, one task after the other, for ever."""
        while True:
            await self._is_wanted.wait()
            if not self._queue or self.closing.is_set():
                self._is_wanted.clear()
                continue
            self._is_idle.clear()
            self._running = entry = self._queue.pop(0)
            self._metrics.queued.set(len(self._queue))
            self._metrics.running.set(1)
            began_s = asyncio.get_running_loop().time()
            try:
                await self._run(entry)
            finally:
                self._running = None
                self._metrics.running.set(0)
                self._close(entry, asyncio.get_running_loop().time() - began_s)
                self._is_idle.set()

    def begin_closing(self) -> None:
        """Start nothing more, and stop what runs after what is in flight; what waits can be resumed later."""
        self.closing.set()
        if self._running is not None:
            self._running.is_stopping = True
            self._running.tell()
        for entry in self._queue:
            entry.error = Closing()
            entry.ended.set()
            entry.tell()

    async def close(self, within_s: float) -> None:
        """Wait for the running task's end, but no longer than this."""
        self.begin_closing()
        await _is_set_within(self._is_idle, within_s)

    async def _run(self, entry: Entry) -> None:
        try:
            if not entry.is_resumed:
                self._journal.start(entry.task_id)
            entry.result = await self._tagger.run(
                entry.task_id, entry.request, self._journal, entry, is_resumed=entry.is_resumed
            )
        except TagspaceError as error:
            entry.error = error
        except Exception as error:  # a defect of one task must not end the service
            _log.exception("task %s failed", entry.task_id)
            entry.error = error

    def _close(self, entry: Entry, took_s: float) -> None:
        """Wake those who wait for the task; see to it that the journal knows its end."""
        state = TaskState(entry.result.get("state", TaskState.DONE)) if entry.result else TaskState.FAILED
        pages: Counter[Status] = Counter()
        labels_added = 0
        try:
            if self._journal.holds(entry.task_id):
                why = {"error": str(entry.error or "it was broken off")}
                self._journal.end(entry.task_id, state, why, self._wall_clock())
            for end in self._journal.pages(entry.task_id).values():
                pages[end.status] += 1
                labels_added += len(end.added)
        except JournalError as error:
            _log.warning("the end of task %s is not journaled: %s", entry.task_id, error)
        looks = (entry.result or {}).get("cache_stats", {})
        self._metrics.on_end(state, pages, looks, labels_added, took_s)
        self._finish(entry, state)

    def _finish(self, entry: Entry, state: TaskState) -> None:
        if entry.result is None and entry.error is None:
            entry.error = Closing() if self.closing.is_set() else TagspaceError(f"the task was {state}")
        entry.ended.set()
        entry.tell()

    def _check_room(self) -> None:
        if self.closing.is_set():
            raise Closing
        if len(self._queue) >= self._most_queued:
            raise QueueFull

    def _enqueue(self, entry: Entry) -> Entry:
        self._queue.append(entry)
        self._metrics.queued.set(len(self._queue))
        self._is_wanted.set()
        return entry

    def _look_up(self, task_id: str) -> Task:
        task = self._journal.task(task_id)
        if task is None:
            raise Unknown
        return task

    def _describe(self, task: Task) -> dict[str, Any]:
        entry = self.find(task.id)
        counters = entry.counters if entry is not None and entry.counters else task.counters
        state = task.state
        if entry is not None:
            state = TaskState.RUNNING if entry is self._running else TaskState.QUEUED
        return {
            "task_id": task.id,
            "space": task.space,
            "status": str(state),
            "is_stopping": entry is not None and entry.is_stopping,
            "dry_run": not task.request.get("apply", False),
            "mode": task.request.get("mode", "add"),
            "processed": max(entry.processed if entry is not None else 0, int(counters.get("processed", 0))),
            "total": max(entry.total if entry is not None else 0, task.total),
            "errors": int(counters.get("errors", 0)),
            "rate_limit_errors": int(counters.get("rate_limit_errors", 0)),
            "fallback_switches": int(counters.get("fallback_switches", 0)),
            "total_ai_calls": int(counters.get("total_ai_calls", 0)),
            "started_s": task.started_s,
            "ended_s": task.ended_s,
            "error": str(task.result.get("error", "")),
        }


async def _is_set_within(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
