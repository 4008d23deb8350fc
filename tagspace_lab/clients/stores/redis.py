"""Entries in Redis 5 or newer, for all machines that name it. Needs the extra `redis`; no cluster.

Each call is one Lua script, so that the capacity holds over all processes. Under the prefix, which names the version of
what stands there:

    entries   hash    key -> JSON of labels, page version and run
    spaces    hash    key -> the space that asked last
    asked     sorted  key by the number of the latest run that asked; without those that were given up
    spare     sorted  the same of those that were given up
    runs      sorted  space and run by number
    run       number of the latest run
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from tagspace_lab.clients.stores.lasting import LastingStore, read_labels
from tagspace_lab.clients.stores.protocol import RUNS_REMEMBERED, Entry
from tagspace_lab.errors import StoreError

__all__ = ["RedisStore"]

_PREFIX: Final = "{tagspace-lab:1}:"
_KEYS: Final = tuple(_PREFIX + name for name in ("entries", "spaces", "asked", "spare", "runs", "run"))
_CHUNK: Final = 1_000  # entries that one script looks at: Redis serves nobody meanwhile
_HEAD: Final = f"""
local entries, spaces, asked, spare, runs, run = unpack(KEYS)
local function name() return #ARGV[1] .. ':' .. ARGV[1] .. ARGV[2] end
local function number()
  local known = redis.call('ZSCORE', runs, name())
  if known then return tonumber(known) end
  local new = redis.call('INCR', run)
  redis.call('ZADD', runs, new, name())
  redis.call('ZREMRANGEBYSCORE', runs, '-inf', new - {RUNS_REMEMBERED})
  return new
end
local function note(key, at)
  local before = redis.call('ZSCORE', asked, key) or redis.call('ZSCORE', spare, key)
  redis.call('ZREM', spare, key)
  redis.call('ZADD', asked, math.max(at, tonumber(before or 0)), key)
  redis.call('HSET', spaces, key, ARGV[1])
end
local function drop_least(set)
  local least = redis.call('ZPOPMIN', set)[1]
  if least then redis.call('HDEL', entries, least); redis.call('HDEL', spaces, least) end
  return least
end
"""
_GET: Final = """
local at, entry = number(), redis.call('HGET', entries, ARGV[3])
if entry then note(ARGV[3], at) end
return entry
"""
_PUT: Final = """
local at = number()
if redis.call('HEXISTS', entries, ARGV[3]) == 0 then
  while redis.call('HLEN', entries) >= tonumber(ARGV[5]) do
    if not drop_least(spare) then return 0 end
  end
end
redis.call('HSET', entries, ARGV[3], ARGV[4])
note(ARGV[3], at)
return 1
"""
_END_RUN: Final = """
local at, given_up = number(), 0
local older = redis.call('ZRANGEBYSCORE', asked, '-inf', '(' .. at, 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
for index = 1, #older, 2 do
  if redis.call('HGET', spaces, older[index]) == ARGV[1] then
    redis.call('ZREM', asked, older[index])
    redis.call('ZADD', spare, older[index + 1], older[index])
    given_up = given_up + 1
  end
end
local seen = #older / 2
if seen < tonumber(ARGV[4]) then redis.call('ZREM', runs, name()) end
return {seen, given_up}
"""
_TRIM: Final = """
local over = redis.call('HLEN', entries) - tonumber(ARGV[1])
for index = 1, math.min(over, tonumber(ARGV[2])) do
  if not (drop_least(spare) or drop_least(asked)) then return 0 end
end
return over
"""


class RedisStore(LastingStore):
    """At most `capacity` entries in the Redis at `url`; what is over when it opens is dropped.

    No call waits longer than `timeout_s` to connect, and again for each answer. Raises StoreError if the extra is not
    installed, the URL cannot be read, or no Redis answers or lets us in. No message shows what the URL holds of user
    and password.
    """

    def __init__(self, url: str, capacity: int, *, timeout_s: float = 1.0) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise StoreError("a cache in Redis needs the extra: pip install 'tagspace-lab[redis]'") from error
        super().__init__(_name(url), capacity, redis.RedisError, OSError)
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_connect_timeout=timeout_s,
                socket_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
            self._scripts = {body: self._client.register_script(_HEAD + body) for body in (_GET, _PUT, _END_RUN, _TRIM)}
            while self._run(_TRIM, capacity, _CHUNK) > _CHUNK:
                pass
        except (ValueError, TypeError):  # their text may quote the URL
            raise StoreError(f"the cache {self.place} cannot be used: an option of its URL is not known") from None
        except self._failures as error:
            self._let_go()
            raise StoreError(
                f"the cache {self.place} cannot be used ({error}): see that it runs and that user and password in "
                "TAG_SPACE_CACHE_URL are right, or unset it"
            ) from None

    def _get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        entry = _read(self._run(_GET, space, run, key), space)
        return entry.labels if entry else None

    def _put(self, key: str, entry: Entry) -> bool:
        value = json.dumps({"labels": entry.labels, "version": entry.version, "run": entry.run})
        return bool(self._run(_PUT, entry.space, entry.run, key, value, self.capacity))

    def _look(self, key: str) -> Entry | None:
        value: Any = self._client.hget(_KEYS[0], key)
        space: Any = self._client.hget(_KEYS[1], key)
        return _read(value, (space or b"").decode("utf-8", "replace"))

    def _end_run(self, space: str, run: str) -> int:
        start, seen, total = 0, _CHUNK, 0
        while seen == _CHUNK:
            seen, given_up = self._run(_END_RUN, space, run, start, _CHUNK)
            start += seen - given_up
            total += given_up
        return total

    def _count(self) -> int:
        entries: Any = self._client.hlen(_KEYS[0])
        return int(entries)

    def _run(self, body: str, *args: str | int) -> Any:
        return self._scripts[body](keys=_KEYS, args=args)

    def _let_go(self) -> None:
        with suppress(*self._failures):
            self._client.connection_pool.disconnect()

    def _close(self) -> None:
        self._client.close()


def _read(value: bytes | None, space: str) -> Entry | None:
    """An entry from its JSON; None where there is none or somebody broke it."""
    try:
        fields = json.loads(value or b"")
        labels = read_labels(json.dumps(fields["labels"]))
        return None if labels is None else Entry(labels, int(fields["version"]), space, str(fields["run"]))
    except (ValueError, TypeError, KeyError):
        return None


def _name(url: str) -> str:
    """Scheme, host, port and database. Raises StoreError where a password may have slipped into one of them."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        parts = None
    if parts is None or "@" in parts.path + parts.query + parts.fragment:
        raise StoreError(
            "TAG_SPACE_CACHE_URL cannot be read; wanted: redis://user:password@host:port/database, where signs such as "
            "/ # ? @ in user or password are written %2F %23 %3F %40"
        ) from None
    return f"{parts.scheme}://{host}:{port}{parts.path}"
