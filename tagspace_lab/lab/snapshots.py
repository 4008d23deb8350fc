"""Snapshots: a space in one file that anybody can replay, byte for byte the same for the same space.

The file is gzip (no time stamp, no file name) of JSON lines in UTF-8:

    {"schema":1,"name":..,"key":..,"pages":..,"edits":..,"last_day":..,"vocabulary":[..],"content_hash":..}
    {"id":"1001","labels":[..],"versions":[{"day":0,"version":1,"title":..,"body":..},..]}
    ...one line a page

`labels` are the gold labels; `versions` begin on day 0, and each holds until the next one's day.
`content_hash` is the SHA-256 of all lines but the first. A file is checked whole when it is loaded, so
that a space, once loaded, does not fail later; a changed byte anywhere is noticed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagspace_lab.errors import SnapshotError
from tagspace_lab.lab.files import check_writable, replacing
from tagspace_lab.records import Page, Space
from tagspace_lab.twin.spaces import SHIPPED, history, page_line, shipped_space

__all__ = ["Progress", "SnapshotSpace", "load_space", "save_space", "space_key"]

Progress = Callable[[int, int], None]

_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LEVEL = 6
_MAX_LINE = 64 * 2**20
_CHUNK = 64  # pages that are compressed together
_OPEN_CHUNKS = 4
_CURE = "copy the file again, or make the snapshot anew"
_Model = TypeVar("_Model", bound=BaseModel)
_Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Schema(BaseModel):
    """What is read of a first line before anything else, so that a newer file is named as such."""

    schema_version: int = Field(alias="schema", strict=True)


class _Header(_Strict):
    schema_version: Literal[1] = Field(alias="schema")
    name: str
    key: str
    pages: Annotated[int, Field(ge=1)]
    edits: _Count
    last_day: _Count
    vocabulary: tuple[str, ...]
    content_hash: str


class _Version(_Strict):
    day: _Count
    version: _Count
    title: str
    body: str


class _Entry(_Strict):
    id: Annotated[str, Field(pattern="^[0-9]+$")]
    labels: tuple[str, ...]
    versions: Annotated[tuple[_Version, ...], Field(min_length=1)]

    @property
    def pages(self) -> list[tuple[int, Page]]:
        return [(v.day, Page(self.id, v.title, v.body, v.version, self.labels)) for v in self.versions]


class SnapshotSpace:
    """A space that was read from a file or a folder. Page bodies are held compressed, about a fifth of their size."""

    def __init__(self, name: str, key: str, entries: Iterable[bytes]) -> None:
        """`entries` are pages as `page_line` gives them, counted from line 2; SnapshotError names a wrong one."""
        self.name = name
        self.key = key
        self.last_day = 0
        self.edits = 0
        self._indexes: dict[str, int] = {}
        self._gold: list[tuple[str, ...]] = []
        self._shelf = _Shelf()
        digest = sha256()
        for number, line in enumerate(entries, start=2):
            digest.update(line)
            self._add(line, number)
        self._shelf.close()
        self.content_hash = digest.hexdigest()
        self.vocabulary = tuple(sorted({label for labels in self._gold for label in labels}))

    def __len__(self) -> int:
        return len(self._gold)

    def __repr__(self) -> str:
        return f"SnapshotSpace({self.name!r}, {len(self)} pages, {self.edits} edits)"

    def page(self, index: int, day: int = 0) -> Page:
        """Page `index` (0 to len - 1) as it stands on `day`; IndexError beyond the space."""
        return [page for since, page in self.history(index) if since <= max(day, 0)][-1]

    def history(self, index: int) -> list[tuple[int, Page]]:
        if not 0 <= index < len(self):
            raise IndexError(f"page {index} of a space of {len(self)} pages")
        return _Entry.model_validate_json(self._shelf.line(index)).pages

    def index_of(self, page_id: str) -> int:
        return self._indexes[page_id]

    def gold(self, page_id: str) -> tuple[str, ...]:
        return self._gold[self._indexes[page_id]]

    def _add(self, line: bytes, number: int) -> None:
        entry = _parsed(_Entry, line, number)
        days = [version.day for version in entry.versions]
        if days[0] != 0 or days != sorted(days):
            raise SnapshotError(f"line {number}: the days of the versions are {days}, not rising from 0; {_CURE}")
        if entry.id in self._indexes:
            raise SnapshotError(f"line {number}: page id {entry.id} stands in the file twice; {_CURE}")
        self._indexes[entry.id] = len(self._gold)
        self._gold.append(entry.labels)
        self.edits += len(days) - 1
        self.last_day = max(self.last_day, days[-1])
        self._shelf.add(line)


class _Shelf:
    """Lines by number, compressed in chunks of `_CHUNK`, the last few chunks used kept open."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._open: dict[int, list[bytes]] = {}
        self._pending: list[bytes] = []

    def add(self, line: bytes) -> None:
        self._pending.append(line)
        if len(self._pending) == _CHUNK:
            self.close()

    def close(self) -> None:
        """No more lines come."""
        if self._pending:
            self._packed.append(zlib.compress(b"".join(self._pending), 1))
            self._pending = []

    def line(self, index: int) -> bytes:
        number, place = divmod(index, _CHUNK)
        chunk = self._open.pop(number, None) or zlib.decompress(self._packed[number]).split(b"\n")
        self._open[number] = chunk
        if len(self._open) > _OPEN_CHUNKS:
            del self._open[next(iter(self._open))]
        return chunk[place]


