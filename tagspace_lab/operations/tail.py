"""New lines of a file that somebody else writes, turns over and takes away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

__all__ = ["Tail"]

_FIRST_LOOK_BYTES = 8_000_000
"""Of a file that is there already, its end."""
_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 16


class Tail:
    """Follows one file, also while it is not there yet. :meth:`read` gives the lines since the last time.

    A file that was turned over is read to its end, and so are those that came and went in between (`name.1`,
    `name.2`, ...). The end of a line that is longer than 64 kB is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._is_first = True

    def read(self) -> Iterator[str]:
        """The new lines, without their ends; the last one only once it is finished."""
        if self._file is not None and not self._is_current():
            missed = self._missed()
            yield from self._read_on()
            self._close()
            for path in missed:
                self._open(path)
                yield from self._read_on()
                self._close()
        if self._file is None:
            self._open(self._path)
        yield from self._read_on()
        self._is_first = False

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def _open(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError:
            return
        if self._is_first:
            self._file.seek(max(0, os.fstat(self._file.fileno()).st_size - _FIRST_LOOK_BYTES))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _is_current(self) -> bool:
        assert self._file is not None  # noqa: S101
        try:
            there = self._path.stat()
        except OSError:
            return False
        ours = os.fstat(self._file.fileno())
        return os.path.samestat(there, ours) and there.st_size >= self._file.tell()

    def _missed(self) -> list[Path]:
        """Files that were begun after ours and turned over since, the oldest first; none where ours is gone."""
        assert self._file is not None  # noqa: S101
        ours, newer = os.fstat(self._file.fileno()), list[Path]()
        for number in count(1):
            path = self._path.with_name(f"{self._path.name}.{number}")
            try:
                if os.path.samestat(path.stat(), ours):
                    return newer[::-1]
            except OSError:
                return []
            newer.append(path)
        return []

    def _read_on(self) -> Iterator[str]:
        while self._file is not None and (block := self._file.read(_BLOCK)):
            *lines, self._rest = (self._rest + block).split(b"\n")
            self._rest = self._rest[:_LONGEST_LINE]
            for line in lines:
                yield line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
