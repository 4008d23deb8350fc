"""`tagspace-lab tag` as it is typed, against the served twin: what it says, writes and ends with."""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tagspace_lab.cli.app import app
from tagspace_lab.lab.world import serve
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tagspace_lab.twin.app import build_app
from tests.fakes import RULES, TinySpace, make_scenario

PAGES = 6
IDS = [str(1000 + page) for page in range(PAGES)]
NO_MODEL = "openai:twin"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder; the environment names a served twin."""
    quick = {"latency": {"first_token_s": 0.001, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}}
    scenario = make_scenario(provider=quick, confluence={"latency_s": 0.0})
    with serve(build_app(scenario, TinySpace(PAGES), wall_clock=time.time)) as base_url:
        variables = {
            "CONFLUENCE_URL": f"{base_url}/wiki",
            "CONFLUENCE_USERNAME": "me@example.com",
            "CONFLUENCE_API_TOKEN": "twin-token",
            "OPENAI_BASE_URL": f"{base_url}/nowhere",
            "OPENAI_API_KEY": "twin-key",
            "TAG_SPACE_STATE_DIR": str(tmp_path / "state"),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "labels.txt").write_text("\n".join(RULES.vocabulary))
        yield tmp_path


def tag(*options: str) -> Result:
    return CliRunner().invoke(app, ["tag", "TINY", "--labels", "labels.txt", *options])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_resumed_task_writes_its_file_anew(folder: Path) -> None:
    failed = tag("--apply", "--model", NO_MODEL)
    assert failed.exit_code == 1, failed.stderr
    (file,) = folder.glob("*.csv")
    assert {row["status"] for row in rows(file)} == {"error"}
    done = tag("--apply", "--resume")
    assert done.exit_code == 0, done.stderr
    assert list(folder.glob("*.csv")) == [file]
    assert [row["page_id"] for row in rows(file)] == IDS, "the order is that of the listing"
    assert "error" not in {row["status"] for row in rows(file)}


def test_pages_that_failed_alike_are_told_once(folder: Path) -> None:
    failed = tag("--model", NO_MODEL)
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: page 1000 and {PAGES - 1} more: ")


def test_pages_asked_for_that_are_not_there_are_named(folder: Path) -> None:
    (folder / "pages.txt").write_text("1001\n77\n")
    done = tag("--pages", "pages.txt", "--json")
    assert done.exit_code == 0, done.stderr
    assert "Note: not found in TINY, of the pages asked for: 77 (1)." in done.stderr
    assert json.loads(done.stdout)["absent_pages"] == ["77"]


@pytest.mark.parametrize("label", ["???", "x" * 256])
def test_name_that_can_be_no_label_is_refused_at_once(label: str, folder: Path) -> None:
    (folder / "labels.txt").write_text(f"fine\n{label}\n")
    refused = tag()
    assert refused.exit_code == 2
    assert "labels.txt: '" in refused.stderr
    assert "cannot be a label" in refused.stderr
    assert not (folder / "state").exists()


def test_file_of_another_kind_is_refused_at_once(folder: Path) -> None:
    refused = tag("-o", "changes.xlsx")
    assert refused.exit_code == 2
    assert "neither .csv nor .json" in refused.stderr


def test_folder_that_cannot_be_written_is_refused_before_anything_is_paid_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc/self")
    refused = CliRunner().invoke(app, ["tag", "TINY"])
    assert refused.exit_code == 2
    assert "name a file in a writable folder" in refused.stderr
    assert not (folder / "state").exists()


def test_calls_to_the_fallback_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_FALLBACK_MODEL", "local")
    done = tag("--model", NO_MODEL)
    assert done.exit_code == 0, done.stderr
    assert "calls (2 to the fallback)" in done.stderr


def test_result_is_shown_even_where_its_file_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "changes.csv")

    monkeypatch.setattr("tagspace_lab.lab.changes.write_changes", refuse)
    full = tag("-o", "changes.csv")
    assert full.exit_code == 2
    assert f"{PAGES} pages in " in full.stderr
    assert "free some space" in full.stderr


def test_space_that_another_process_tags_is_told_and_not_resumed(folder: Path) -> None:
    tag()
    with Journal(folder / "state" / "journal.sqlite") as journal:
        site = journal.tasks()[0].site
        request = Request("TINY", labels=RULES.vocabulary).to_dict()
        journal.begin(Task("TINY-other", "TINY", site, TaskState.RUNNING, time.time() + 60, request=request))
        assert "Note: TINY-other is running on this space" in tag().stderr
        refused = tag("--resume")
    assert refused.exit_code == 2
    assert "runs in another process" in refused.stderr


def test_warning_of_a_run_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagspace_lab.clients.stores.sqlite import SQLiteStore
    from tagspace_lab.errors import StoreError

    def fail(*args: object) -> None:
        raise StoreError("it went away")

    monkeypatch.setattr(SQLiteStore, "_get", fail)
    done = tag()
    assert done.exit_code == 0, done.stderr
    assert "is away (it went away): going on without it" in done.stderr
    assert len(logging.getLogger("tagspace_lab").handlers) == 1, "the teller leaves with the run"


def test_trace_that_is_none_is_refused_before_a_task_begins(folder: Path) -> None:
    (folder / "notes.txt").write_text("no trace at all\n")
    refused = tag("--trace", "notes.txt")
    assert refused.exit_code == 2, refused.stderr
    assert (folder / "notes.txt").read_text() == "no trace at all\n"
    with Journal(folder / "state" / "journal.sqlite") as journal:
        assert journal.tasks() == []
