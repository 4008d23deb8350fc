from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tagspace_lab.clients.stores import MemoryStore, RedisStore, SQLiteStore, open_store
from tagspace_lab.errors import SettingsError, StoreError
from tests.clients.stores.conftest import RedisServer


@pytest.mark.parametrize("url", ["memory:", "memory://", "MEMORY:", " memory: "])
def test_memory(url: str) -> None:
    store = open_store(url, 7)
    assert isinstance(store, MemoryStore)
    assert store.capacity == 7


def test_sqlite_by_relative_absolute_and_home_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for url, name in [
        ("sqlite:///a.db", "a.db"),
        (f"sqlite:///{tmp_path}/new/b #?%20.db", "new/b #?%20.db"),
        ("sqlite:///~/c.db", "c.db"),
    ]:
        with closing(open_store(url, 7)) as store:
            assert isinstance(store, SQLiteStore)
            assert store.capacity == 7
            assert (tmp_path / name).is_file()


def test_redis(redis_server: RedisServer) -> None:
    with closing(open_store(redis_server.url, 7)) as store:
        assert isinstance(store, RedisStore)
        assert store.put("k", (), "S", "1")


def test_rediss_speaks_tls(make_redis: Callable[..., RedisServer]) -> None:
    """A server without TLS is not talked to in the clear."""
    with pytest.raises(StoreError, match=r"rediss://127\.0\.0\.1:"):
        open_store(make_redis().url.replace("redis:", "rediss:"), 7)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("memcached://u:s3cr3t@h/0", "names 'memcached'"),
        ("http://u:s3cr3t@h", "names 'http'"),
        ("redis:s3cr3t", "names 'redis'"),
        ("sqlite:s3cr3t", "names 'sqlite'"),
        ("sqlite:///", "names 'sqlite'"),
        ("sqlite://s3cr3t/cache.db", "names 'sqlite'"),
        ("memory:s3cr3t", "names 'memory'"),
        ("s3cr3t", "has no scheme"),
        ("s3cr3t:x", "has no scheme"),
        ("s3cr3t!://x", "has no scheme"),
        ("", "has no scheme"),
    ],
)
def test_url_that_is_not_known_is_told_with_those_that_are(url: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        open_store(url, 7)
    assert "s3cr3t" not in str(caught.value)
    assert "memory:, sqlite:///path, redis://" in str(caught.value)
