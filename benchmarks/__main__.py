"""Measure all topics, or those that are named; write them into RESULTS.md when all were measured."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

from benchmarks import (
    admissions,
    cache_policies,
    calibration,
    digitalgov,
    growth,
    imports,
    local_tagger,
    regimes,
    replays,
    studies,
    wall_clock,
)
from benchmarks.figures import Figure
from benchmarks.results import format_table, write_section

_TOPICS: dict[str, Callable[[], Iterator[Figure]]] = {
    "imports": imports.measure,
    "admissions": admissions.measure,
    "replays": replays.measure,
    "studies": studies.measure,
    "growth": growth.measure,
    "digitalgov": digitalgov.measure,
    "local-tagger": local_tagger.measure,
    "wall-clock": wall_clock.measure,
    "cache-policies": cache_policies.measure,
    "regimes": regimes.measure,
    "calibration": calibration.measure,
}
_PACKAGES = ("tagspace-lab", "httpx", "starlette", "uvicorn", "pydantic", "selectolax", "pandas")
_HEADING = "Speed and memory"
_HEAD = """\
`make bench` writes this section. CPU times are the best of several fresh processes, each after its imports; what
else the machine was doing can only have made them longer.
"""


def main(names: Sequence[str]) -> int:
    """The exit code: 1 if a figure was missed, 2 for a name that is not a topic."""
    if unknown := [name for name in names if name not in _TOPICS]:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(_TOPICS)}", file=sys.stderr)
        return 2
    figures = []
    for name in names or _TOPICS:
        for figure in _TOPICS[name]():
            figures.append(figure)
            print(f"{figure.verdict:8}{figure.what}: {figure.measured} ({figure.target or 'no target'})", flush=True)
    if not names:
        write_section(_HEADING, f"{_HEAD}\n{_table(figures)}\n{_versions()}")
    return 1 if any(figure.holds is False for figure in figures) else 0


def _table(figures: Sequence[Figure]) -> str:
    rows = ((figure.what, figure.target, figure.measured, figure.verdict) for figure in figures)
    return format_table(("figure", "target", "measured", ""), rows)


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors; {packages}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
