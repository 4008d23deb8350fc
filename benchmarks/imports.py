"""What it costs to begin: an import, a help text, a first replay from the shell."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figures import Figure

__all__ = ["measure"]

_ROUNDS = 5
_COMMANDS = (
    ("import tagspace_lab", ("-c", "import tagspace_lab"), 0.1),
    ("tagspace-lab --help", ("-m", "tagspace_lab", "--help"), 0.5),
    ("importing `replay`", ("-c", "from tagspace_lab import replay"), None),
    ("tagspace-lab replay small --json", ("-m", "tagspace_lab", "replay", "small", "--json"), None),
)


def measure() -> Iterator[Figure]:
    for what, arguments, limit_s in _COMMANDS:
        cpu_s = min(_cpu_s(arguments) for _ in range(_ROUNDS))
        target = "" if limit_s is None else f"<= {limit_s} CPU s"
        yield Figure(what, target, f"{cpu_s:.2f} CPU s", limit_s is None or cpu_s <= limit_s)


def _cpu_s(arguments: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
