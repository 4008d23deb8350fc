"""Where the cache keeps its entries: in memory, in a SQLite file, in Redis. `protocol.py` says what they promise."""

from __future__ import annotations

from tagspace_lab.clients.stores.memory import MemoryStore
from tagspace_lab.clients.stores.opening import open_store
from tagspace_lab.clients.stores.protocol import Entry, Store
from tagspace_lab.clients.stores.redis import RedisStore
from tagspace_lab.clients.stores.sqlite import SQLiteStore

__all__ = ["Entry", "MemoryStore", "RedisStore", "SQLiteStore", "Store", "open_store"]
