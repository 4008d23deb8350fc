"""What a task did is on the disk the moment that it is told, and only one process runs it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tagspace_lab.errors import JournalError
from tagspace_lab.pipeline.journal import Journal, PageEnd, Task, TaskState
from tagspace_lab.records import Status

END = PageEnd("1001", 3, "A title", Status.TAGGED, ("alpha", "beta"), ("alpha",), ("beta",))


def make_task(task_id: str = "DOCS-1", started_s: float = 1.0, space: str = "DOCS") -> Task:
    return Task(task_id, space, "wiki.example.com", TaskState.RUNNING, started_s, request={"apply": True})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as made:
        yield made


def test_a_task_is_kept_with_all_that_was_told_of_it(path: Path, journal: Journal) -> None:
    journal.begin(make_task())
    journal.note("DOCS-1", total=7, counters={"processed": 2})
    journal.keep_answer("DOCS-1", "key", ("alpha", "beta"))
    journal.keep_page("DOCS-1", END)
    with Journal(path) as other:
        task = other.task("DOCS-1")
        assert task is not None
        assert (task.state, task.total, task.counters) == (TaskState.RUNNING, 7, {"processed": 2})
        assert task.request == {"apply": True}
        assert other.answers("DOCS-1") == {"key": ("alpha", "beta")}
        assert other.pages("DOCS-1") == {"1001": END}
        assert not other.pages("DOCS-2")
        assert not other.answers("DOCS-2")
        assert other.task("DOCS-2") is None


def test_a_page_that_ends_again_takes_the_place_of_its_former_end(journal: Journal) -> None:
    journal.begin(make_task())
    failed = PageEnd("1001", 3, "A title", Status.ERROR, reason="no right to write")
    for end in (failed, END):
        journal.keep_page("DOCS-1", end)
    assert journal.pages("DOCS-1") == {"1001": END}


def test_text_that_no_wire_takes_is_kept_without_harm(journal: Journal) -> None:
    journal.begin(make_task())
    journal.keep_page("DOCS-1", PageEnd("1001", 1, "half \ud800 a pair", Status.SKIPPED, reason="\udfff"))
    assert journal.pages("DOCS-1")["1001"].title == "half ? a pair"


def test_the_newest_tasks_come_first(journal: Journal) -> None:
    for number in range(4):
        journal.begin(make_task(f"DOCS-{number}", started_s=number))
    assert [task.id for task in journal.tasks(2)] == ["DOCS-3", "DOCS-2"]


def test_a_task_id_is_given_once(journal: Journal) -> None:
    journal.begin(make_task())
    journal.end("DOCS-1", TaskState.DONE, {}, 2.0)
    with pytest.raises(JournalError, match="there is a task 'DOCS-1' already"):
        journal.begin(make_task())
    assert not journal.holds("DOCS-1")


@pytest.mark.parametrize("state", [TaskState.STOPPED, TaskState.FAILED])
def test_a_task_that_did_not_end_well_is_resumed_by_another(path: Path, journal: Journal, state: TaskState) -> None:
    journal.begin(make_task())
    journal.keep_answer("DOCS-1", "key", ("alpha",))
    journal.end("DOCS-1", state, {"error": "x"}, 2.0)
    with Journal(path) as other:
        found = other.latest("DOCS", "wiki.example.com")
        assert found is not None
        assert (found.id, found.state, found.ended_s, found.result) == ("DOCS-1", state, 2.0, {"error": "x"})
        assert other.latest("OTHER", "wiki.example.com") is None
        assert other.latest("DOCS", "elsewhere.example.com") is None
        other.reopen("DOCS-1")
        assert other.answers("DOCS-1") == {"key": ("alpha",)}
        reopened = other.task("DOCS-1")
        assert reopened is not None
        assert reopened.state is TaskState.RUNNING


def test_a_task_that_is_done_is_not_resumed_and_drops_its_answers(journal: Journal) -> None:
    journal.begin(make_task())
    journal.keep_answer("DOCS-1", "key", ("alpha",))
    journal.end("DOCS-1", TaskState.DONE, {}, 2.0)
    assert journal.answers("DOCS-1") == {}
    with pytest.raises(JournalError, match="is done: there is nothing to resume"):
        journal.reopen("DOCS-1")
    with pytest.raises(JournalError, match="is unknown"):
        journal.reopen("DOCS-2")
    assert not journal.holds("DOCS-1")


def test_the_latest_task_on_a_space_is_found(journal: Journal) -> None:
    for number, state in enumerate((TaskState.STOPPED, TaskState.DONE)):
        journal.begin(make_task(f"DOCS-{number}", started_s=number))
        journal.end(f"DOCS-{number}", state, {}, 2.0)
    found = journal.latest("DOCS", "wiki.example.com")
    assert found is not None
    assert (found.id, found.state) == ("DOCS-1", TaskState.DONE)


def test_a_running_task_is_not_taken_from_its_process(path: Path, journal: Journal) -> None:
    journal.begin(make_task())
    with Journal(path) as other:
        found = other.latest("DOCS", "wiki.example.com")
        assert found is not None
        assert found.state is TaskState.RUNNING
        with pytest.raises(JournalError, match="runs in another process"):
            other.reopen("DOCS-1")


def _run_until_killed(path: Path, told: Connection) -> None:
    journal = Journal(path)
    journal.begin(make_task())
    journal.keep_page("DOCS-1", END)
    told.send(os.getpid())
    signal.pause()


def test_a_task_whose_process_was_killed_is_interrupted_and_can_be_resumed(path: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run_until_killed, args=(path, there))
    process.start()
    assert here.poll(30)
    pid = here.recv()
    with Journal(path) as journal:
        assert [task.state for task in journal.tasks()] == [TaskState.RUNNING]
        os.kill(pid, signal.SIGKILL)
        process.join()
        assert [task.state for task in journal.tasks()] == [TaskState.INTERRUPTED]
        found = journal.latest("DOCS", "wiki.example.com")
        assert found is not None
        journal.reopen(found.id)
        assert journal.pages(found.id) == {"1001": END}


def test_locks_leave_nothing_behind(path: Path, journal: Journal) -> None:
    journal.begin(make_task("DO/CS é"))
    assert list(path.parent.glob("*.lock"))
    journal.end("DO/CS é", TaskState.DONE, {}, 2.0)
    assert not list(path.parent.glob("*.lock"))


def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, and no database at all" * 50)
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(text)
    assert text.read_text().startswith("these are my notes")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("create table mine (x)")
    database.close()
    with pytest.raises(JournalError, match="is no journal of this version"):
        Journal(other)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file cannot be made"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_a_full_disk_is_said(path: Path, journal: Journal) -> None:
    journal.begin(make_task())
    journal._db.execute("pragma max_page_count = 1")  # SQLite's own way to say that the disk is full
    with pytest.raises(JournalError, match="is full"):
        journal.keep_answer("DOCS-1", "key", ("x" * 1_000_000,))
