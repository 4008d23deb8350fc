"""What only a server does: it dies, hangs, comes back, wants a password, and is shared by several processes."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tagspace_lab.clients.stores import RedisStore
from tagspace_lab.errors import StoreError
from tagspace_lab.records import Reply, Status
from tests.clients.stores.conftest import RedisServer
from tests.fakes import Job, ScriptedModel, answered, make_pages

_WRITE = """
import sys
from tagspace_lab.clients.stores import RedisStore

url, capacity, name, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
store = RedisStore(url, capacity)
for number in range(count):
    kept = store.put(f"{name}-{number}", (name, str(number)), name, "1")
    assert store.get(f"{name}-{number}", name, "1") == ((name, str(number)) if kept else None)
    assert len(store) <= capacity
    if kept:
        print(number)
"""


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    with closing(RedisStore(redis_server.url, 1_000, timeout_s=0.2)) as store:
        yield store


def test_entries_outlive_the_process_that_put_them(redis_server: RedisServer, store: RedisStore) -> None:
    store.put("k", ("a",), "S", "1")
    with closing(RedisStore(redis_server.url, 5)) as other:
        assert other.get("k", "S", "2") == ("a",)
        assert store.end_run("S", "1") == 0
        assert store.end_run("S", "3") == 1


def test_several_processes_share_the_capacity(redis_server: RedisServer) -> None:
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", _WRITE, redis_server.url, "250", name, "100"], stdout=subprocess.PIPE, text=True
        )
        for name in "abcd"
    }
    kept = {name: writer.communicate(timeout=60)[0].split() for name, writer in writers.items()}
    assert {writer.returncode for writer in writers.values()} == {0}
    with closing(RedisStore(redis_server.url, 250)) as store:
        assert len(store) == 250 == sum(map(len, kept.values()))
        for name, numbers in kept.items():
            assert all(store.get(f"{name}-{number}", name, "2") == (name, number) for number in numbers)


def test_end_of_a_run_gives_up_more_than_one_script_looks_at(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagspace_lab.clients.stores.redis._CHUNK", 3)
    for number in range(20):
        store.put(str(number), ("x",), "ST"[number % 2], "1")
    assert store.end_run("S", "2") == 10
    assert store.end_run("T", "2") == 10
    assert store.end_run("T", "3") == 0


def test_smaller_capacity_drops_what_is_over_and_the_spare_first(
    redis_server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagspace_lab.clients.stores.redis._CHUNK", 1)
    for run, key in enumerate("abcdef"):
        store.put(key, ("x",), "ST"[key == "a"], str(run))
    assert store.end_run("S", "9") == 5
    for size, left in [(3, "aef"), (1, "a")]:
        RedisStore(redis_server.url, size).close()
        assert [key for key in "abcdef" if store.look(key)] == list(left)
    assert store._client.hlen("{tagspace-lab:1}:spaces") == 1


def test_server_that_dies_is_said_once_and_is_used_again_when_it_is_back(
    redis_server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert store.put("k", ("a",), "S", "1")
    redis_server.stop()
    assert [store.get("k", "S", "1") for _ in range(150)] == [None] * 150
    assert not store.put("l", ("a",), "S", "1")
    assert len(store) == 0
    assert store.look("k") is None
    assert store.end_run("S", "1") == 0
    redis_server.start()
    kept = [store.put(str(number), ("a",), "S", "2") for number in range(400)]
    assert kept.index(True) + 150 + 3 == 1 + 100 + 1 + 200  # a try after 100 calls, then after 200
    assert all(kept[kept.index(True) :])
    assert store.end_run("S", "2") == 0
    assert [record.message.rsplit(maxsplit=1)[1] for record in caplog.records] == ["it", "back"]


def test_server_that_hangs_holds_nobody_up_for_long(redis_server: RedisServer, store: RedisStore) -> None:
    began_s = time.monotonic()
    redis_server.freeze()
    assert [store.get("k", "S", "1") for _ in range(1_000)] == [None] * 1_000  # tries 0, 100, 300 and 700
    assert time.monotonic() - began_s < 4 * 0.2 + 2
    redis_server.thaw()


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.freeze], ids=["dies", "hangs"])
def test_run_ends_whole_without_the_server_and_says_so_once(
    redis_server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, end: Callable[[RedisServer], None]
) -> None:
    caplog.set_level(logging.INFO, logger="tagspace_lab.clients.stores")
    store.put("of another day", ("alpha",), "SPACE", "before")

    def answer(page_ids: tuple[str, ...], number: int) -> Reply:
        if number == 3:
            end(redis_server)
        return answered(page_ids)

    result = Job(make_pages(200), ScriptedModel(answer), store=store).run()
    assert [tagging.status for tagging in result.results] == [Status.TAGGED] * 200
    assert result.broke_off == ""
    assert result.cache_stats.evictions == 0
    (record,) = [record for record in caplog.records if record.name.startswith("tagspace_lab.clients.stores")]
    assert "is away" in record.message
    assert "going on without it" in record.message


def test_value_that_somebody_broke_is_a_miss_and_is_put_right(store: RedisStore) -> None:
    store.put("k", ("a",), "S", "1")
    for broken in (b"", b"\xff", b"{}", b"[]", b"null", b'{"labels": [1], "version": 1, "run": "1"}'):
        store._client.hset("{tagspace-lab:1}:entries", "k", broken)
        assert store.get("k", "S", "1") is None
        assert store.look("k") is None
    assert store.put("k", ("b",), "S", "1")
    assert store.get("k", "S", "1") == ("b",)


def test_wrong_type_under_our_prefix_fails_no_call(store: RedisStore) -> None:
    store._client.set("{tagspace-lab:1}:runs", "not ours")
    assert store.get("k", "S", "1") is None


SECRET = "s3cr3t"


def test_password_opens_and_is_never_shown(
    make_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = make_redis("--requirepass", SECRET)
    with closing(RedisStore(f"redis://:{SECRET}@127.0.0.1:{server.port}/1", 5)) as store:
        assert store.put("k", ("a",), "S", "1")
        server.stop()
        assert store.get("k", "S", "1") is None
        assert f"redis://127.0.0.1:{server.port}/1" in repr(store)
        assert SECRET not in repr(store) + caplog.text
    assert caplog.records


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}x@127.0.0.1:PORT/0",
        f"redis://user:{SECRET}@127.0.0.1:PORT/0",
        "redis://127.0.0.1:PORT/0",
        f"redis://127.0.0.1:PORT/0?password={SECRET}x",
        f"redis://127.0.0.1:PORT/0?nonsense={SECRET}",
        f"redis://127.0.0.1:PORT/0?socket_timeout={SECRET}",
        f"redis://:a/{SECRET}@127.0.0.1:PORT/0",
        f"redis://:1/{SECRET}@127.0.0.1:PORT/0",
        f"redis://:{SECRET}/1@127.0.0.1:PORT/0",
        f"redis://{SECRET}#1@127.0.0.1:PORT/0",
        f"redis://:[{SECRET}@127.0.0.1:PORT/0",
    ],
)
def test_store_that_cannot_be_opened_is_told_without_the_secret(
    make_redis: Callable[..., RedisServer], url: str
) -> None:
    server = make_redis("--requirepass", SECRET)
    with pytest.raises(StoreError, match=r"TAG_SPACE_CACHE_URL|option of its URL") as caught:
        RedisStore(url.replace("PORT", str(server.port)), 5)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ if error.__cause__ or error.__suppress_context__ else error.__context__


def test_server_that_is_not_there_is_told_when_the_store_is_opened() -> None:
    server = RedisServer(Path())
    with pytest.raises(StoreError, match=f"redis://127.0.0.1:{server.port}/0 cannot be used"):
        RedisStore(server.url, 5)
