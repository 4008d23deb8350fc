"""Makes anew what the README shows: its picture, and the output behind every `$ tagspace-lab` line; and DESIGN.md's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import tagspace_lab as tl

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "before_after.png"
THROTTLE = ROOT / "docs" / "throttle.png"
SCENARIOS = ("anthropic-tier1", "openai-tier1")
SHOWN = re.compile(r"```console\n\$ tagspace-lab ([^\n]+)\n.*?```", re.DOTALL)


def draw_picture() -> None:
    """A row of bars a scenario: the way of before, today's settings, the tuned ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    for ax, scenario in zip(figure.subplots(len(SCENARIOS)), SCENARIOS, strict=True):
        tuned = tl.tune("medium", scenario, jobs=os.cpu_count() or 1)
        ways = {
            "one page a call": tl.replay("medium", scenario, baseline=True, runs=1, progress=False),
            "today's settings": tl.replay("medium", scenario, runs=1, progress=False),
            "tuned": tl.replay("medium", scenario, tuned.settings, runs=1, progress=False),
        }
        tl.plot_before_after({way: report.runs[0] for way, report in ways.items()}, ax=ax)
        ax.set_title(f"{scenario}, 150 pages", loc="left")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, facecolor="white", metadata={"Software": None})


def draw_throttle() -> None:
    """One run that finds a limit by itself, and finds it again after it was halved."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    tl.replay("large", "halving", runs=1, progress=False).plot_throttle(figure.subplots())
    THROTTLE.parent.mkdir(exist_ok=True)
    figure.savefig(THROTTLE, dpi=110, facecolor="white", metadata={"Software": None})


def fill_readme() -> None:
    """Run every command that README shows, and put what it prints below it."""
    readme = ROOT / "README.md"
    readme.write_text(SHOWN.sub(_run, readme.read_text("utf-8")), "utf-8")


def _run(shown: re.Match[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tagspace_lab", *shown[1].split()],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
        check=True,
    )
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()
    return f"```console\n$ tagspace-lab {shown[1]}\n{printed}\n```"


if __name__ == "__main__":
    draw_picture()
    draw_throttle()
    fill_readme()
