"""The examples of README and docs: each command of a `console` block is run, and shows what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tagspace_lab.lab.replay import as_space
from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.scenario import load_scenario

__all__ = ["PAGES", "Shell", "fill", "find_commands", "open_shell"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_TWIN = "http://127.0.0.1:8765"
_BASH = shutil.which("bash") or "/bin/bash"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)
_OURS = re.compile(r"TAG_?SPACE_|CONFLUENCE_|OPENAI_|ANTHROPIC_|XDG_")


class Shell:
    """Bash in a folder of its own, with `tagspace-lab` on the path and what the commands before have exported.

    Where a command says the address of `tagspace-lab twin`, the one at `twin_url` is asked.
    """

    def __init__(self, folder: Path, twin_url: str) -> None:
        self._folder, self._twin_url = folder, twin_url
        self._exports: list[str] = []
        program = folder / ".bin" / "tagspace-lab"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tagspace_lab "$@"\n')
        program.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
        paths = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        self._environ = clean | paths | {"HOME": str(folder), "COLUMNS": "80", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}

    def run(self, command: str) -> str:
        """What the command prints on standard output, without blanks at the ends of lines; it must end with 0."""
        if command.startswith("export "):
            self._exports.append(command)
        script = "\n".join(["set -euo pipefail", *self._exports, command]).replace(_TWIN, self._twin_url)
        done = subprocess.run(
            [_BASH, "-c", script], cwd=self._folder, env=self._environ, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{command}: exit code {done.returncode}: {done.stderr}")
        printed = done.stdout.replace(self._twin_url, _TWIN)
        return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")


@contextmanager
def open_shell() -> Iterator[Shell]:
    """A shell, and what `tagspace-lab twin` serves beside it."""
    app = build_app(load_scenario("openai-tier1"), as_space("small"), wall_clock=time.time)
    with TemporaryDirectory() as folder, serve(app) as url:
        yield Shell(Path(folder), url)


def find_commands(text: str) -> list[str]:
    """The commands of all blocks, in order."""
    return [command for block in _BLOCK.findall(text) for command in _COMMAND.findall(block)]


def fill(text: str, shell: Shell) -> str:
    """`text` with what its commands print now, run one after the other."""
    return _BLOCK.sub(lambda block: f"```console\n{_show(block[1], shell)}```", text)


def _show(block: str, shell: Shell) -> str:
    shown = ([f"$ {command}", shell.run(command)] for command in _COMMAND.findall(block))
    return "".join(f"{line}\n" for lines in shown for line in lines if line)
