"""Entries of this process, gone when it ends. The model of what the other stores do."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

from tagspace_lab.clients.stores.protocol import RUNS_REMEMBERED, Entry

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Slot:
    """An entry; `asked` numbers the latest of the runs that asked for it."""

    labels: tuple[str, ...]
    version: int
    space: str
    run: str
    asked: int
    is_given_up: bool = False


class MemoryStore:
    """At most `capacity` entries in a dictionary."""

    def __init__(self, capacity: int) -> None:
        self.capacity: Final = capacity
        self._slots: dict[str, _Slot] = {}
        self._spare: list[tuple[int, str]] = []  # heap of (asked, key); those that were asked for since count no more
        self._runs: dict[tuple[str, str], int] = {}
        self._last_run = 0

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        number = self._number(space, run)
        if (slot := self._slots.get(key)) is None:
            return None
        slot.space, slot.asked, slot.is_given_up = space, max(slot.asked, number), False
        return slot.labels

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str, version: int = 0) -> bool:
        number = self._number(space, run)
        if (known := self._slots.get(key)) is not None:
            number = max(known.asked, number)
        elif len(self._slots) >= self.capacity and not self._make_room():
            return False
        self._slots[key] = _Slot(labels, version, space, run, number)
        return True

    def look(self, key: str) -> Entry | None:
        slot = self._slots.get(key)
        return Entry(slot.labels, slot.version, slot.space, slot.run) if slot else None

    def end_run(self, space: str, run: str) -> int:
        number = self._number(space, run)
        del self._runs[space, run]
        given_up = 0
        for key, slot in self._slots.items():
            if slot.space == space and slot.asked < number and not slot.is_given_up:
                slot.is_given_up = True
                heapq.heappush(self._spare, (slot.asked, key))
                given_up += 1
        return given_up

    def close(self) -> None:
        """Nothing is held open."""

    def __len__(self) -> int:
        return len(self._slots)

    def _number(self, space: str, run: str) -> int:
        """Runs are numbered in the order in which they began."""
        if (number := self._runs.get((space, run))) is None:
            self._last_run += 1
            self._runs = {named: each for named, each in self._runs.items() if each > self._last_run - RUNS_REMEMBERED}
            number = self._runs[space, run] = self._last_run
        return number

    def _make_room(self) -> bool:
        while self._spare:
            asked, key = heapq.heappop(self._spare)
            slot = self._slots.get(key)
            if slot is not None and slot.is_given_up and slot.asked == asked:
                del self._slots[key]
                return True
        return False
