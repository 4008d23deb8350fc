"""Writes a run down, attempt by attempt, so that it can be calibrated on later: JSON lines, appended as things happen.

A run is a line `run`, a line `attempt` for every request to a provider as it ends, and a line `end`, which a run that
was killed does not have. Several runs may follow each other in one file. Numbers, the names of the space and of the
models and the settings are all that is written: no text, no page's id, no address, no key.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tagspace_lab.errors import TraceError
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, RateLimit, Status
from tagspace_lab.settings import Settings

__all__ = ["TRACE_SCHEMA", "TraceWriter"]

TRACE_SCHEMA = 1
"""Stands in every `run` line; raised when a line comes to mean something else."""

_log = logging.getLogger(__name__)
_START = b'{"kind":"run","schema":'
_BLOCK = 65_536


class TraceWriter:
    """Appends runs to the file at `path`: :meth:`begin`, a call for every attempt, :meth:`end`, and :meth:`close`.

    Each line is written at once. When the disk is full recording stops, which is logged once, and the run goes on.
    Raises TraceError if the file cannot be opened, is no trace, or is being written by another run. What a kill left
    of the last line is cut off.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        self._is_open = True
        self.stopped = ""
        """Why nothing more is recorded; empty while it is."""

    def begin(
        self,
        *,
        space: str,
        pages: int | None,
        settings: Settings,
        rules: LabelRules,
        models: Mapping[str, str],
        began_wall_s: float,
    ) -> None:
        """A run begins, at `began_wall_s` by the wall clock (seconds since 1970). Of `rules` the size is kept.

        `models` names the model behind each provider (`primary`, `fallback`), without an address: `openai:gpt-x`.
        """
        began = datetime.fromtimestamp(began_wall_s, UTC)
        self._write(
            {
                "kind": "run",
                "schema": TRACE_SCHEMA,
                "began_at": began.isoformat(timespec="milliseconds"),
                "space": space,
                "pages": pages,
                "labels": len(rules.vocabulary),
                "prompt_tokens": rules.system_tokens,
                "models": dict(models),
                "settings": settings.to_variables(),
            }
        )

    def __call__(self, attempt: Attempt) -> None:
        """One attempt has ended."""
        self._write(_attempt_line(attempt))

    def end(self, result: RunResult) -> None:
        """The run has ended."""
        counts = Counter(tagging.status for tagging in result.results)
        self._write(
            {
                "kind": "end",
                "makespan_s": _rounded(result.makespan_s),
                "fallbacks": result.fallbacks,
                "broke_off": bool(result.broke_off),
                **{str(status): counts[status] for status in Status},
            }
        )

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.stopped or not self._is_open:
            return
        try:
            _write_all(self._file, json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        except OSError as error:
            self.stopped = error.strerror or "it cannot be written"
            _log.warning("%s: %s; the rest of this run is not recorded", self.path, self.stopped)


def _attempt_line(attempt: Attempt) -> dict[str, Any]:
    """Times in seconds from the run's begin, to the microsecond; `null` for what is not known or not bounded."""
    return {
        "kind": "attempt",
        "call": attempt.call,
        "try": attempt.number,
        "provider": attempt.provider,
        "started_s": _rounded(attempt.started_s),
        "ended_s": _rounded(attempt.ended_s),
        "outcome": str(attempt.outcome),
        "status": attempt.status,
        "pages": attempt.pages,
        "expected_tokens": [attempt.expected.input_tokens, attempt.expected.output_tokens],
        "used_tokens": [attempt.input_tokens, attempt.output_tokens],
        "cached_tokens": attempt.cached_tokens,
        "waited_s": _rounded(attempt.waited_s),
        "in_flight": attempt.in_flight,
        "window": _rounded(attempt.window),
        "pace_per_s": _rounded(attempt.pace_per_s),
        "queued": attempt.queued,
        **_limit_fields(attempt.rate_limit),
    }


def _limit_fields(rate_limit: RateLimit) -> dict[str, Any]:
    """What the answer said of the limits, where it said anything; `quotas` maps a name to [limit, remaining, reset]."""
    fields: dict[str, Any] = {}
    if rate_limit.retry_after_s is not None:
        fields["retry_after_s"] = _rounded(rate_limit.retry_after_s)
    if rate_limit.cause:
        fields["cause"] = rate_limit.cause
    if rate_limit.is_oversized:
        fields["is_oversized"] = True
    if rate_limit.quotas:
        fields["quotas"] = {
            name: [_rounded(value) for value in (quota.limit, quota.remaining, quota.reset_s)]
            for name, quota in rate_limit.quotas.items()
        }
    return fields


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def _open(path: Path) -> int:
    """The file, locked, at the end of its last whole line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        why = f"the trace cannot be opened: {error.strerror}"
        raise TraceError(f"{path}: {why}; name a file in a writable folder") from error
    try:
        _repair(path, file)
    except BaseException:
        os.close(file)
        raise
    return file


def _repair(path: Path, file: int) -> None:
    """Take the file for this run alone; cut off a last line that was not finished. TraceError if it is no trace."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TraceError(f"{path}: another run is recording to this file; name another") from None
    except OSError:
        pass  # a file system without locks
    try:
        size = os.fstat(file).st_size
        start = os.pread(file, len(_START), 0)
        if not start.startswith(_START[: len(start)]):
            raise TraceError(f"{path}: this is no trace, and nothing was written to it; name another file")
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.ftruncate(file, _last_line_end(file, size))
    except OSError as error:
        raise TraceError(f"{path}: the trace cannot be read: {error.strerror}; name another file") from error


def _last_line_end(file: int, size: int) -> int:
    """Where the last whole line ends; 0 if there is none."""
    while size > 0:
        start = max(0, size - _BLOCK)
        found = os.pread(file, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def _write_all(file: int, line: bytes) -> None:
    """A line is written in one piece unless the disk is full; what is left of it then is cut off by the next run."""
    while line:
        line = line[os.write(file, line) :]
