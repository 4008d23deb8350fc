"""A store outside this process may go away, and no run fails for that: it goes on without, and the log says so.

While a store is away, a get finds nothing and a put keeps nothing. It is tried again after 100 calls, and after twice
as many with each failure (calls, because the loop's clock may be virtual), so that a server that hangs holds a run up
for a few time-outs and no more. If it answers it is used again, and called well once it has answered as many calls as
were skipped: a full disk still reads. A run that missed it even once has not been seen whole, so its end gives nothing
up.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeVar

from tagspace_lab.clients.stores.protocol import Entry
from tagspace_lab.errors import StoreError

__all__ = ["LastingStore", "read_labels"]

_LOG = logging.getLogger(__name__)
_FIRST_SKIP, _MOST_SKIPPED = 100, 10_000

T = TypeVar("T")


class LastingStore(ABC):
    """What SQLite and Redis share: they may fail. `place` names the store in messages and holds no secret.

    Subclasses do the work in methods with an underscore, which raise StoreError or one of `failures` if they cannot.
    """

    def __init__(self, place: str, capacity: int, *failures: type[Exception]) -> None:
        self.place: Final = place
        self.capacity: Final = capacity
        self._failures: tuple[type[Exception], ...] = (StoreError, *failures)
        self._skips_left = 0
        self._skip = 0  # calls that the latest failure made skip; 0 while the store is well
        self._answered = 0  # calls since that failure
        self._gaps: set[tuple[str, str]] = set()  # runs that missed the store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r}, {self.capacity})"

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        space, run = named = _storable(space), _storable(run)
        return self._try(lambda: self._get(key, space, run), None, named)

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str, version: int = 0) -> bool:
        space, run = named = _storable(space), _storable(run)
        return self._try(lambda: self._put(key, Entry(labels, version, space, run)), False, named)

    def look(self, key: str) -> Entry | None:
        return self._try(lambda: self._look(key), None)

    def end_run(self, space: str, run: str) -> int:
        space, run = named = _storable(space), _storable(run)
        if named in self._gaps:
            self._gaps.discard(named)
            return 0
        return self._try(lambda: self._end_run(space, run), 0)

    def close(self) -> None:
        try:
            self._close()
        except self._failures as error:
            self._lose(error)

    def __len__(self) -> int:
        return self._try(self._count, 0)

    def _try(self, call: Callable[[], T], otherwise: T, named: tuple[str, str] | None = None) -> T:
        if self._skips_left:
            self._skips_left -= 1
        else:
            try:
                answer = call()
            except self._failures as error:
                self._lose(error)
            else:
                self._note_answer()
                return answer
        if named:
            self._gaps.add(named)
        return otherwise

    def _lose(self, error: Exception) -> None:
        if not self._skip:
            _LOG.warning("the cache %s is away (%s): going on without it", self.place, error)
        self._skip = min(self._skip * 2 or _FIRST_SKIP, _MOST_SKIPPED)
        self._skips_left = self._skip
        self._answered = 0
        self._let_go()

    def _note_answer(self) -> None:
        self._answered += 1
        if self._answered == self._skip:
            _LOG.warning("the cache %s is back", self.place)
            self._skip = 0

    @abstractmethod
    def _get(self, key: str, space: str, run: str) -> tuple[str, ...] | None: ...

    @abstractmethod
    def _put(self, key: str, entry: Entry) -> bool: ...

    @abstractmethod
    def _look(self, key: str) -> Entry | None: ...

    @abstractmethod
    def _end_run(self, space: str, run: str) -> int: ...

    @abstractmethod
    def _count(self) -> int: ...

    @abstractmethod
    def _let_go(self) -> None:
        """Drop a connection that failed; the next call makes a new one. Never raises."""

    @abstractmethod
    def _close(self) -> None: ...


def read_labels(text: str | bytes) -> tuple[str, ...] | None:
    """Labels from a JSON list; None for anything else: an entry that somebody broke is a miss."""
    try:
        labels = json.loads(text)
    except ValueError:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return None
    return tuple(labels)


def _storable(name: str) -> str:
    """`name` where it can be written as UTF-8: a name from the command line may hold lone surrogates."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
