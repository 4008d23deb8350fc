"""Answers that the process remembers: `get_ai_cache()`, and the store of the pipeline's runs, in one bounded place.

A host names no runs, so that nothing tells what may be dropped when a run has ended. What is known is when an entry was
last asked for. Re-reading the same pages over and over is the usual pattern, on which dropping the oldest entry would
lose every hit once there are more pages than room; so the newest entry makes way for the next one, and the others stay,
unless one was not asked for in as many look-ups as ten rounds over the whole cache.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from typing import Any

from tagspace_lab.clients.stores import Entry
from tagspace_lab.pipeline.cache import CacheStats
from tagspace_lab.policy.text import normalise

__all__ = ["AiCache", "HostStore"]

_ROUNDS = 10


class HostStore:
    """A :class:`~tagspace_lab.clients.stores.Store` that also holds any other value; the newest is always kept."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[str, Any] = OrderedDict()  # the one not asked for longest first
        self._asked: dict[str, int] = {}
        self._look_ups = 0
        self._newest = ""
        self._lock = threading.Lock()

    def find(self, key: str) -> Any:
        """The value under `key`, noted as asked for; None if there is none."""
        with self._lock:
            self._look_ups += 1
            value = self._entries.get(key)
            if value is not None:
                self._touch(key)
            return value

    def keep(self, key: str, value: Any) -> None:
        with self._lock:
            if key not in self._entries and len(self._entries) >= self.capacity:
                self._make_room()
            self._entries[key] = value
            self._newest = key
            self._touch(key)

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        entry: Entry | None = self.find(key)
        return entry.labels if entry is not None else None

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str, version: int = 0) -> bool:
        self.keep(key, Entry(labels, version, space, run))
        return True

    def look(self, key: str) -> Entry | None:
        found = self._entries.get(key)
        return found if isinstance(found, Entry) else None

    def end_run(self, space: str, run: str) -> int:
        """Drops nothing: a host's runs are over chosen pages."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""

    def __len__(self) -> int:
        return len(self._entries)

    def _touch(self, key: str) -> None:
        self._entries.move_to_end(key)
        self._asked[key] = self._look_ups

    def _make_room(self) -> None:
        oldest = next(iter(self._entries))
        is_dead = self._look_ups - self._asked[oldest] > _ROUNDS * self.capacity
        gone = oldest if is_dead or self._newest not in self._entries else self._newest
        del self._entries[gone], self._asked[gone]


class AiCache:
    """Results of the host's own calls, by page and content; of the pipeline's runs it counts the look-ups.

    >>> cache = AiCache(HostStore(100))
    >>> cache.get("42", "How to reset a password")
    >>> cache.set("42", "How to reset a password", {"tags": ["howto"]}, version=1)
    >>> cache.get("42", "How to reset a password", version=2)  # a new version of the same text
    {'tags': ['howto']}
    >>> cache.get("42", "How to reset it") is None
    True
    >>> stats = cache.get_stats()
    >>> stats["hits"], stats["misses"], round(stats["hit_rate"], 2), stats["size"]
    (1, 2, 0.33, 1)
    """

    def __init__(self, store: HostStore | None) -> None:
        self._store = store
        self._stats = CacheStats()

    def get(self, page_id: Any, content: str | None, version: Any = None) -> Any:
        """A copy of the result that was set for this page and content; None on a miss.

        `version` does not matter: a page whose version rose while its text stayed is a hit, and a changed text is a
        miss whatever its version.
        """
        found = None if self._store is None else self._store.find(_key(page_id, content))
        self._stats.hits += found is not None
        self._stats.misses += found is None
        return copy.deepcopy(found)

    def set(self, page_id: Any, content: str | None, result: Any, version: Any = None) -> None:
        """Keep a copy of `result`, if the cache is on."""
        if self._store is not None and result is not None:
            self._store.keep(_key(page_id, content), copy.deepcopy(result))

    def get_stats(self) -> dict[str, Any]:
        """`hits`, `misses`, `hit_rate` (0 to 1), `size`, `max_size` and `enabled`."""
        return {
            "hits": self._stats.hits,
            "misses": self._stats.misses,
            "hit_rate": self._stats.hit_rate,
            "size": 0 if self._store is None else len(self._store),
            "max_size": 0 if self._store is None else self._store.capacity,
            "enabled": self._store is not None,
        }

    def count(self, run: CacheStats) -> None:
        """Add the look-ups of a run."""
        self._stats.hits += run.hits
        self._stats.misses += run.misses


def _key(page_id: Any, content: str | None) -> str:
    parts = f"host\x1f{page_id}\x1f{normalise(content or '')}"
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
