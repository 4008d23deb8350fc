"""Who is measured, and the environment that each needs: made on demand from its pins, under `.venv-peers/`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tagspace_lab.policy.limits import LIMITERS

__all__ = ["CLIENTS", "OURS", "ROOT", "Client", "NotInstalledError", "find_python", "hide_places"]

ROOT = Path(__file__).resolve().parents[2]
OURS = "learned"
_HERE = Path(__file__).parent
_ENVIRONMENTS = ROOT / ".venv-peers"
_ADDRESS = re.compile(r"\S*(?:://|/\w+/)\S*")


class NotInstalledError(Exception):
    """A peer cannot be measured here; says why."""


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the table. `throttle`: for our own client, which runs with this project's interpreter.

    `storms`: it sends again whatever was refused, as often as it may. `is_told`: it is told the true rate.
    """

    name: str
    title: str
    throttle: str = ""
    storms: bool = False
    is_told: bool = False

    @property
    def folder(self) -> Path:
        return _HERE / ("tagspace_lab" if self.throttle else self.name)


CLIENTS = {
    client.name: client
    for client in (
        *(Client(name, f"tagspace_lab, {name}", throttle=name) for name in sorted(LIMITERS, key=lambda n: n != OURS)),
        Client("openai-sdk", "openai SDK", storms=True),
        Client("litellm", "litellm Router", storms=True),
        Client("langchain", "langchain-openai batch", storms=True),
        Client("curator", "bespokelabs-curator"),
        Client("botocore", "botocore adaptive"),
        Client("aiolimiter", "aiolimiter, told the rate", is_told=True),
    )
}


def find_python(client: Client) -> Path:
    """The interpreter that runs the client's script; makes its environment if its pins have changed.

    Raises NotInstalledError with the reason if that fails.
    """
    if client.throttle:
        return Path(sys.executable)
    pins = (client.folder / "requirements.txt").read_text("utf-8")
    environment = _ENVIRONMENTS / client.name
    python, ready = environment / "bin" / "python", environment / ".ready"
    if ready.is_file() and ready.read_text("utf-8") == pins:
        return python
    for command in _install(environment, client.folder / "requirements.txt"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalledError(_reason(done.stderr))
    ready.write_text(pins, "utf-8")
    return python


def _install(environment: Path, requirements: Path) -> Iterator[list[str]]:
    """The pins are those of Python 3.11, where there is one."""
    yield [shutil.which("python3.11") or sys.executable, "-m", "venv", "--clear", str(environment)]
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    yield [*pip, "--no-input", "--no-deps", "--requirement", str(requirements)]


def _reason(stderr: str) -> str:
    """The first error of an installer in one line."""
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR:")] or stderr.splitlines() or ["no word"]
    return hide_places(errors[0].removeprefix("ERROR: "))


def hide_places(words: str) -> str:
    """`words`, cut short, without addresses and paths: they go into a committed file."""
    return _ADDRESS.sub("...", words)[:200].strip()
