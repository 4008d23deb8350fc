"""A store by its URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tagspace_lab.clients.stores.memory import MemoryStore
from tagspace_lab.clients.stores.protocol import Store
from tagspace_lab.clients.stores.redis import RedisStore
from tagspace_lab.clients.stores.sqlite import SQLiteStore
from tagspace_lab.errors import SettingsError

__all__ = ["open_store"]

_SCHEMES: Final = ("memory", "sqlite", "redis", "rediss")
_KNOWN: Final = "memory:, sqlite:///path, redis://host:port/database, rediss://host:port/database"


def open_store(url: str, capacity: int) -> Store:
    """The store that `url` names, for at most `capacity` entries. Close it when the last run is done.

    `sqlite:///cache.db` is a relative path, `sqlite:////var/cache.db` an absolute one, `sqlite:///~/cache.db` in the
    home folder. Raises SettingsError for a URL that cannot be read, StoreError for a store that cannot be opened;
    neither shows a password.
    """
    scheme, colon, rest = url.strip().partition(":")
    match scheme.lower():
        case "memory" if colon and not rest.strip("/"):
            return MemoryStore(capacity)
        case "sqlite" if rest.startswith("///") and rest[3:]:
            return SQLiteStore(Path(rest[3:]), capacity)
        case "redis" | "rediss" if rest.startswith("//"):
            return RedisStore(url.strip(), capacity)
    is_told = scheme.lower() in _SCHEMES or re.fullmatch("[a-zA-Z][a-zA-Z0-9+.-]*://.*", url.strip(), re.DOTALL)
    # Else the whole of it may be a secret.
    told = f"names {scheme!r} in a form that is not known" if is_told else "has no scheme"
    raise SettingsError(f"TAG_SPACE_CACHE_URL {told}; wanted: {_KNOWN}")
