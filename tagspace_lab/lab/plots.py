"""Pictures of replays and studies. The only home of matplotlib.

Every function draws into an Axes and returns it. Without one it opens a figure, which is the caller's
from then on: nothing is shown, saved or closed here, and matplotlib's own settings stay as they are.
The data area is white and the ink around it suits the figure's face, so that a picture reads as well in
print as in a dark notebook. No fact is told by colour alone; the colours are those of Okabe and Ito
(jfly.uni-koeln.de/color), which the colour-blind can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from tagspace_lab.errors import InputError
from tagspace_lab.lab.tables import in_flight_series
from tagspace_lab.records import Outcome

if TYPE_CHECKING:
    from tagspace_lab.lab.report import Report, RunSummary
    from tagspace_lab.lab.tuned import Tuned

__all__ = ["plot_before_after", "plot_run", "plot_sweep", "plot_throttle", "plot_trials"]

INK, GREY = "#222222", "#767676"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
_DASHES = (0, (5, 2))
_HALO = [Stroke(linewidth=3.5, foreground="white"), Normal()]
_DENSE = 300
"""From so many steps on, the edge of an area is drawn thin: it would hide the area."""
_LOOKS = tuple(zip((BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK), "osD^vPX", strict=True))
_BARS = ((GREY, "///"), (SKY, ".."), (BLUE, ""))

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
    summary, attempts = _find_run(report, run)
    ax = _prepare(ax)
    if attempts.empty:
        _say_idle(ax)
    else:
        _draw_calls(ax, report.concurrency(run), attempts, summary.makespan_s)
        _draw_failures(ax, attempts)
    bound = f"bound {summary.bound_s:.1f} s ({summary.binds})"
    ax.axvline(summary.makespan_s, color=INK, linewidth=1.5, label=f"makespan {summary.makespan_s:.1f} s")
    ax.axvline(summary.bound_s, color=GREEN, linestyle=_DASHES, linewidth=2.5, label=bound)
    ax.set_xlim(0, 1.02 * max(summary.makespan_s, summary.bound_s) or 1)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{report.source.name} on {report.scenario['name']}, run {run}: efficiency {summary.efficiency:.0%}"
    return _finish(ax, title, "time since the run began (s)", "calls")


def plot_throttle(report: Report, ax: Axes | None = None, run: int = 1) -> Axes:
    """What the throttle of the primary provider did over the time of one run, and what it met.

    Left axis: calls in flight, the window, the calls that waited in the queue, and every 429 as a cross on top.
    Right axis, logarithmic: the pace for calls like the last one, where there was a pace. Window and pace are those
    at each start, and the queue is what stood behind it. Calls at the fallback provider are a dotted line, and other
    failures triangles.
    InputError for a run that the report does not have.
    """
    summary, attempts = _find_run(report, run)
    ax = _prepare(ax)
    calls = attempts[attempts["provider"] == "primary"]
    if attempts.empty:
        _say_idle(ax)
    else:
        in_flight = _in_flight(report, run, "primary")
        _draw_calls(ax, in_flight, calls, summary.makespan_s, width=1.5 if len(in_flight) < _DENSE else 0.3)
        _draw_queue(ax, calls, summary.makespan_s)
        _draw_fallback(ax, _in_flight(report, run, "fallback"), summary.makespan_s)
        _draw_failures(ax, calls)
    ax.set_xlim(0, 1.02 * summary.makespan_s or 1)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    right = _draw_pace(ax, calls, summary.makespan_s)
    name, limiter = report.scenario["name"], report.settings.throttle
    title = f"{report.source.name} on {name}, run {run}: throttle {limiter}, makespan {summary.makespan_s:.1f} s"
    return _finish(ax, title, "time since the run began (s)", "calls", right)


def plot_trials(tuned: Tuned, ax: Axes | None = None) -> Axes:
    """The objective of every trial on a log scale, the best so far, today's settings, and what missed a goal."""
    ax = _prepare(ax)
    trials, proof = tuned.trials, tuned.verification
    objective_s = trials["objective_s"]
    kept, missed = objective_s[trials["feasible"]], objective_s[~trials["feasible"]]
    today_s = objective_s.iloc[0]
    ax.axhline(today_s, color=INK, linestyle=_DASHES, zorder=2.5, label=f"today {today_s:.1f} s")
    if not kept.empty:
        best = kept.cummin().reindex(trials.index).ffill()
        ax.step(best.index, best, where="post", color=GREEN, linewidth=2, label=f"best so far, last {kept.min():.1f} s")
        ax.plot(kept.index, kept, color=BLUE, marker="o", linestyle="", label="keeps the goals")
    if not missed.empty:
        ax.plot(missed.index, missed, color=RED, marker="x", markeredgewidth=2, linestyle="", label="misses a goal")
    ax.set_yscale("log")
    _mark_plainly(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{proof.space['name']} on {proof.scenario['name']}: {len(trials)} trials"
    return _finish(ax, title, "trial", "objective (s)")


def plot_sweep(
    frame: pd.DataFrame,
    x: str = "batch_size",
    y: str = "makespan_s",
    hue: str | None = None,
    ax: Axes | None = None,
    *,
    run: int = 1,
) -> Axes:
    """One column of a sweep over one setting, a line for each value of `hue`: the mean of the seeds and their range.

    A makespan comes with the best bound. InputError for a column or run that is not there, and where a
    point would mix settings: name the other one as `hue`, or filter the frame.
    """
    rows = _select(frame, x, y, hue, run)
    ax = _prepare(ax)
    places = {value: place for place, value in enumerate(sorted(rows[x].unique()))}
    lines = [(f"{hue} = {value}", line) for value, line in rows.groupby(hue)] if hue else [(_word(y), rows)]
    for number, ((name, line), (colour, marker)) in enumerate(zip(lines, cycle(_LOOKS), strict=False)):
        shift = 0.06 * (number - (len(lines) - 1) / 2)  # so that equal points stay apart
        seeds = line.groupby(x)[y].agg(["mean", "min", "max"])
        at = [places[value] + shift for value in seeds.index]
        ranges = [seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]]
        ax.errorbar(at, seeds["mean"], ranges, color=colour, marker=marker, capsize=3, elinewidth=1, label=name)
    if y == "makespan_s":
        _draw_best_bound(ax.axhline, rows["best_bound_s"].min())
    ax.set_xticks(list(places.values()), [str(value) for value in places])
    ax.set_ylim(bottom=0)
    seeds_seen = rows["seed"].nunique()
    title = f"{_word(y).split(' (')[0]} of run {run}, {seeds_seen} {'seeds' if seeds_seen > 1 else 'seed'}"
    return _finish(ax, title, _word(x), _word(y))


