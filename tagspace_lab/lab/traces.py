"""Reads recorded runs, line by line, and says which line is wrong. The format is that of `pipeline/traces.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tagspace_lab.errors import InputError, TraceError
from tagspace_lab.pipeline.traces import TRACE_SCHEMA
from tagspace_lab.records import Attempt, Cost, Outcome, Quota, RateLimit, Status
from tagspace_lab.settings import Settings, load_settings

__all__ = ["TraceRun", "iter_trace", "read_trace"]

_LONGEST_LINE = 1_000_000
_CAUSES = ("", "requests", "tokens", "input_tokens", "output_tokens", "concurrency")
_MOST = 10**15


@dataclass(slots=True)
class TraceRun:
    """One recorded run. `pages`: how many the space was said to have, None if unknown. `labels` were allowed (0: any),
    and `prompt_tokens` are those of a prompt's fixed part.

    `attempts` are in the order in which they ended, times in s from the run's begin. `makespan_s` is that of the last
    attempt, and `statuses` is empty, where the run was killed: then `is_whole` is False.
    """

    space: str
    pages: int | None
    began_wall_s: float
    models: dict[str, str]
    settings: Settings
    labels: int = 0
    prompt_tokens: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    makespan_s: float = 0.0
    statuses: dict[Status, int] = field(default_factory=dict)
    is_whole: bool = False

    def of(self, provider: str) -> list[Attempt]:
        """The attempts at one provider, in the order in which they started."""
        chosen = [attempt for attempt in self.attempts if attempt.provider == provider]
        return sorted(chosen, key=lambda attempt: (attempt.started_s, attempt.call))


def read_trace(path: str | Path, most_attempts: int = 200_000) -> list[TraceRun]:
    """The runs of a trace that hold attempts; after `most_attempts` the rest of the file is left alone.

    Raises TraceError, naming the line and the cure, if the file cannot be read, is no trace, or holds no attempt.
    """
    runs: list[TraceRun] = []
    count = 0
    for run, attempt in iter_trace(path):
        if attempt is None:
            runs.append(run)
            continue
        run.attempts.append(attempt)
        count += 1
        if count == most_attempts:
            break
    runs = [run for run in runs if run.attempts]
    if not runs:
        raise TraceError(f"{path}: the trace holds no attempt; record a run in which the model is asked something")
    for run in runs:
        if not run.is_whole:
            run.makespan_s = max(attempt.ended_s for attempt in run.attempts)
    return runs


def iter_trace(path: str | Path) -> Iterator[tuple[TraceRun, Attempt | None]]:
    """Every run as (run, None) when it begins, then (run, attempt) for each attempt; a torn last line is passed over.

    A run's `makespan_s` and `statuses` are filled in when its end was read.
    """
    run: TraceRun | None = None
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    return
                fields = _parse(path, number, line)
                try:
                    if fields.get("kind") == "run":
                        run = _run(fields)
                        yield run, None
                    elif run is None:
                        raise TraceError("a trace begins with a line of the kind run")
                    elif fields.get("kind") == "attempt":
                        yield run, _attempt(fields)
                    elif fields.get("kind") == "end":
                        _finish(run, fields)
                except TraceError as error:
                    raise TraceError(f"{path}, line {number}: {error}; {_CURE}") from None
    except OSError as error:
        raise TraceError(f"{path}: the trace cannot be read: {error.strerror}; name a recorded trace") from error


_CURE = "delete the line, or record the run again"


def _parse(path: str | Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise TraceError(f"{path}, line {number}: this is not a JSON object; {_CURE}")
    return fields


def _run(fields: dict[str, Any]) -> TraceRun:
    if fields.get("schema") != TRACE_SCHEMA:
        raise TraceError(f"the schema is {fields.get('schema')!r}, and this version reads {TRACE_SCHEMA}")
    models, variables = fields.get("models"), fields.get("settings")
    return TraceRun(
        space=_text(fields, "space"),
        pages=None if fields.get("pages") is None else _count(fields, "pages"),
        began_wall_s=_wall_s(fields),
        models={str(name): str(model) for name, model in models.items()} if isinstance(models, dict) else {},
        settings=_settings(variables),
        labels=_count(fields, "labels"),
        prompt_tokens=_count(fields, "prompt_tokens"),
    )


def _settings(variables: Any) -> Settings:
    if not isinstance(variables, dict):
        raise TraceError(f"settings is {_shown(variables)}, wanted: an object of TAG_SPACE_ variables")
    try:
        return load_settings({str(name): str(value) for name, value in variables.items()})
    except InputError as error:
        raise TraceError(f"the settings cannot be used: {error}") from None


def _wall_s(fields: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(fields.get("began_at"))).timestamp()
    except (ValueError, OverflowError, OSError):
        raise TraceError(f"began_at is {_shown(fields.get('began_at'))}, wanted: a date and time") from None


def _attempt(fields: dict[str, Any]) -> Attempt:
    started_s, ended_s = _number(fields, "started_s"), _number(fields, "ended_s")
    if ended_s < started_s:
        raise TraceError(f"ended_s is {ended_s:g}, before started_s, which is {started_s:g}")
    expected, used = _pair(fields, "expected_tokens"), _pair(fields, "used_tokens")
    limits = _rate_limit(fields)
    return Attempt(
        call=_count(fields, "call"),
        number=_count(fields, "try"),
        provider=_text(fields, "provider"),
        started_s=started_s,
        ended_s=ended_s,
        outcome=_outcome(fields),
        status=_count(fields, "status"),
        pages=_count(fields, "pages"),
        input_tokens=used[0],
        output_tokens=used[1],
        cached_tokens=_count(fields, "cached_tokens"),
        waited_s=_number(fields, "waited_s"),
        in_flight=_count(fields, "in_flight"),
        window=_bound(fields, "window"),
        retry_after_s=limits.retry_after_s,
        pace_per_s=_bound(fields, "pace_per_s"),
        queued=_count(fields, "queued"),
        expected=Cost(*expected),
        rate_limit=limits,
    )


def _rate_limit(fields: dict[str, Any]) -> RateLimit:
    quotas = fields.get("quotas", {})
    if not isinstance(quotas, dict):
        raise TraceError(f"quotas is {_shown(quotas)}, wanted: an object")
    cause = fields.get("cause", "")
    if cause not in _CAUSES:
        raise TraceError(f"cause is {_shown(cause)}, wanted: one of {', '.join(_CAUSES[1:])}")
    return RateLimit(
        {str(name): _quota(values) for name, values in quotas.items()},
        None if fields.get("retry_after_s") is None else _number(fields, "retry_after_s"),
        cause,
        fields.get("is_oversized") is True,
    )


def _quota(values: Any) -> Quota:
    if not isinstance(values, list) or len(values) != 3:
        raise TraceError(f"a quota is {_shown(values)}, wanted: [limit, remaining, reset]")
    known = [None if value is None else _number({"a quota": value}, "a quota") for value in values]
    return Quota(*known)


def _finish(run: TraceRun, fields: dict[str, Any]) -> None:
    run.makespan_s = _number(fields, "makespan_s")
    run.statuses = {status: _count(fields, str(status)) for status in Status}
    run.is_whole = True


def _outcome(fields: dict[str, Any]) -> Outcome:
    try:
        return Outcome(str(fields.get("outcome")))
    except ValueError:
        raise TraceError(f"outcome is {_shown(fields.get('outcome'))}, wanted: one of {', '.join(Outcome)}") from None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise TraceError(f"{name} is {_shown(value)}, wanted: a text")
    return value


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise TraceError(f"{name} is {_shown(value)}, wanted: a whole number from 0")
    return value


def _pair(fields: dict[str, Any], name: str) -> tuple[int, int]:
    value = fields.get(name)
    if not isinstance(value, list) or len(value) != 2:
        raise TraceError(f"{name} is {_shown(value)}, wanted: [input, output]")
    return _count({name: value[0]}, name), _count({name: value[1]}, name)


def _number(fields: dict[str, Any], name: str) -> float:
    value = fields.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise TraceError(f"{name} is {_shown(value)}, wanted: a number from 0")
    return float(value)


def _bound(fields: dict[str, Any], name: str) -> float:
    return math.inf if fields.get(name) is None else _number(fields, name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
