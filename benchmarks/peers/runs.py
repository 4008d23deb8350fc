"""One run: a twin and a client, each in a process of its own, and what both say afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

from benchmarks.peers.challenges import Challenge
from benchmarks.peers.clients import ROOT, Client, hide_places

__all__ = ["Run", "measure"]

_START_S = 20.0
"""For the imports of a large client; its time-out begins afterwards."""
_QUIET = {
    "NO_PROXY": "127.0.0.1",
    "DO_NOT_TRACK": "1",
    "TELEMETRY_ENABLED": "false",  # curator's
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
}
"""Clients talk to the twin and to nobody else."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run. `version`: the library's name and version; `problem`: why the client did not end well."""

    client: str
    challenge: str
    repeat: int
    calls: int
    done: int
    refused: int
    makespan_s: float
    version: str = ""
    problem: str = ""

    @property
    def undone(self) -> int:
        return self.calls - self.done


def measure(client: Client, python: Path, challenge: Challenge, repeat: int) -> Run:
    """Run `client` in `challenge`; the twin's luck differs from repeat to repeat, and is the same for all clients."""
    seen: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home, _serve(challenge, repeat, seen) as address:
        told, problem = _run(_command(client, python, challenge, repeat, address), home, challenge.time_out_s)
    done = told.get("done", min(seen["answered"], challenge.calls))
    return Run(
        client.name,
        challenge.name,
        repeat,
        challenge.calls,
        done,
        seen["refused"],
        seen["makespan_s"],
        told.get("version", ""),
        problem,
    )


def _command(client: Client, python: Path, challenge: Challenge, repeat: int, address: str) -> list[str]:
    command = [str(python), str(client.folder / "client.py"), "--base-url", f"{address}/v1", "--seed", str(repeat)]
    command += ["--calls", str(challenge.calls)]
    if client.throttle:
        command += ["--throttle", client.throttle]
    if client.is_told and challenge.rate_per_min:
        command += ["--rate-per-min", str(challenge.rate_per_min)]
    return command


@contextmanager
def _serve(challenge: Challenge, repeat: int, seen: dict[str, Any]) -> Iterator[str]:
    """The address of a new twin; afterwards `seen` holds what it saw."""
    command = [sys.executable, "-m", "benchmarks.peers.twin", challenge.name, str(repeat)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as twin:
        assert twin.stdout is not None
        try:
            yield twin.stdout.readline().strip()
        finally:
            rest, _ = twin.communicate(timeout=_START_S)
        seen |= json.loads(rest)


def _run(command: list[str], home: str, time_out_s: float) -> tuple[dict[str, Any], str]:
    """The client's last line, and what was wrong. It gets a home of its own, and none of our keys."""
    environ = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(ROOT)} | _QUIET
    with (
        Path(home, "stderr").open("w+") as stderr,
        subprocess.Popen(
            command, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        ) as process,
    ):
        try:
            printed, _ = process.communicate(timeout=_START_S + time_out_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)  # its own group: what it started ends with it
            return {}, f"ended after {time_out_s:.0f} s"
        if process.returncode:
            stderr.seek(0)
            return {}, f"broke off: {hide_places((stderr.read().strip().splitlines() or ['no word'])[-1])}"
    return json.loads(printed.strip().splitlines()[-1]), ""
