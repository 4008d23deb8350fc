"""Two rotating files that tell a run: `ai_router.log` (router and throttle) and `app.log` (all the rest).

A record is one line of UTF-8, whatever it holds: what is no printable character is escaped, so that nobody can write
a line of his own, and secrets are blotted out of the finished line, whichever logger it came from. A logger that does
not propagate is not seen: run uvicorn with `log_config=None`.

Several processes may write to one folder: each record is written under a lock that they share (POSIX), and whoever
finds that another has turned the files over opens the new one. A disk that is full or a folder that may not be written
is told once, on standard error, and the run goes on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from tagspace_lab.live.redaction import redactor

__all__ = ["APP_LOG", "ROUTER_LOG", "configure_logs", "printable"]

ROUTER_LOG = "ai_router.log"
APP_LOG = "app.log"

_ROUTER_LOGGERS = ("tagspace_lab.pipeline.router", "tagspace_lab.pipeline.throttle")
_TOLD = ("tagspace_lab", "tag_space_performance")
_MAX_BYTES = 10_000_000
_BACKUPS = 5
_LONGEST_LINE = 16_000


@contextmanager
def configure_logs(
    folder: str | Path | None,
    *,
    secrets: Iterable[str] = (),
    max_bytes: int = _MAX_BYTES,
    backups: int = _BACKUPS,
) -> Iterator[None]:
    """Write the logs into `folder` until the block ends, our own loggers at INFO; None or "": change nothing.

    Each of the two files holds `max_bytes` at most (and a line), and `backups` older ones are kept beside it.
    `secrets`: see :func:`~tagspace_lab.live.redaction.find_secrets`. Once in a process at a time: twice in one
    folder writes every line twice. Never raises for what a disk does.
    """
    if not folder:
        yield
        return
    complain = _Complaint(Path(folder))
    formatter = _OneLine(redactor(secrets))
    handlers = [_File(Path(folder, name), formatter, complain, max_bytes, backups) for name in (ROUTER_LOG, APP_LOG)]
    handlers[1].addFilter(lambda record: record.name not in _ROUTER_LOGGERS)
    places = [(name, handlers[0]) for name in _ROUTER_LOGGERS] + [("", handlers[1])]
    levels = {name: logging.getLogger(name).level for name in _TOLD}
    for name, handler in places:
        logging.getLogger(name or None).addHandler(handler)
    for name, level in levels.items():
        if not logging.NOTSET < level <= logging.INFO:
            logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, handler in places:
            logging.getLogger(name or None).removeHandler(handler)
        for handler in handlers:
            handler.close()


class _OneLine(logging.Formatter):
    """Time (UTC), level, process, logger, message: one line, printable, without secrets, of bounded length."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(process)d] %(name)s %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        try:
            text = super().format(record)
        except Exception as error:  # what a caller logs must not end the run
            where = f"{record.pathname}:{record.lineno}"
            text = f"{self.formatTime(record)} ERROR [{record.process}] {record.name} {where} logs what cannot be "
            text += f"worded: {type(error).__name__}"
        line = printable(self._redact(text))
        return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def printable(text: str) -> str:
    """`text` on one line, with escapes for what is no printable character."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Complaint:
    """What is wrong with the folder, said once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_told = False

    def __call__(self, error: BaseException | None) -> None:
        if not self._is_told:
            self._is_told = True
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            with suppress(OSError, ValueError):
                print(f"Logs cannot be written to {self._folder}: {why}. The run goes on.", file=sys.stderr)  # noqa: T201


class _File(RotatingFileHandler):
    """A rotating file that several processes may share."""

    def __init__(
        self,
        path: Path,
        formatter: logging.Formatter,
        complain: _Complaint,
        max_bytes: int,
        backups: int,
    ) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", delay=True)
        self.setFormatter(formatter)
        self._complain = complain
        self._lock_path = path.with_name(f".{path.name}.lock")
        self._lock_fd: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with self._alone():
                if not self._is_current():
                    self._drop_stream()
                super().emit(record)
        except OSError as error:
            self._fail(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        self._fail(sys.exc_info()[1])

    def close(self) -> None:
        with suppress(OSError):
            super().close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process writes or turns over. The lock is this process's own, also after a fork."""
        if self._lock_fd is None:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.lockf(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_fd, fcntl.LOCK_UN)

    def _is_current(self) -> bool:
        """Whether our file is still the one of this name."""
        try:
            ours = os.fstat(self.stream.fileno()) if self.stream else None
            return ours is not None and os.path.samestat(ours, Path(self.baseFilename).stat())
        except OSError:
            return False

    def _fail(self, error: BaseException | None) -> None:
        self._complain(error)
        self._drop_stream()  # what it could not write must not pile up

    def _drop_stream(self) -> None:
        stream, self.stream = self.stream, None
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.close()
