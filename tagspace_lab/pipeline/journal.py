"""What is done of a task, in a SQLite file, so that a task that was killed goes on where it was.

Three tables: `tasks` (one row each, with its counters), `answers` (labels by content key, kept the moment
that they are paid for) and `pages` (how each page ended, with the version it had). Every write is committed
before anything else happens. One file serves many tasks and processes; who runs a task holds a lock that the
system takes back when the process dies, however it dies. Times are seconds since 1970 and are passed in.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from tagspace_lab.errors import JournalError
from tagspace_lab.records import Status

__all__ = ["Journal", "PageEnd", "Task", "TaskState"]

_SCHEMA = 1
_BUSY_S = 10.0
_TABLES = """
create table tasks (
    id text primary key, space text not null, site text not null, request text not null, state text not null,
    started_s real not null, ended_s real, total integer not null default 0, counters text not null default '{}',
    result text not null default '{}'
) without rowid;
create index tasks_by_time on tasks (started_s);
create table answers (
    task text not null, key text not null, labels text not null, primary key (task, key)
) without rowid;
create table pages (
    task text not null, page_id text not null, version integer not null, title text not null, status text not null,
    tags text not null, existing text not null, added text not null, reason text not null,
    primary key (task, page_id)
) without rowid;
"""


class TaskState(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # on request: it can be resumed
    FAILED = "failed"  # the whole run, not single pages: it can be resumed
    INTERRUPTED = "interrupted"  # its process is gone: it can be resumed


@dataclass(frozen=True, slots=True)
class Task:
    """One task as the journal knows it. `request` and `result` are what its owner wrote there; `counters` are live."""

    id: str
    space: str
    site: str
    state: TaskState
    started_s: float
    ended_s: float | None = None
    total: int = 0
    request: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageEnd:
    """How a page ended: `tags` it should carry, labels it had (`existing`), those of `tags` that it lacked (`added`).

    In a task that writes, `added` were written; in a dry one they would be.
    """

    page_id: str
    version: int
    title: str
    status: Status
    tags: tuple[str, ...] = ()
    existing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    reason: str = ""


class Journal:
    """The journal in the file at `path`, made with its folder if there is none. Use it in one thread, and close it.

    Every method raises JournalError where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"{path.parent} cannot be made: {error.strerror}; name another state folder") from error
        with self._translated():
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and of the tasks that are held."""
        for task_id in tuple(self._locks):
            self._let_go(task_id)
        self._db.close()

    def begin(self, task: Task) -> None:
        """A new task, held by this process from now on. JournalError where there is one of that name."""
        self._hold(task.id)
        row = (task.id, task.space, task.site, json.dumps(task.request), task.state, task.started_s, task.total)
        try:
            self._write(
                "insert into tasks (id, space, site, request, state, started_s, total) values (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        except JournalError as error:
            self._let_go(task.id)
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                raise JournalError(f"there is a task {task.id!r} already: resume it, or choose another id") from None
            raise

    def reopen(self, task_id: str) -> Task:
        """Take up a task that ended before it was done. JournalError where there is none such, or it runs."""
        self._hold(task_id)
        task = self.task(task_id)
        if task is None or task.state is TaskState.DONE:
            self._let_go(task_id)
            raise JournalError(f"task {task_id!r} {'is done' if task else 'is unknown'}: there is nothing to resume")
        self._write("update tasks set state = ?, ended_s = null where id = ?", (TaskState.RUNNING, task_id))
        return task

    def holds(self, task_id: str) -> bool:
        """Whether this process runs the task."""
        return task_id in self._locks

    def note(self, task_id: str, *, total: int, counters: Mapping[str, Any]) -> None:
        """The task's size and counters as they are now."""
        self._write("update tasks set total = ?, counters = ? where id = ?", (total, json.dumps(counters), task_id))

    def start(self, task_id: str) -> None:
        """A queued task runs from now on."""
        self._write("update tasks set state = ? where id = ?", (TaskState.RUNNING, task_id))

    def end(self, task_id: str, state: TaskState, result: Mapping[str, Any], now_s: float) -> None:
        """The task ended so; what it paid for is dropped once it is done."""
        with self._translated(), self._db:
            self._db.execute("begin immediate")
            self._db.execute(
                "update tasks set state = ?, result = ?, ended_s = ? where id = ?",
                (state, json.dumps(result), now_s, task_id),
            )
            if state is TaskState.DONE:
                self._db.execute("delete from answers where task = ?", (task_id,))
        self._let_go(task_id)

    def keep_answer(self, task_id: str, key: str, labels: tuple[str, ...]) -> None:
        """An answer that was paid for."""
        self._write("insert or replace into answers values (?, ?, ?)", (task_id, key, json.dumps(labels)))

    def answers(self, task_id: str) -> dict[str, tuple[str, ...]]:
        """Labels by content key: all that the task has paid for."""
        rows = self._read("select key, labels from answers where task = ?", (task_id,))
        return {key: tuple(json.loads(labels)) for key, labels in rows}

    def keep_page(self, task_id: str, end: PageEnd) -> None:
        """How a page ended; a page that is done again takes the place of its former end."""
        page_id, version, title, status, tags, existing, added, reason = astuple(end)
        words = (json.dumps(part) for part in (tags, existing, added))
        self._write(
            "insert or replace into pages values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (task_id, page_id, version, _encodable(title), status, *words, _encodable(reason)),
        )

    def pages(self, task_id: str) -> dict[str, PageEnd]:
        """The ends of the task's pages so far, by id."""
        rows = self._read(
            "select page_id, version, title, status, tags, existing, added, reason from pages where task = ?",
            (task_id,),
        )
        return {row[0]: _page_end(row) for row in rows}

    def task(self, task_id: str) -> Task | None:
        """One task; None where it is unknown."""
        return next(self._tasks("where id = ?", (task_id,)), None)

    def tasks(self, most: int = 100) -> list[Task]:
        """The latest tasks, the newest first."""
        return list(self._tasks("order by started_s desc, id desc limit ?", (most,)))

    def latest(self, space: str, site: str) -> Task | None:
        """The latest task on that space; None where there was none."""
        order = "where space = ? and site = ? order by started_s desc, id desc limit 1"
        return next(self._tasks(order, (space, site)), None)

    def _tasks(self, where: str, parameters: tuple[Any, ...]) -> Iterator[Task]:
        columns = "id, space, site, state, started_s, ended_s, total, request, counters, result"
        for row in self._read(f"select {columns} from tasks {where}", parameters):  # noqa: S608 - our own words
            task_id, space, site, written, started_s, ended_s, total, *documents = row
            state = TaskState(written)
            if state in (TaskState.RUNNING, TaskState.QUEUED) and not self._is_held(task_id):
                state = TaskState.INTERRUPTED
            request, counters, result = map(json.loads, documents)
            yield Task(task_id, space, site, state, started_s, ended_s, total, request, counters, result)

    def _prepare(self) -> None:
        with self._translated():
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            with self._db:
                self._db.execute("begin immediate")
                version = self._db.execute("pragma user_version").fetchone()[0]
                is_empty = not self._db.execute("select count(*) from sqlite_master").fetchone()[0]
                if version == 0 and is_empty:
                    for statement in filter(str.strip, _TABLES.split(";")):
                        self._db.execute(statement)
                    self._db.execute(f"pragma user_version = {_SCHEMA}")
                elif version != _SCHEMA:
                    raise JournalError(f"{self._path} is no journal of this version; name another state folder")

    def _write(self, statement: str, parameters: tuple[Any, ...]) -> None:
        with self._translated():
            self._db.execute(statement, parameters)

    def _read(self, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._db.execute(statement, parameters).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {self._path} cannot be used: {error}; free the disk, move a broken file away, or name "
                "another state folder"
            ) from error

    def _hold(self, task_id: str) -> None:
        """JournalError where another process runs the task."""
        try:
            descriptor = os.open(self._lock_path(task_id), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(f"{self._lock_path(task_id)} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise JournalError(f"task {task_id!r} runs in another process: stop that one first, or wait") from None
        self._locks[task_id] = descriptor

    def _let_go(self, task_id: str) -> None:
        if (descriptor := self._locks.pop(task_id, None)) is not None:
            self._lock_path(task_id).unlink(missing_ok=True)
            os.close(descriptor)

    def _is_held(self, task_id: str) -> bool:
        if self.holds(task_id):
            return True
        with suppress(OSError):
            descriptor = os.open(self._lock_path(task_id), os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            finally:
                os.close(descriptor)
        return False

    def _lock_path(self, task_id: str) -> Path:
        safe = "".join(char if char.isalnum() or char in "-_" else f"%{ord(char):x}" for char in task_id)
        return self._path.with_name(f"{self._path.name}.{safe}.lock")


def _page_end(row: tuple[Any, ...]) -> PageEnd:
    page_id, version, title, status, *lists, reason = row
    tags, existing, added = (tuple(json.loads(part)) for part in lists)
    return PageEnd(page_id, version, title, Status(status), tags, existing, added, reason)


def _encodable(text: str) -> str:
    """`text` with a "?" for every half of a surrogate pair, which SQLite does not take."""
    return text.encode("utf-8", "replace").decode()
