"""What is seen of work under way: in a terminal, in a notebook, and where nobody looks."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from tagspace_lab.lab.watch import is_interactive, watch

ROOT = Path(__file__).resolve().parents[2]
REPLAY = "import tagspace_lab as tl; report = tl.replay('medium', 'guide', baseline=True, runs=1)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def at_terminal() -> Iterator[Terminal]:
    """Not a fixture: pytest takes standard error back between a test's set-up and its call."""
    with redirect_stderr(Terminal()) as terminal:
        yield terminal


def last_line(terminal: Terminal) -> str:
    return terminal.getvalue().rstrip("\n").rsplit("\r", 1)[-1]


def test_line_tells_progress_best_429s_and_concurrency() -> None:
    with at_terminal() as terminal, watch(40, "trial", "tuning") as view:
        view.tell(best_s=7.94, rate_limit_share=0.0123, concurrency=8.26)
        view.advance(17)
    line = last_line(terminal)
    assert line.startswith("tuning:")
    assert "17/40" in line
    assert "best 7.9 s, 429s 1.2%, concurrency 8.26" in line
    assert terminal.getvalue().count("\n") == 1


def test_what_is_not_known_is_not_told() -> None:
    with at_terminal() as terminal, watch(None, "page", "reading") as view:
        view.tell(rate_limit_errors=3)
        view.advance(5)
    assert "5page" in last_line(terminal)
    assert "429s 3]" in last_line(terminal)
    assert "best" not in terminal.getvalue()


def test_line_follows_a_total_that_becomes_known() -> None:
    with at_terminal() as terminal, watch(None, "page", "DOCS") as view:
        view.reach(3, 0)
        view.tell(calls=2, usd=0.125)
        view.reach(5, 8)
    assert "5/8" in last_line(terminal)
    assert "calls 2, 0.12 USD]" in last_line(terminal)
    assert "page" not in last_line(terminal)


@pytest.mark.parametrize("shown", [True, False])
def test_pipe_sees_nothing(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with watch(3, "page", "tagging", shown=shown) as view:
        view.advance()
        view.tell(best_s=1.0)
    assert capsys.readouterr() == ("", "")


def test_terminal_sees_nothing_where_it_is_not_wanted() -> None:
    with at_terminal() as terminal, watch(3, "page", "tagging", shown=False) as view:
        view.advance()
    assert terminal.getvalue() == ""


def test_no_thread_is_started() -> None:
    before = set(threading.enumerate())
    with at_terminal(), watch(3, "page", "tagging") as view:
        view.advance()
        assert set(threading.enumerate()) == before


def test_line_is_closed_when_the_work_fails() -> None:
    with at_terminal() as terminal, pytest.raises(ValueError, match="oh"), watch(3, "page", "tagging"):
        raise ValueError("oh")
    assert terminal.getvalue().endswith("\n")


def test_test_run_is_not_interactive() -> None:
    assert not is_interactive()


def in_terminal(code: str) -> str:
    """What a terminal shows of a program."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdin=theirs, env=environment) as program:
        os.close(theirs)
        shown = b""
        try:
            while read := os.read(ours, 4096):
                shown += read
        except OSError:  # how the end of a terminal is told on Linux
            pass
        finally:
            os.close(ours)
    assert program.returncode == 0
    return shown.decode()


def test_replay_in_a_terminal_is_one_line_that_ends_with_the_429s() -> None:
    shown = in_terminal(REPLAY)
    assert shown.count("\n") == 1
    assert "medium on guide: 100%" in shown
    assert re.search(r"150/150 .*429s 23, concurrency \d+\]", shown.rsplit("\r", 2)[-2])


def run_cell(code: str, *, by_hand: bool) -> list[dict[str, Any]]:
    """What a kernel sends while it runs a cell, as a frontend does, or as a program that runs notebooks."""
    manager, client = start_new_kernel(kernel_name="python3", env=os.environ | {"PYTHONPATH": str(ROOT)})
    sent: list[dict[str, Any]] = []
    try:
        reply = client.execute_interactive(code, allow_stdin=by_hand, timeout=60, output_hook=sent.append)
    except Empty:
        pytest.fail("the kernel does not answer")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    return sent


def test_notebook_run_by_a_program_stays_exact() -> None:
    sent = run_cell(REPLAY, by_hand=False)
    assert {message["msg_type"] for message in sent} <= {"status", "execute_input"}


def test_notebook_run_by_hand_shows_one_widget_whose_line_moves() -> None:
    sent = run_cell(REPLAY, by_hand=True)
    shown = [message for message in sent if message["msg_type"] == "display_data"]
    states = [message["content"]["data"].get("state", {}) for message in sent if message["msg_type"].startswith("comm")]
    told = [state["value"].replace("\u2007", " ") for state in states if isinstance(state.get("value"), str)]
    assert len(shown) == 1
    assert "application/vnd.jupyter.widget-view+json" in shown[0]["content"]["data"]
    assert any("429s 23" in words for words in told)
    assert not [message for message in sent if message["msg_type"] in ("stream", "error")]
