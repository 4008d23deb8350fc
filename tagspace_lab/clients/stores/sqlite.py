"""Entries in one SQLite file, for all processes of this machine that name it.

A put is a transaction of its own: it outlives a `kill -9` from the moment in which it returned (a power cut may undo
the last few, and never more). That a run asked for an entry is written together with the next put, after some gets, or
at the run's end: if it is lost, that run is lost too and gives nothing up. The file is in WAL mode, so readers never
wait; a writer waits for another at most five seconds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tagspace_lab.clients.stores.lasting import LastingStore, read_labels
from tagspace_lab.clients.stores.protocol import RUNS_REMEMBERED, Entry
from tagspace_lab.errors import StoreError

__all__ = ["SQLiteStore"]

_OURS: Final = 0x54614C62  # application_id: "TaLb"
_VERSION: Final = 1
_BUSY_S: Final = 5.0
_MOST_UNWRITTEN: Final = 1_000
_RETRIES: Final = 100
_MAY_RECOVER: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}
# `asked` numbers the latest of the runs that asked; `spare` is 1 for an entry that was given up. Counting rows would
# read them all, so that triggers keep the count.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, labels TEXT NOT NULL, version INTEGER NOT NULL, space TEXT NOT NULL, run TEXT NOT NULL,
    asked INTEGER NOT NULL, spare INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spares ON entries (asked, key) WHERE spare;
CREATE INDEX IF NOT EXISTS owned ON entries (space, asked) WHERE NOT spare;
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT NOT NULL, run TEXT NOT NULL, UNIQUE (space, run)
);
CREATE TABLE IF NOT EXISTS size (entries INTEGER NOT NULL);
INSERT INTO size SELECT 0 WHERE NOT EXISTS (SELECT * FROM size);
CREATE TRIGGER IF NOT EXISTS more AFTER INSERT ON entries BEGIN UPDATE size SET entries = entries + 1; END;
CREATE TRIGGER IF NOT EXISTS fewer AFTER DELETE ON entries BEGIN UPDATE size SET entries = entries - 1; END;
"""
_GET = "SELECT labels FROM entries WHERE key = ?"
_NOTE = "UPDATE entries SET space = ?, asked = max(asked, ?), spare = 0 WHERE key = ?"
_REPLACE = """
UPDATE entries SET labels = ?, version = ?, space = ?, run = ?, asked = max(asked, ?), spare = 0 WHERE key = ?
"""
_INSERT = "INSERT INTO entries (labels, version, space, run, asked, key) VALUES (?, ?, ?, ?, ?, ?)"
_LOOK = "SELECT labels, version, space, run FROM entries WHERE key = ?"
_COUNT = "SELECT entries FROM size"
_MAKE_ROOM = "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE spare ORDER BY asked, key LIMIT ?)"
_TRIM = "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY spare DESC, asked, key LIMIT ?)"
_GIVE_UP = "UPDATE entries SET spare = 1 WHERE space = ? AND asked < ? AND NOT spare"


