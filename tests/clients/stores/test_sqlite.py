"""What only the file does: it outlives its processes, is shared by several, and may be damaged, full or another's."""

from __future__ import annotations

import logging
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tagspace_lab.clients.stores import SQLiteStore
from tagspace_lab.errors import StoreError

# Writes until the file may not grow any more.
_FILL = """
import logging, resource, sys
from tagspace_lab.clients.stores import SQLiteStore

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
logging.basicConfig(stream=sys.stdout, format="%(message)s")
store = SQLiteStore(sys.argv[1], 10_000)
kept = [store.put(f"{number:64}", ("x" * 100,), "S", "1") for number in range(5_000)]
print(sum(kept), store.end_run("S", "1"))
store.close()
"""
# Puts entries and tells the number of each that was kept.
_WRITE = """
import sys
from tagspace_lab.clients.stores import SQLiteStore

path, capacity, name, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
store = SQLiteStore(path, capacity)
for number in range(count):
    kept = store.put(f"{name}-{number}", (name, str(number)), name, "1")
    assert store.get(f"{name}-{number}", name, "1") == ((name, str(number)) if kept else None)
    assert len(store) <= capacity
    if kept:
        print(number, flush=True)
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.db"


def start_writer(path: Path, capacity: int, name: str, count: int) -> subprocess.Popen[str]:
    """A process that puts so many entries and tells the number of each that it has put."""
    command = [sys.executable, "-c", _WRITE, str(path), str(capacity), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(lines: Iterator[str] | list[str]) -> list[int]:
    return [int(line) for line in lines]


def test_entries_outlive_the_process(path: Path) -> None:
    with closing(SQLiteStore(path, 5)) as store:
        store.put("k", ("a",), "S", "1")
    with closing(SQLiteStore(path, 5)) as store:
        assert store.get("k", "S", "2") == ("a",)
        assert store.end_run("S", "2") == 0
        assert store.end_run("S", "3") == 1


def test_what_was_asked_for_is_written_before_another_process_ends_a_run(path: Path) -> None:
    with closing(SQLiteStore(path, 5)) as store, closing(SQLiteStore(path, 5)) as other:
        store.put("k", ("a",), "S", "1")
        other.end_run("T", "1")
        assert other.get("k", "S", "2") == ("a",)
        other.put("l", ("a",), "S", "2")
        assert store.end_run("S", "1") == 0
        assert other.get("k", "S", "3") == ("a",)
        other.close()
        assert store.end_run("S", "3") == 1  # l


def test_several_processes_share_one_file_and_its_capacity(path: Path) -> None:
    writers = {name: start_writer(path, 250, name, 100) for name in "abcd"}
    kept = {name: told(writer.communicate(timeout=60)[0].splitlines()) for name, writer in writers.items()}
    assert {writer.returncode for writer in writers.values()} == {0}
    with closing(SQLiteStore(path, 250)) as store:
        assert len(store) == 250 == sum(map(len, kept.values()))
        for name, numbers in kept.items():
            assert all(store.get(f"{name}-{number}", name, "2") == (name, str(number)) for number in numbers)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_was_put_is_lost_by_a_kill(path: Path, seed: int) -> None:
    enough = random.Random(seed).randint(1, 400)
    writer = start_writer(path, 1_000_000, "a", 1_000_000)
    assert writer.stdout is not None
    with writer:
        put = [int(writer.stdout.readline()) for _ in range(enough)]
        writer.send_signal(signal.SIGKILL)
        put += told(list(writer.stdout))
    with closing(SQLiteStore(path, 1_000_000)) as store:
        assert all(store.get(f"a-{number}", "a", "2") == ("a", str(number)) for number in put)
        assert len(put) <= len(store) <= len(put) + 1
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("SELECT count(*) FROM entries").fetchone() == (len(store),)


def test_smaller_capacity_drops_what_is_over_and_the_spare_first(path: Path) -> None:
    with closing(SQLiteStore(path, 9)) as store:
        for run, key in enumerate("abcdef"):
            store.put(key, ("x",), "ST"[key == "a"], str(run))
        assert store.end_run("S", "9") == 5
        assert [store.get(key, "S", "10") for key in "bc"] == [("x",), ("x",)]
    with closing(SQLiteStore(path, 3)) as store:
        assert [key for key in "abcdef" if store.look(key)] == ["a", "b", "c"]
    with closing(SQLiteStore(path, 1)) as store:
        assert [key for key in "abcdef" if store.look(key)] == ["c"] or len(store) == 1


def make_text(path: Path) -> None:
    path.write_text("not a database, but long enough to be looked at" * 30)


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE theirs (x)")


def make_newer(path: Path) -> None:
    SQLiteStore(path, 1).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def make_damaged(path: Path) -> None:
    SQLiteStore(path, 1).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_text, "not a database"),
        (make_foreign, "another program"),
        (make_newer, "its version is 99, not 1"),
        (make_damaged, "malformed"),
        (Path.mkdir, "unable to open"),
    ],
    ids=["text", "foreign", "newer", "damaged", "folder"],
)
def test_file_that_is_no_cache_is_named_with_the_cure_and_left_alone(
    path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(StoreError, match=reason) as caught:
        SQLiteStore(path, 10)
    assert str(path) in str(caught.value)
    assert "move the file away" in str(caught.value)
    assert "TAG_SPACE_CACHE_URL" in str(caught.value)
    assert (path.is_file() and path.read_bytes()) == before


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="folder cannot be made"):
        SQLiteStore(tmp_path / "file" / "cache.db", 10)


@pytest.mark.parametrize(
    ("pragma", "reason"), [("max_page_count = 1", "is full"), ("query_only = 1", "readonly")], ids=["full", "readonly"]
)
def test_full_disk_or_readonly_file_is_said_once_and_fails_no_call(
    path: Path, caplog: pytest.LogCaptureFixture, pragma: str, reason: str
) -> None:
    with closing(SQLiteStore(path, 100_000)) as store:
        assert store._database is not None
        store._database.execute(f"PRAGMA {pragma}")
        with caplog.at_level(logging.INFO):
            kept = [store.put(f"{number}", ("x" * 1000,), "S", "1") for number in range(90)]
        assert not all(kept)
        assert store.get("0", "S", "1") is None
        assert store.end_run("S", "1") == 0
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert str(path) in record.getMessage()


def test_file_that_cannot_grow_any_more_is_said_once(path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    said, end = told.splitlines()
    assert "is away" in said
    kept, given_up = map(int, end.split())
    assert 0 < kept < 5_000
    assert given_up == 0
    with closing(SQLiteStore(path, 10_000)) as store:
        assert len(store) == kept
        assert store.put("k", ("x",), "S", "2")


def test_writer_that_waited_too_long_goes_on_and_comes_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tagspace_lab.clients.stores.sqlite._BUSY_S", 0.01)
    with closing(SQLiteStore(path, 500)) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.put("before", ("x",), "S", "1")
        other.execute("BEGIN IMMEDIATE")
        assert not store.put("k", ("x",), "S", "1")
        other.execute("ROLLBACK")
        kept = [store.put(f"{number}", ("x",), "S", "1") for number in range(200)]
        assert kept == [False] * 100 + [True] * 100
        assert store.end_run("S", "1") == 0  # it missed some calls
        assert store.end_run("S", "2") == 101
    assert [record.message.rsplit(maxsplit=1)[1] for record in caplog.records] == ["it", "back"]


def test_broken_entry_is_a_miss_and_is_put_right(path: Path) -> None:
    with closing(SQLiteStore(path, 5)) as store:
        store.put("k", ("a",), "S", "1")
        for broken in ("", "{", "[1]", "null", '{"a": 1}'):
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("UPDATE entries SET labels = ?", (broken,))
            assert store.get("k", "S", "1") is None
            assert store.look("k") is None
        assert store.put("k", ("b",), "S", "1")
        assert store.get("k", "S", "1") == ("b",)
