"""Answers that need not be asked for: remembered ones, and those that another page is waiting for already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tagspace_lab.clients.stores import Store
from tagspace_lab.records import Status, Tagging, Text

__all__ = ["ASK", "SHARED", "CacheStats", "ResultCache"]

ASK: Final = "ask"
"""Nobody knows this text's labels: ask, then settle."""
SHARED: Final = "shared"
"""The same text is being asked about already: its answer will settle this page too."""


@dataclass(slots=True)
class CacheStats:
    """Look-ups of one run. A page that shares another's question counts as a hit.

    `evictions` counts the entries that the run's end gave up; `size` all that are kept, these among them.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    size: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of look-ups that needed no question, 0 to 1."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0


class ResultCache:
    """One run's view of a store: single flight, statistics, and the end of the run. No store: everything is asked.

    `may_drop` is false for a run that does not mean to see the whole space: a filtered or a dry one. Its end, like
    that of a run which was stopped or failed, gives nothing up.
    """

    def __init__(self, store: Store | None, space: str, run: str, *, may_drop: bool = True) -> None:
        self._store = store
        self._space = space
        self._run = run
        self._may_drop = may_drop
        self._sharing: dict[str, list[str]] = {}
        self._unkept: dict[str, tuple[str, ...]] = {}  # this run's answers for which the store had no room
        self.stats = CacheStats()

    def claim(self, text: Text) -> str | tuple[str, ...]:
        """The labels of a text that is known; SHARED or ASK where it is not."""
        if self._store is None:
            self.stats.misses += 1
            return ASK
        if (sharing := self._sharing.get(text.key)) is not None:
            sharing.append(text.page_id)
            self.stats.hits += 1
            return SHARED
        labels = self._unkept.get(text.key)
        if labels is None:
            labels = self._store.get(text.key, self._space, self._run)
        if labels is not None:
            self.stats.hits += 1
            return labels
        self.stats.misses += 1
        self._sharing[text.key] = []
        return ASK

    def settle(self, text: Text, tagging: Tagging) -> list[Tagging]:
        """Keep the answer to `text`; the ends of all pages that it answers, its own first."""
        if self._store is None:
            return [tagging]
        if tagging.status is Status.TAGGED and not self._keep(self._store, text, tagging.labels):
            self._unkept[text.key] = tagging.labels
        status = Status.CACHED if tagging.status is Status.TAGGED else tagging.status
        sharing = self._sharing.pop(text.key, [])
        return [tagging, *(Tagging(page_id, status, tagging.labels, tagging.reason) for page_id in sharing)]

    def end_run(self, *, whole: bool) -> None:
        """Close the statistics; give up what the run did not ask for, if it saw the `whole` space and may."""
        if self._store is None:
            return
        if whole and self._may_drop:
            self.stats.evictions = self._store.end_run(self._space, self._run)
        self.stats.size = len(self._store)

    def _keep(self, store: Store, text: Text, labels: tuple[str, ...]) -> bool:
        return store.put(text.key, labels, self._space, self._run, text.version)
