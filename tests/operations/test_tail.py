from __future__ import annotations

from logging import Formatter, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path

from tagspace_lab.operations.tail import Tail


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_new_lines_come_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    tail = Tail(path)
    assert list(tail.read()) == []
    append(path, "one\ntw")
    assert list(tail.read()) == ["one"]
    append(path, "o\r\n")
    assert [*tail.read(), *tail.read()] == ["two"]
    tail.close()


def test_file_that_was_turned_over_many_times_is_followed_without_a_gap(tmp_path: Path) -> None:
    handler = RotatingFileHandler(tmp_path / "app.log", maxBytes=50, backupCount=20)
    handler.setFormatter(Formatter("%(message)s"))
    tail = Tail(tmp_path / "app.log")
    seen: list[str] = []
    for number in range(100):
        handler.emit(makeLogRecord({"msg": f"line {number:04}"}))
        if number % 30 == 0:
            seen += tail.read()
    seen += tail.read()
    assert seen == [f"line {number:04}" for number in range(100)]
    tail.close()
    handler.close()


def test_file_that_is_taken_away_or_emptied_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    append(path, "one\ntwo\n")
    tail = Tail(path)
    list(tail.read())
    path.write_text("three\n")
    assert list(tail.read()) == ["three"]
    path.unlink()
    assert list(tail.read()) == []
    append(path, "four\n")
    assert list(tail.read()) == ["four"]
    tail.close()


def test_what_is_no_text_or_has_no_end_takes_bounded_room(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"\xff\x00" * 2_000_000 + b"\nnext\n")
    tail = Tail(path)
    long, last = tail.read()
    assert len(long) <= 1 << 16
    assert last == "next"
    tail.close()


def test_first_look_is_at_the_end_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("x" * 99 + "\n" + ("y" * 99 + "\n") * 100_000)
    tail = Tail(path)
    lines = list(tail.read())
    assert 70_000 < len(lines) < 90_000
    tail.close()
