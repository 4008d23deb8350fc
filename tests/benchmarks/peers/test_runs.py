"""A client's process, and how it ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.peers import runs


def run(script: str, home: Path, time_out_s: float = 30.0) -> tuple[dict[str, object], str]:
    return runs._run([sys.executable, "-c", script], str(home), time_out_s)


def test_last_line_is_the_result(tmp_path: Path) -> None:
    assert run("print('words'); print('{\"done\": 3}')", tmp_path) == ({"done": 3}, "")


def test_client_gets_a_home_and_none_of_our_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    script = (
        "import json, os; print(json.dumps({'home': os.environ['HOME'], 'has_key': 'OPENAI_API_KEY' in os.environ}))"
    )
    assert run(script, tmp_path) == ({"home": str(tmp_path), "has_key": False}, "")


def test_client_that_breaks_off_says_why_and_names_no_place(tmp_path: Path) -> None:
    told, problem = run(f"raise SystemExit('cannot read {tmp_path}/key')", tmp_path)
    assert (told, problem) == ({}, "broke off: cannot read ...")


def test_client_is_ended_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_START_S", 0.0)
    began_s = time.monotonic()
    assert run("import time; time.sleep(60)", tmp_path, 0.2) == ({}, "ended after 0 s")
    assert time.monotonic() - began_s < 10
