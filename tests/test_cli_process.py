"""The command as a process: exit codes, pure output, signals, pipes and full disks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "tagspace_lab")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("TAG", "COLUMNS"))} | {
    "PYTHONPATH": str(ROOT)
}


def run(*arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", shell, sys.executable] if shell else [*COMMAND, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


def test_same_seed_gives_same_bytes_in_two_processes_and_nothing_else_on_standard_output() -> None:
    first, second = (run("replay", "small", "--json", "--seed", "7") for _ in range(2))
    assert first.returncode == 0
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["seed"] == 7


def test_rows_are_the_same_for_any_number_of_jobs() -> None:
    grid = ("sweep", "small", "--batch-size", "5,10", "--runs", "1", "--json", "--jobs")
    one, two = run(*grid, "1"), run(*grid, "2")
    assert (one.returncode, one.stdout) == (0, two.stdout)


def test_wrong_input_ends_with_2_and_no_traceback() -> None:
    done = run("replay", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: no space 'nosuch'")
    assert "Traceback" not in done.stderr


def test_reader_that_goes_away_is_no_error() -> None:
    done = run(shell='"$0" -m tagspace_lab scenarios --json | true; echo "${PIPESTATUS[0]}"')
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_behind_standard_output_is_told() -> None:
    done = run(shell='"$0" -m tagspace_lab scenarios --json > /dev/full')
    assert done.returncode == 2
    assert done.stderr == "Error: standard output: No space left on device; free some space, or write to another disk\n"


def test_debug_adds_the_traceback() -> None:
    done = run(shell='TAGSPACE_DEBUG=1 "$0" -m tagspace_lab replay nosuch')
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, tagspace_lab.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    heavy = {"pandas", "numpy", "optuna", "matplotlib", "joblib", "httpx", "starlette", "uvicorn", "tqdm", "selectolax"}
    assert not heavy & set(done.stdout.split())


@pytest.fixture
def twin() -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "twin", "--port", "0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as twin:
        yield twin
        twin.kill()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_twin_serves_until_it_is_stopped(end: signal.Signals, twin: subprocess.Popen[str]) -> None:
    assert twin.stdout
    base_url = twin.stdout.readline().split()[-1].removesuffix("/v1")
    with httpx.Client(trust_env=False, auth=("any", "any")) as http:
        spaces = http.get(f"{base_url}/wiki/api/v2/spaces", params={"keys": "SMALL"}).json()
    assert spaces["results"][0]["key"] == "SMALL"
    twin.send_signal(end)
    _, told = twin.communicate(timeout=30)
    assert (twin.returncode, told) == (0, "\nThe twin has stopped.\n")


def test_twin_on_a_taken_port_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("twin", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be used" in done.stderr
