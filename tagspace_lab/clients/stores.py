"""Where the cache keeps its entries. Eviction knows what a run is.

A nightly run over a whole space is a cyclic scan, on which general policies (LRU and its successors) hit
next to nothing once the space is larger than the cache. So entries are admitted only into free space,
and room is made when a run over a space has ended whole: what that run did not ask for is dropped,
of that space alone. A run that was stopped, failed or filtered must not call :meth:`Store.end_run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["MemoryStore", "Store"]


class Store(Protocol):
    """Labels by content key, at most a stated number of them. `run` is any text that names one run."""

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        """The labels under `key`, noted as asked for by this run; None if there are none."""

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str) -> bool:
        """Keep an entry if there is room; whether it was kept."""

    def end_run(self, space: str, run: str) -> int:
        """Drop the entries of `space` that `run` did not ask for; how many that were."""

    def __len__(self) -> int: ...


@dataclass(slots=True)
class _Entry:
    labels: tuple[str, ...]
    space: str
    run: str


class MemoryStore:
    """Entries of this process, gone when it ends."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: dict[str, _Entry] = {}

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.space, entry.run = space, run
        return entry.labels

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str) -> bool:
        if key not in self._entries and len(self._entries) >= self.capacity:
            return False
        self._entries[key] = _Entry(labels, space, run)
        return True

    def end_run(self, space: str, run: str) -> int:
        stale = [key for key, entry in self._entries.items() if entry.space == space and entry.run != run]
        for key in stale:
            del self._entries[key]
        return len(stale)

    def __len__(self) -> int:
        return len(self._entries)
