from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tagspace_lab.cli.app import app
from tagspace_lab.errors import InputError
from tagspace_lab.lab.replay import replay
from tagspace_lab.live.logs import APP_LOG, configure_logs
from tagspace_lab.operations.monitor import LogWatch, TaskWatch
from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tagspace_lab.settings import Settings
from tests.fakes import examples

ROOT = Path(__file__).resolve().parents[2]
COUNTERS = {"processed": 30, "errors": 1, "total_ai_calls": 6, "rate_limit_errors": 2, "fallback_switches": 1}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of a run with refusals and fallbacks."""
    settings = Settings(fallback="any-error", batch_size=1, cache_size=200)
    with configure_logs(tmp_path / "logs"):
        replay("medium", "guide", settings, runs=1, progress=False)
    return tmp_path / "logs"


def test_log_tells_what_the_run_did(logs: Path) -> None:
    report = replay("medium", "guide", Settings(fallback="any-error", batch_size=1), runs=1, progress=False)
    (run,) = report.runs
    watch = LogWatch(logs)
    view = watch.look()
    watch.close()
    assert run.rate_limit_errors
    assert run.fallbacks
    assert (view.state, view.processed, view.errors) == ("ended", 150, 0)
    assert (view.rate_limit_errors, view.fallbacks) == (run.rate_limit_errors, run.fallbacks)
    assert (view.ai_calls, view.hit_rate) == (run.calls, 0.0)
    assert view.concurrency
    assert view.pace_per_s
    assert "processed=150" in view.summary
    assert len(view.lines) == 6


def test_log_that_is_followed_tells_one_run_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("")
    watch = LogWatch(path)
    assert watch.look().state == "waiting"
    with path.open("a", buffering=1) as log:
        log.write("2026 x [ROUTER] 0.000 s: run one starts with primary, fallback: none\n[429] a\nnoise\n[429] b\n")
        assert (watch.look().state, watch.look().rate_limit_errors) == ("running", 2)
        log.write("[THROTTLE] 2 s: primary: window 3 -> 2.5 calls, pace none -> 1.25 calls/s, in flight 2, queued 7\n")
        view = watch.look()
        assert (view.concurrency, view.pace_per_s, view.in_flight, view.queued) == (2.5, 1.25, 2, 7)
        log.write("[OPTIMIZATION_SUMMARY] task=one processed=5 errors=0 hit_rate=0.5000 ai_calls=1\n")
        assert (watch.look().state, watch.look().processed, watch.look().hit_rate) == ("ended", 5, 0.5)
        log.write("[ROUTER] 0.000 s: run two starts with primary, fallback: none\n")
        view = watch.look()
        assert (view.state, view.rate_limit_errors, view.processed) == ("running", 0, None)
        assert "task=one" in view.summary
    watch.close()


def test_line_cannot_move_the_terminals_cursor(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("[429] \x1b[2J\x07 evil\n[OPTIMIZATION_SUMMARY] \x1b]0;x\x07\n")
    watch = LogWatch(tmp_path / "run.log")
    view = watch.look()
    watch.close()
    assert (view.summary + "".join(view.lines)).isprintable()


@given(st.lists(st.text() | st.from_regex(r"\[(429|ROUTER|THROTTLE|OPTIMIZATION_SUMMARY)\].{0,40}"), max_size=20))
@examples(200)
def test_any_lines_are_taken(lines: list[str]) -> None:
    watch = LogWatch(ROOT / "README.md")
    watch.note(lines)
    json.dumps(asdict(watch.look()), allow_nan=False)
    watch.close()


def journal_with(path: Path, *ids: str, total: int = 120) -> Journal:
    journal = Journal(path / "journal.sqlite")
    for number, task_id in enumerate(ids):
        journal.begin(Task(task_id, "DOCS", "wiki.example.com", TaskState.RUNNING, 1000.0 + number))
        journal.note(task_id, total=total, counters=COUNTERS)
    return journal


def test_task_tells_progress_rate_and_time_left(tmp_path: Path) -> None:
    now_s = 1010.0
    journal = journal_with(tmp_path, "one", "two")
    watch = TaskWatch(journal, "one", lambda: now_s)
    view = watch.look()
    assert (view.name, view.state, view.is_ended) == ("one", "running", False)
    assert (view.processed, view.total, view.errors, view.rate_limit_errors) == (30, 120, 1, 2)
    assert (view.rate_per_s, view.eta_s) == (3.0, 30.0)
    now_s = 1020.0
    journal.note("one", total=120, counters=COUNTERS | {"processed": 90, "current_concurrency": float("inf")})
    view = watch.look()
    assert (view.rate_per_s, view.eta_s, view.concurrency) == (6.0, 5.0, None)
    journal.end("one", TaskState.DONE, {"processed": 120, "cache_stats": {"hit_rate": 0.25}}, 1030.0)
    view = watch.look()
    assert (view.state, view.is_ended, view.eta_s, view.hit_rate) == ("done", True, None, 0.25)
    assert view.summary == "processed=120 hit_rate=0.25"
    watch.close()


def test_latest_task_is_watched_if_none_is_named_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    journal = journal_with(tmp_path, "one", "two")
    assert TaskWatch(journal, None, lambda: 0.0).look().name == "two"
    with pytest.raises(InputError, match="no task three in this journal; the latest: two, one"):
        TaskWatch(journal, "three", lambda: 0.0)
    journal.close()


def test_journal_without_tasks_is_told(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "journal.sqlite") as journal,
        pytest.raises(InputError, match="no task in this journal yet"),
    ):
        TaskWatch(journal, None, lambda: 0.0)


def test_task_whose_process_is_gone_is_ended(tmp_path: Path) -> None:
    journal_with(tmp_path, "one").close()
    with Journal(tmp_path / "journal.sqlite") as journal:
        view = TaskWatch(journal, "one", lambda: 2000.0).look()
    assert (view.state, view.is_ended) == ("interrupted", True)


def run(line: str, **environ: str) -> Result:
    unset: dict[str, str | None] = {"TAG_SPACE_LOG_DIR": None, "TAG_SPACE_STATE_DIR": None}
    return CliRunner().invoke(app, line.split(), env=unset | environ)


def test_command_shows_a_log_once(logs: Path) -> None:
    shown = run(f"monitor --log {logs} --once")
    assert shown.exit_code == 0
    assert "429s" in shown.stdout
    assert "summary" in shown.stdout
    document = json.loads(run("monitor --json", TAG_SPACE_LOG_DIR=str(logs), TAG_SPACE_STATE_DIR=str(logs)).stdout)
    assert document["processed"] == 150
    assert set(document) <= set(
        run("monitor --help").stdout.replace(",", " ").replace("}", " ").replace("{", " ").split()
    )


def test_command_ends_when_the_task_has(tmp_path: Path) -> None:
    journal_with(tmp_path, "one").close()
    shown = run("monitor one", TAG_SPACE_STATE_DIR=str(tmp_path))
    assert shown.exit_code == 0
    assert "run one: interrupted, pages 30 of 120, 1 errors" in shown.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("monitor", "there is no task in"),
        ("monitor one", "there is no task in"),
        ("monitor --log nosuch.log", "nosuch.log is not there"),
        ("monitor one --log x", "name one of them"),
    ],
)
def test_command_says_what_is_missing(line: str, words: str, tmp_path: Path) -> None:
    result = run(line, TAG_SPACE_STATE_DIR=str(tmp_path / "state"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not (tmp_path / "state").exists()


def start_monitor(path: Path, **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tagspace_lab", "monitor", "--log", str(path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, **streams)


def read_until(file: int, words: bytes) -> bytes:
    text = b""
    while words not in text:
        assert select.select([file], [], [], 30)[0], text
        text += os.read(file, 65536)
    return text


def interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, b"\nNo longer watched; the run goes on.\n")


def test_process_follows_a_log_through_its_turning_over_until_ctrl_c(logs: Path) -> None:
    process = start_monitor(logs, stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout:
        read_until(process.stdout.fileno(), b"ended")
        (logs / APP_LOG).rename(logs / f"{APP_LOG}.1")
        (logs / APP_LOG).write_text("[OPTIMIZATION_SUMMARY] task=MEDIUM-0-0 processed=77 errors=0\n")
        read_until(process.stdout.fileno(), b"pages 77")
        interrupt(process)


def test_terminal_shows_a_picture_that_is_drawn_anew(logs: Path) -> None:
    ours, theirs = pty.openpty()
    process = start_monitor(logs, stdout=theirs)
    os.close(theirs)
    try:
        assert b"429s" in read_until(ours, b"summary")
        interrupt(process)
    finally:
        os.close(ours)
