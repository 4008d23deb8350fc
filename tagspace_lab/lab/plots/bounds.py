"""How near runs come to what no client can better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from tagspace_lab.lab.plots.style import BLUE, GREEN, GREY, INK, finish, pick_ink, prepare

if TYPE_CHECKING:
    from tagspace_lab.lab.report import RunSummary

__all__ = ["plot_efficiency"]


def plot_efficiency(runs: Mapping[str, RunSummary], ax: Axes | None = None) -> Axes:
    """A row for each run: its own bound and the best bound, as shares of its makespan, and what binds it.

    `runs`: a name, such as the scenario's, and a run's numbers. The own bound keeps to the run's batch size and
    ceiling, the best one to neither; the way from the one to the other is what the settings cost, and from the own
    bound to 100 % what the throttle costs.
    """
    ax = prepare(ax, height_in=1.5 + 0.36 * len(runs))
    places = range(len(runs))
    own, best = ([getattr(run, name) for run in runs.values()] for name in ("efficiency", "best_efficiency"))
    ax.hlines(places, best, own, color=GREY, linewidth=1.5, zorder=2)
    ax.plot(
        best,
        places,
        color="white",
        markeredgecolor=GREEN,
        markeredgewidth=2,
        marker="D",
        linestyle="",
        label="best bound / makespan",
    )
    ax.plot(own, places, color=BLUE, marker="o", markersize=8, linestyle="", label="own bound / makespan")
    for place, run in zip(places, runs.values(), strict=True):
        ax.text(1.03, place, f"{run.makespan_s:.1f} s, {run.binds}", va="center", color=INK, fontsize=9)
    _head_margin(ax, "makespan, what binds it")
    ax.axvline(1.0, color=INK, linewidth=1)
    ax.set_yticks(places, list(runs))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(runs) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_xlim(0, 1.42)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    return finish(ax, _say_ends(runs), "bound / makespan (%)", "")


def _head_margin(ax: Axes, words: str) -> None:
    """In the row of the tick labels, in their ink."""
    place = {"xy": (1.09, 0), "xycoords": ("data", "axes fraction"), "xytext": (0, -6), "textcoords": "offset points"}
    ax.annotate(words, **place, va="top", color=pick_ink(ax), fontsize=9)  # type: ignore[arg-type]


def _say_ends(runs: Mapping[str, RunSummary]) -> str:
    ordered = sorted(runs, key=lambda name: runs[name].efficiency)
    near, far = (f"{name} {runs[name].efficiency:.0%}" for name in (ordered[-1], ordered[0]))
    return f"Of its own bound, {near}" if len(runs) == 1 else f"Nearest to its own bound is {near}, farthest {far}"
