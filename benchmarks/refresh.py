"""Makes anew what README and docs show: the pictures, and the output behind every `$` line."""

from __future__ import annotations

import os
from pathlib import Path

import tagspace_lab as tl
from benchmarks.shown import PAGES, fill, open_shell

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "before_after.png"
THROTTLE = ROOT / "docs" / "throttle.png"
SCENARIOS = ("anthropic-tier1", "openai-tier1")


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


def fill_pages() -> None:
    """Run every command that README and docs show, and put what it prints below it."""
    for page in PAGES:
        with open_shell() as shell:
            page.write_text(fill(page.read_text("utf-8"), shell), "utf-8")


if __name__ == "__main__":
    draw_picture()
    draw_throttle()
    fill_pages()