def plot_before_after(runs: Mapping[str, RunSummary], ax: Axes | None = None) -> Axes:
    """A bar for each way to do the same run: its makespan, its calls and 429s, and the best bound of any settings."""
    ax = _prepare(ax, height=1.3 + 0.55 * len(runs))
    longest_s = max(run.makespan_s for run in runs.values())
    for place, (run, (colour, hatch)) in enumerate(zip(runs.values(), cycle(_BARS), strict=False)):
        ax.barh(place, run.makespan_s, height=0.62, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        told = f"{run.makespan_s:.1f} s · {run.calls} calls · {run.rate_limit_errors} 429s"
        told += f" · {run.fallbacks} fallbacks" if run.fallbacks else ""
        ax.text(run.makespan_s + 0.012 * longest_s, place, told, va="center", color=INK)
    _draw_best_bound(ax.axvline, min(run.best_bound_s for run in runs.values()))
    ax.set_yticks(range(len(runs)), list(runs))
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlim(0, 1.55 * longest_s)
    return _finish(ax, "", "makespan (s)", "")


def _draw_calls(ax: Axes, in_flight: pd.Series, attempts: pd.DataFrame, makespan_s: float, width: float = 1.5) -> None:
    """Two staircases from 0 to the makespan."""
    calls = pd.concat([pd.Series({0.0: 0}), in_flight, pd.Series({makespan_s: 0})])
    ax.fill_between(calls.index, calls, step="post", color=SKY, alpha=0.45, linewidth=0)
    ax.step(calls.index, calls, where="post", color=BLUE, linewidth=width, label="calls in flight")
    times = [0.0, *attempts["started_s"], makespan_s]
    window = [attempts["window"].iloc[0], *attempts["window"], attempts["window"].iloc[-1]]
    ax.step(
        times, window, where="post", color=ORANGE, linestyle=(0, (2, 1)), linewidth=2, label="window of the throttle"
    )


def _draw_queue(ax: Axes, attempts: pd.DataFrame, makespan_s: float) -> None:
    ax.step(
        [0.0, *attempts["started_s"], makespan_s],
        [0, *attempts["queued"], 0],
        where="post",
        color=INK,
        linewidth=1,
        label="calls in the queue",
        path_effects=_HALO,
    )


def _draw_failures(ax: Axes, attempts: pd.DataFrame) -> None:
    """Marks in a row of their own above everything else, at the moments when the refusals and failures came."""
    fine = [str(Outcome.OK), str(Outcome.CANCELLED), str(Outcome.RATE_LIMITED)]
    refused = attempts["outcome"] == str(Outcome.RATE_LIMITED)
    rows = (("429s", "x", RED, refused), ("other failures", "v", PURPLE, ~attempts["outcome"].isin(fine)))
    top = 1.08 * max(ax.dataLim.y1, attempts["window"].max(), attempts["in_flight"].max())
    for name, marker, colour, chosen in rows:
        times = attempts.loc[chosen, "ended_s"]
        if not times.empty:
            ax.plot(
                times,
                [top] * len(times),
                color=colour,
                marker=marker,
                markeredgewidth=1.5,
                linestyle="",
                label=f"{name}: {len(times)}",
            )


def _draw_fallback(ax: Axes, in_flight: pd.Series, makespan_s: float) -> None:
    if not in_flight.empty:
        calls = pd.concat([pd.Series({0.0: 0}), in_flight, pd.Series({makespan_s: 0})])
        ax.step(calls.index, calls, where="post", color=PURPLE, linestyle=":", linewidth=1.5, label="at the fallback")


def _draw_pace(ax: Axes, attempts: pd.DataFrame, makespan_s: float) -> Axes | None:
    """An axis of its own on the right, for a pace can be any number; None where nothing paced."""
    if attempts["pace_per_s"].isna().all():
        return None
    right = ax.twinx()
    times = [*attempts["started_s"], makespan_s]
    pace = [*attempts["pace_per_s"], attempts["pace_per_s"].iloc[-1]]
    right.step(times, pace, where="post", color=GREEN, linewidth=2.2, label="pace (right axis)", path_effects=_HALO)
    right.set_yscale("log")
    right.set_ylim(0.7 * attempts["pace_per_s"].min(), 1.5 * attempts["pace_per_s"].max())
    _mark_plainly(right)
    right.set_ylabel("pace (calls/s)")
    right.spines[["top", "left"]].set_visible(False)
    return right


def _draw_best_bound(draw: Callable[..., object], bound_s: float) -> None:
    draw(bound_s, color=GREEN, linestyle=_DASHES, linewidth=2.5, label=f"best bound {bound_s:.1f} s")


def _mark_plainly(ax: Axes) -> None:
    """1, 2, 5, 10 ... on a log scale, as people write them."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _find_run(report: Report, run: int) -> tuple[RunSummary, pd.DataFrame]:
    if not 1 <= run <= len(report.runs):
        raise InputError(f"run is {run}: the report has runs 1 to {len(report.runs)}.")
    return report.runs[run - 1], report.attempts.query("run == @run")


def _say_idle(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no calls were needed", ha="center", transform=ax.transAxes, color=INK)


def _in_flight(report: Report, run: int, provider: str) -> pd.Series:
    return in_flight_series([one for one in report.results[run - 1].attempts if one.provider == provider])


def _select(frame: pd.DataFrame, x: str, y: str, hue: str | None, run: int) -> pd.DataFrame:
    """The rows of one run, one for each point and seed."""
    for name in filter(None, (x, y, hue)):
        if name not in frame:
            raise InputError(f"there is no column {name!r}; choose from: {', '.join(frame.columns)}.")
    rows = frame[frame["run"] == run]
    if rows.empty:
        raise InputError(f"run is {run}: the sweep has runs {', '.join(map(str, sorted(frame['run'].unique())))}.")
    point = list(dict.fromkeys(name for name in (x, hue, "seed") if name))
    if rows.duplicated(point).any():
        raise InputError(f"{' and '.join(point)} do not tell the rows apart: name another setting as hue, or filter.")
    return rows


def _prepare(ax: Axes | None, height: float = 4.0) -> Axes:
    """A white data area with a light grid and two spines."""
    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, height), layout="constrained", facecolor="white")
    ax.set_facecolor("white")
    ax.grid(visible=True, color="#d9d9d9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _finish(ax: Axes, title: str, xlabel: str, ylabel: str, right: Axes | None = None) -> Axes:
    """Words and a legend below the data, in an ink that can be read on the figure's face."""
    red, green, blue, _ = to_rgba(ax.figure.get_facecolor())
    ink = INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
    ax.set_title(title, loc="left", color=ink)
    ax.set_xlabel(xlabel, color=ink)
    ax.set_ylabel(ylabel, color=ink)
    ax.tick_params(which="both", colors=ink)
    ax.spines[:].set_color(ink)
    handles = ax.get_legend_handles_labels()[0]
    if right is not None:
        right.yaxis.label.set_color(ink)
        right.tick_params(which="both", colors=ink)
        right.spines[:].set_color(ink)
        handles += right.get_legend_handles_labels()[0]
    legend = ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -0.6 / ax.bbox.height * ax.figure.dpi),
        ncols=3,
        borderaxespad=0,
        facecolor="white",
        edgecolor="white",
        framealpha=1,
        labelcolor=INK,
        handlelength=2.5,
    )
    for line in legend.get_lines():
        line.set_linewidth(max(1.0, line.get_linewidth()))
    return ax


def _word(column: str) -> str:
    return _WORDS.get(column, column)