def save_space(space: Space, path: Path | str, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Write `space` to `path` and return the path; the same space always gives the same bytes.

    Pages are written one by one, and the file appears whole or not at all. SnapshotError where there
    is a file already and `force` is not given, or where the file cannot be written. `progress` gets
    (pages done, all pages).
    """
    path = Path(path)
    check_writable(path, force=force)
    header = _header(space)
    with replacing(path, SnapshotError) as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as file:
        file.write(header)
        for index in range(len(space)):
            file.write(page_line(history(space, index)))
            if progress is not None:
                progress(index + 1, len(space))
    return path


def load_space(source: Path | str) -> Space:
    """A space by the name of a shipped one or from a snapshot file; SnapshotError says what is wrong with it."""
    if isinstance(source, str) and source in SHIPPED:
        return shipped_space(source)
    path = Path(source)
    if path.is_dir():
        raise SnapshotError(f"{path} is a folder, not a snapshot: make one with `tagspace-lab snapshot folder`")
    if not path.exists():
        raise SnapshotError(
            f"no space {str(source)!r}: neither a file nor one of the shipped spaces ({', '.join(SHIPPED)})"
        )
    try:
        with path.open("rb") as raw:
            return _read(raw)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror or error}") from error
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from error


def space_key(name: str) -> str:
    """A key that Confluence would allow for a space called `name`: letters and digits."""
    return "".join(char for char in name.upper() if char.isascii() and char.isalnum()) or "SPACE"


def _header(space: Space) -> bytes:
    """The first line, for which the pages are gone through once before they are written."""
    digest, edits = sha256(), 0
    for index in range(len(space)):
        versions = history(space, index)
        digest.update(page_line(versions))
        edits += len(versions) - 1
    fields = {
        "schema": 1,
        "name": space.name,
        "key": space.key,
        "pages": len(space),
        "edits": edits,
        "last_day": space.last_day,
        "vocabulary": space.vocabulary,
        "content_hash": digest.hexdigest(),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _read(raw: IO[bytes]) -> SnapshotSpace:
    if raw.read(len(_GZIP_HEADER)) != _GZIP_HEADER:
        raise SnapshotError(
            "line 1: this is not a snapshot as it was written: it is something else, was unpacked or packed again, "
            f"or its first bytes are damaged; {_CURE}"
        )
    raw.seek(0)
    lines = _lines(raw)
    first = next(lines, b"")
    schema = _parsed(_Schema, first, 1).schema_version
    if schema != 1:
        raise SnapshotError(f"line 1: schema {schema} is unknown, this version reads 1: upgrade tagspace-lab")
    header = _parsed(_Header, first, 1)
    space = SnapshotSpace(header.name, header.key, lines)
    _compare("content hash", header.content_hash, space.content_hash)
    _compare("number of pages", header.pages, len(space))
    _compare("number of edits", header.edits, space.edits)
    if space.last_day > header.last_day or not set(space.vocabulary) <= set(header.vocabulary):
        raise SnapshotError(f"line 1: pages have later days or other labels than the first line says; {_CURE}")
    space.last_day, space.vocabulary = header.last_day, header.vocabulary
    return space


def _compare(what: str, stated: object, found: object) -> None:
    if stated != found:
        raise SnapshotError(f"line 1 states {stated} as {what}, and the pages give {found}; {_CURE}")


def _lines(raw: IO[bytes]) -> Iterator[bytes]:
    """The lines of a gzipped file, each with its end; SnapshotError with the line where it breaks off."""
    number = 1
    try:
        with gzip.GzipFile(fileobj=raw, mode="rb") as file:
            while line := file.readline(_MAX_LINE):
                if not line.endswith(b"\n"):
                    raise SnapshotError(f"line {number} has no end; {_CURE}")
                yield line
                number += 1
    except (OSError, EOFError, zlib.error) as error:
        raise SnapshotError(f"line {number}: the file is damaged or cut off there ({error}); {_CURE}") from error


def _parsed(model: type[_Model], line: bytes, number: int) -> _Model:
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise SnapshotError(f"line {number}: {where}: {first['msg']}; {_CURE}") from None
