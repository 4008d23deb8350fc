"""A task's way into the journal and back out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagspace_lab.errors import JournalError
from tagspace_lab.live.connections import load_connections
from tagspace_lab.live.running import name_task, resume_task, site_of, start_task
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal, Task, TaskState

REQUEST = Request("DOCS", apply=True, pages=frozenset({"2", "1"}), labels=("b", "a"))


def test_a_task_is_resumed_with_the_request_that_it_was_started_with(tmp_path: Path) -> None:
    connections = load_connections({"CONFLUENCE_URL": "https://wiki.example.com/x"})
    with Journal(tmp_path / "journal.sqlite") as journal:
        start_task(journal, REQUEST, connections, task_id="t", now_s=1.0)
        journal.end("t", TaskState.STOPPED, {}, 2.0)
        found = journal.latest("DOCS", site_of(connections))
        assert found is not None
        assert resume_task(journal, found.id) == REQUEST
        assert journal.holds("t")


def test_a_task_that_is_resumed_with_another_request_stays_as_it_is(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        start_task(journal, REQUEST, load_connections({}), task_id="t", now_s=1.0)
        journal.end("t", TaskState.STOPPED, {}, 2.0)
        before = journal.task("t")
        with pytest.raises(JournalError, match="was started with other options"):
            resume_task(journal, "t", wanted=Request("DOCS"))
        assert journal.task("t") == before
        assert not journal.holds("t")


@pytest.mark.parametrize("request_", [{}, {"space": "DOCS", "apply": True, "mode": "add", "pages": 7, "labels": []}])
def test_a_request_of_another_version_is_refused_and_the_task_not_held(
    tmp_path: Path, request_: dict[str, object]
) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.begin(Task("t", "DOCS", "x", TaskState.RUNNING, 1.0, request=request_))
        journal.end("t", TaskState.FAILED, {}, 2.0)
        with pytest.raises(JournalError, match="another version"):
            resume_task(journal, "t")
        assert not journal.holds("t")
        with pytest.raises(JournalError, match="is unknown"):
            resume_task(journal, "u")


@pytest.mark.parametrize(
    ("space", "task_id"),
    [
        ("DOCS", "DOCS-20260101-000000-1f3a"),
        ("~jane.doe", "~janedoe-20260101-000000-1f3a"),
        ("../x", "x-20260101-000000-1f3a"),
        ("東京", "space-20260101-000000-1f3a"),
    ],
)
def test_a_task_id_can_be_typed_and_names_no_other_folder(space: str, task_id: str) -> None:
    assert name_task(space, 1_767_225_600.0, "1f3a") == task_id
