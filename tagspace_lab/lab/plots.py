"""Pictures of replays and studies. The only home of matplotlib.

Every function draws into an Axes and returns it. Without one it opens a figure, which is the caller's
from then on: nothing is shown, saved or closed here, and matplotlib's own settings stay as they are.
The data area is always white, and no fact is told by colour alone, so that a picture reads the same in
print, in a dark notebook and to the colour-blind (colours: Okabe and Ito, jfly.uni-koeln.de/color).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from tagspace_lab.errors import InputError
from tagspace_lab.records import Outcome

if TYPE_CHECKING:
    from tagspace_lab.lab.report import Report, RunSummary
    from tagspace_lab.lab.tuned import Tuned

__all__ = ["plot_before_after", "plot_run", "plot_sweep", "plot_trials"]

INK, GREY = "#222222", "#767676"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
_SERIES = tuple(zip((BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK), "osD^vPX", strict=True))

_FIGURE = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10.0,
}
"""Of a figure that is opened here: dark ink on white, whatever the style around it."""

_WORDS = {
    "makespan_s": "makespan (s)",
    "bound_s": "lower bound (s)",
    "best_bound_s": "best bound (s)",
    "efficiency": "efficiency (bound / makespan)",
    "best_efficiency": "efficiency (best bound / makespan)",
    "pages_per_s": "pages per second",
    "rate_limit_share": "429s (share of requests)",
    "rate_limit_errors": "429s",
    "hit_rate": "cache hits (share of look-ups)",
    "f1": "micro-F1",
    "ai_concurrency": "concurrency at the start (calls)",
    "max_ai_concurrency": "concurrency at most (calls)",
    "batch_size": "batch size (pages a call)",
    "cache_size": "cache size (entries)",
    "settled_concurrency": "settled concurrency (calls)",
}


def plot_run(report: Report, ax: Axes | None = None, run: int = 1) -> Axes:
    """Calls in flight over the time of one run, beside the window, the refusals, the bound and the makespan.

    The window is what the throttle allowed at each request. Every 429 is a cross on top, at the moment it
    came; other failures are triangles. InputError for a run that the report does not have.
    """
    if not 1 <= run <= len(report.runs):
        raise InputError(f"run is {run}: the report has runs 1 to {len(report.runs)}.")
    ax = _prepare(ax)
    summary, attempts = report.runs[run - 1], report.attempts.query("run == @run")
    title = f"{report.space['name']} on {report.scenario['name']}, run {run}: {summary.efficiency:.0%} efficient"
    if attempts.empty:
        ax.text(0.5, 0.5, "no calls were needed", ha="center", transform=ax.transAxes, color=INK)
    else:
        _draw_calls(ax, report.concurrency(run), attempts, summary.makespan_s)
    _draw_failures(ax, attempts)
    bound = f"bound {summary.bound_s:.1f} s ({summary.binds})"
    ax.axvline(summary.bound_s, color=GREEN, linestyle=(0, (5, 2)), linewidth=2, label=bound)
    ax.axvline(summary.makespan_s, color=INK, linewidth=1.5, label=f"makespan {summary.makespan_s:.1f} s")
    ax.set_xlim(0, 1.02 * max(summary.makespan_s, summary.bound_s) or 1)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(ax, title, "time since the run began (s)", "calls")


def plot_trials(tuned: Tuned, ax: Axes | None = None) -> Axes:
    """The objective of every trial on a log scale, the best so far, today's settings, and what missed a goal."""
    ax = _prepare(ax)
    trials = tuned.trials
    objective = trials["objective_s"]
    proof = tuned.verification
    kept, missed = objective[trials["feasible"]], objective[~trials["feasible"]]
    best = kept.cummin().reindex(trials.index).ffill()
    ax.axhline(objective.iloc[0], color=INK, linestyle=(0, (5, 2)), label=f"today {objective.iloc[0]:.1f} s")
    ax.plot(kept.index, kept, color=BLUE, marker="o", linestyle="", markersize=6, label="keeps the goals")
    if not missed.empty:
        ax.plot(missed.index, missed, color=RED, marker="x", linestyle="", mew=2, label="misses a goal")
    if not kept.empty:
        ax.step(
            best.index, best, where="post", color=GREEN, linewidth=2, label=f"best so far, at last {kept.min():.1f} s"
        )
    ax.set_yscale("log")
    _plain_ticks(ax.yaxis, objective)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{proof.space['name']} on {proof.scenario['name']}: {len(trials)} trials"
    return _finish(ax, title, "trial", "objective (s): mean makespan and prices")


def plot_sweep(
    frame: pd.DataFrame,
    x: str = "batch_size",
    y: str = "makespan_s",
    hue: str | None = None,
    ax: Axes | None = None,
    *,
    run: int = 1,
) -> Axes:
    """One column of a sweep over one setting, a line for each value of `hue`: mean over the seeds, and their range.

    A makespan comes with the best bound. InputError for a column that is not there, and where a point of
    the picture would mix settings: name the other one as `hue`, or filter the frame.
    """
    points = _select(frame, x, y, hue, run)
    ax = _prepare(ax)
    places = {value: place for place, value in enumerate(sorted(points[x].unique()))}
    for (colour, marker), (value, line) in zip(_cycle(points, hue), _lines(points, hue), strict=True):
        seeds = line.groupby(x)[y]
        at = [places[value] for value in seeds.groups]
        name = f"{hue} {value}" if hue else _WORDS.get(y, y)
        ax.plot(at, seeds.mean(), color=colour, marker=marker, linewidth=2, markersize=7, label=name)
        ax.fill_between(at, seeds.min(), seeds.max(), color=colour, alpha=0.2, linewidth=0)
    if y == "makespan_s" and "best_bound_s" in points:
        bound_s = points["best_bound_s"].min()
        ax.axhline(bound_s, color=GREY, linestyle=(0, (5, 2)), label=f"best bound {bound_s:.1f} s")
    ax.set_xticks(list(places.values()), [str(value) for value in places])
    ax.set_ylim(bottom=0)
    if "share" in _WORDS.get(y, y):
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    seeds_text = f"{points['seed'].nunique()} seeds" if points["seed"].nunique() > 1 else "one seed"
    return _finish(ax, f"run {run}, {seeds_text}", _WORDS.get(x, x), _WORDS.get(y, y))


def plot_before_after(runs: Mapping[str, RunSummary], ax: Axes | None = None) -> Axes:
    """A bar for each way to do the same run: its makespan, its 429s, and the best bound of any settings."""
    ax = _prepare(ax, height=1.2 + 0.6 * len(runs))
    bound_s = min(run.best_bound_s for run in runs.values())
    longest_s = max(run.makespan_s for run in runs.values())
    looks = zip((GREY, SKY, BLUE), ("///", "..", ""), strict=True)
    for place, (run, (colour, hatch)) in enumerate(zip(runs.values(), looks, strict=False)):
        ax.barh(place, run.makespan_s, height=0.6, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        ax.text(
            run.makespan_s + 0.01 * longest_s,
            place,
            f"{run.makespan_s:.1f} s, {run.rate_limit_errors} 429s",
            va="center",
            color=INK,
        )
    ax.axvline(bound_s, color=GREEN, linestyle=(0, (5, 2)), linewidth=2, label=f"best bound {bound_s:.1f} s")
    ax.set_yticks(range(len(runs)), list(runs))
    ax.invert_yaxis()
    ax.set_xlim(0, 1.22 * longest_s)
    return _finish(ax, "", "makespan (s)", "")
