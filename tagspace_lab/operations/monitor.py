"""What a run is doing now, as its log or its journal tells it.

A log is read generously: whatever stands around a mark, a line that holds one counts, and what cannot be read is passed
over. The lines of runs that write to one log at the same time cannot be told apart: their 429s are counted together.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tagspace_lab.errors import InputError
from tagspace_lab.live.logs import APP_LOG, ROUTER_LOG, printable
from tagspace_lab.operations.tail import Tail
from tagspace_lab.pipeline.journal import Journal, Task, TaskState

__all__ = ["LogWatch", "TaskWatch", "View", "Watch"]

_MARK = re.compile(r"\[(ROUTER|429|BACKOFF|THROTTLE|FALLBACK|CACHE|OPTIMIZATION_SUMMARY)\] *(.*)")
_START = re.compile(r"run (\S+) starts with")
_THROTTLE = re.compile(r"-> ([\d.e+]+) calls, pace .*-> (?:([\d.e+]+) calls/s|\w+)(?:, in flight (\d+), queued (\d+))?")
_PAIR = re.compile(r"(\w+)=(\S+)")
_SHOWN_LINES = 6
_RATE_OVER_S = 60.0
_ENDED = (TaskState.DONE, TaskState.STOPPED, TaskState.FAILED, TaskState.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class View:
    """One look at a run; None for what its source does not tell. Concurrency is calls that the throttle allows.

    `state` is `waiting` (nothing seen yet), `running`, `ended`, or what a journal says of a task. `lines` are the
    latest marked lines of a log.
    """

    name: str
    state: str
    is_ended: bool = False
    processed: int | None = None
    total: int | None = None
    errors: int | None = None
    rate_limit_errors: int = 0
    fallbacks: int = 0
    ai_calls: int | None = None
    concurrency: float | None = None
    pace_per_s: float | None = None
    in_flight: int | None = None
    queued: int | None = None
    hit_rate: float | None = None
    rate_per_s: float | None = None
    eta_s: float | None = None
    summary: str = ""
    lines: tuple[str, ...] = ()


class Watch(Protocol):
    """Something that can be looked at again and again."""

    def look(self) -> View: ...
    def close(self) -> None: ...


class LogWatch:
    """Follows a log file, or both files of a log folder. InputError where there is neither."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InputError(f"{path} is not there; name a log file, or the folder that TAG_SPACE_LOG_DIR names")
        files = [path / ROUTER_LOG, path / APP_LOG] if path.is_dir() else [path]
        self._tails = [Tail(file) for file in files]
        self._path = path
        self._run = _LoggedRun("")
        self._summary: dict[str, str] = {}
        self._summary_line = ""
        self._lines: deque[str] = deque(maxlen=_SHOWN_LINES)

    def look(self) -> View:
        """The run that the log's lines so far tell of: the last that started."""
        for tail in self._tails:
            self.note(tail.read())
        run, summary = self._run, self._summary
        is_ended = bool(summary) and summary.get("task", "") == run.name
        state = "ended" if is_ended else "running" if run.is_seen else "waiting"
        if not is_ended:
            summary = {}
        return View(
            name=f"{run.name or 'run'} in {self._path}",
            state=state,
            is_ended=is_ended,
            processed=_whole(summary.get("processed")),
            errors=_whole(summary.get("errors")),
            rate_limit_errors=run.refusals,
            fallbacks=run.fallbacks,
            ai_calls=_whole(summary.get("ai_calls")),
            concurrency=run.window,
            pace_per_s=run.pace_per_s,
            in_flight=run.in_flight,
            queued=run.queued,
            hit_rate=_number(summary.get("hit_rate")),
            summary=self._summary_line,
            lines=tuple(self._lines),
        )

    def note(self, lines: Iterable[str]) -> None:
        """Take in some lines."""
        for line in lines:
            found = _MARK.search(line)
            if found is None:
                continue
            mark, words = found.groups()
            if mark == "OPTIMIZATION_SUMMARY":
                self._summary, self._summary_line = dict(_PAIR.findall(words)), printable(words)
                continue
            if mark == "CACHE":
                continue
            if start := _START.search(words):
                self._run = _LoggedRun(start[1])
                self._lines.clear()
                if self._summary.get("task") == start[1]:
                    self._summary = {}
            self._run.note(mark, words)
            self._lines.append(printable(f"[{mark}] {words}"))

    def close(self) -> None:
        """Let go of the files."""
        for tail in self._tails:
            tail.close()