class SQLiteStore(LastingStore):
    """At most `capacity` entries in the file `path`, which is made if need be; what is over when it opens is dropped.

    Raises StoreError for a file that is damaged or not ours, and for a folder in which none can be made. A full disk
    or a file that is read-only is no error: runs go on without it.
    """

    def __init__(self, path: Path | str, capacity: int) -> None:
        super().__init__(str(path), capacity, sqlite3.Error)
        self._path = Path(path).expanduser()
        self._database: sqlite3.Connection | None = None
        self._unwritten: dict[str, tuple[str, int]] = {}  # space and number of the run that asked, by key
        self._numbers: dict[tuple[str, str], int] = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connect()
        except OSError as error:
            reason = f"its folder cannot be made ({error.strerror})"
            raise StoreError(_word(self._path, reason)) from error
        except sqlite3.Error as error:
            if _code(error) not in _MAY_RECOVER:
                raise StoreError(_word(self._path, str(error))) from error
            self._lose(error)

    def _get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        database, number = self._connect(), self._number(space, run)
        row = database.execute(_GET, (key,)).fetchone()
        if row is None or (labels := read_labels(row[0])) is None:
            return None
        _, before = self._unwritten.get(key, ("", 0))
        self._unwritten[key] = space, max(before, number)
        if len(self._unwritten) >= _MOST_UNWRITTEN:
            with self._writing():
                pass
        return labels

    def _put(self, key: str, entry: Entry) -> bool:
        number = self._number(entry.space, entry.run)
        row = (json.dumps(entry.labels), entry.version, entry.space, entry.run, number, key)
        with self._writing() as database:
            if database.execute(_REPLACE, row).rowcount:
                return True
            lacking = _count(database) + 1 - self.capacity
            if lacking > 0 and database.execute(_MAKE_ROOM, (lacking,)).rowcount < lacking:
                return False
            database.execute(_INSERT, row)
            return True

    def _look(self, key: str) -> Entry | None:
        row = self._connect().execute(_LOOK, (key,)).fetchone()
        if row is None or (labels := read_labels(row[0])) is None:
            return None
        _, version, space, run = row
        return Entry(labels, version, self._unwritten.get(key, (space,))[0], run)

    def _end_run(self, space: str, run: str) -> int:
        number = self._number(space, run)
        with self._writing() as database:
            given_up = database.execute(_GIVE_UP, (space, number)).rowcount
            database.execute("DELETE FROM runs WHERE number = ?", (number,))
        del self._numbers[space, run]
        return given_up

    def _count(self) -> int:
        return _count(self._connect())

    def _number(self, space: str, run: str) -> int:
        """Runs are numbered in the order in which they began, over all processes."""
        if (number := self._numbers.get((space, run))) is None:
            with self._writing() as database:
                database.execute("INSERT OR IGNORE INTO runs (space, run) VALUES (?, ?)", (space, run))
                (number,) = database.execute(
                    "SELECT number FROM runs WHERE space = ? AND run = ?", (space, run)
                ).fetchone()
                database.execute("DELETE FROM runs WHERE number <= ?", (number - RUNS_REMEMBERED,))
            self._numbers[space, run] = number
        return number

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which also writes what was asked for."""
        database = self._connect()
        notes = [(space, number, key) for key, (space, number) in self._unwritten.items()]
        with _transaction(database):
            database.executemany(_NOTE, notes)
            yield database
        self._unwritten.clear()

    def _connect(self) -> sqlite3.Connection:
        if self._database is None:
            # One thread at a time may use it, and not only the one that opened it.
            database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                _prepare(database, self._path, self.capacity)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _let_go(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
        self._database = None
        self._numbers.clear()  # the next file may be another one

    def _close(self) -> None:
        if self._database is not None and self._unwritten:
            with self._writing():
                pass
        self._let_go()


def _prepare(database: sqlite3.Connection, path: Path, capacity: int) -> None:
    _check(database, path)
    _switch_to_wal(database)
    database.execute("PRAGMA synchronous = NORMAL")
    with _transaction(database):
        for statement in _SCHEMA.split(";\n"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_OURS}")
        database.execute(f"PRAGMA user_version = {_VERSION}")
        if (over := _count(database) - capacity) > 0:
            database.execute(_TRIM, (over,))


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError if the file is another program's, before anything is written to it."""
    database.execute("BEGIN")  # one view of the file: another process may be making it
    (owner,), (version,), (tables,) = (
        database.execute(question).fetchone()
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    database.execute("COMMIT")
    if tables and owner != _OURS:
        raise StoreError(_word(path, "it is the database of another program"))
    if tables and version != _VERSION:
        raise StoreError(_word(path, f"its version is {version}, not {_VERSION}"))


def _switch_to_wal(database: sqlite3.Connection) -> None:
    """Waits where SQLite does not: while another process makes the switch, which is once in a file's life."""
    for _ in range(_RETRIES):
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL")
            return
        with _transaction(database):  # waits its turn
            pass
    database.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _count(database: sqlite3.Connection) -> int:
    (entries,) = database.execute(_COUNT).fetchone()
    return int(entries)


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 where the library raised the error itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _word(path: Path, reason: str) -> str:
    return (
        f"the cache {path} cannot be used: {reason}; move the file away (its answers will be asked for again), "
        "or name another in TAG_SPACE_CACHE_URL"
    )