@dataclass(slots=True)
class _LoggedRun:
    """What a log has told of one run."""

    name: str
    is_seen: bool = False
    refusals: int = 0
    fallbacks: int = 0
    window: float | None = None
    pace_per_s: float | None = None
    in_flight: int | None = None
    queued: int | None = None

    def note(self, mark: str, words: str) -> None:
        self.is_seen = True
        self.refusals += mark == "429"
        self.fallbacks += mark == "FALLBACK"
        if mark == "THROTTLE" and (found := _THROTTLE.search(words)):
            window, pace, in_flight, queued = found.groups()
            self.window, self.pace_per_s = _number(window), _number(pace)
            self.in_flight, self.queued = _whole(in_flight), _whole(queued)


class TaskWatch:
    """Follows one task in a journal: by its id, or the latest. InputError where there is none.

    `wall_clock` gives seconds since 1970.
    """

    def __init__(self, journal: Journal, task_id: str | None, wall_clock: Callable[[], float]) -> None:
        tasks = journal.tasks(1) if task_id is None else [journal.task(task_id)]
        if not tasks or tasks[0] is None:
            known = ", ".join(task.id for task in journal.tasks(5))
            if not known:
                raise InputError("there is no task in this journal yet; start one by `tagspace-lab tag SPACE`")
            raise InputError(f"there is no task {task_id} in this journal; the latest: {known}")
        self._journal = journal
        self._id = tasks[0].id
        self._wall_clock = wall_clock
        self._seen: deque[tuple[float, int]] = deque()

    def look(self) -> View:
        """The task as it is now."""
        task = self._journal.task(self._id)
        if task is None:
            raise InputError(f"task {self._id} is no longer in the journal")
        counters = task.counters
        processed = _count(counters.get("processed")) or 0
        rate_per_s = self._rate(task, processed)
        left = max(0, task.total - processed)
        is_ended = task.state in _ENDED
        return View(
            name=printable(task.id),
            state=str(task.state),
            is_ended=is_ended,
            processed=processed,
            total=task.total,
            errors=_count(counters.get("errors")),
            rate_limit_errors=_count(counters.get("rate_limit_errors")) or 0,
            fallbacks=_count(counters.get("fallback_switches")) or 0,
            ai_calls=_count(counters.get("total_ai_calls")),
            concurrency=_number(counters.get("current_concurrency")) or None,  # 0: no call was made
            hit_rate=_number((task.result.get("cache_stats") or {}).get("hit_rate")),
            rate_per_s=rate_per_s,
            eta_s=left / rate_per_s if rate_per_s and not is_ended else None,
            summary=_word_result(task.result),
        )

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _rate(self, task: Task, processed: int) -> float | None:
        """Pages a second: of the last minute while it runs, else of the whole task."""
        now_s = self._wall_clock() if task.ended_s is None else task.ended_s
        self._seen.append((now_s, processed))
        while now_s - self._seen[0][0] > _RATE_OVER_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        if task.ended_s is not None or now_s - since_s < 1 or processed == before:
            since_s, before = task.started_s, 0
        return (processed - before) / (now_s - since_s) if now_s > since_s else None


def _word_result(result: dict[str, Any]) -> str:
    """The numbers of a finished task, or why it failed, in one line."""
    if error := result.get("error"):
        return printable(f"error={error}")
    numbers = {**result, **(result.get("concurrency_metrics") or {}), **(result.get("cache_stats") or {})}
    wanted = ("processed", "errors", "hit_rate", "rate_limit_errors", "fallbacks", "total_ai_calls", "makespan_s")
    return " ".join(f"{name}={numbers[name]:.5g}" for name in wanted if isinstance(numbers.get(name), int | float))


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None
