"""One run over its time: what was in flight, what the throttle allowed, and what it met."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots.style import (
    BLUE,
    DASHES,
    GREEN,
    HALO,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    finish,
    mark_plainly,
    prepare,
)
from tagspace_lab.lab.tables import in_flight_series
from tagspace_lab.records import Outcome

if TYPE_CHECKING:
    from tagspace_lab.lab.report import Report, RunSummary

__all__ = ["plot_run", "plot_throttle"]

_DENSE = 300
"""From so many steps on, the edge of an area is drawn thin: it would hide the area."""


def plot_run(report: Report, ax: Axes | None = None, run: int = 1) -> Axes:
    """Calls in flight over the time of one run, beside the window, the refusals, the bound and the makespan.

    The window is what the throttle allowed at each request. Every 429 is a cross on top, at the moment it
    came; other failures are triangles. InputError for a run that the report does not have.
    """
    summary, attempts = _find_run(report, run)
    ax = prepare(ax)
    if attempts.empty:
        _say_idle(ax)
    else:
        _draw_calls(ax, report.concurrency(run), attempts, summary.makespan_s)
        _draw_failures(ax, attempts)
    bound = f"bound {summary.bound_s:.1f} s ({summary.binds})"
    ax.axvline(summary.makespan_s, color=INK, linewidth=1.5, label=f"makespan {summary.makespan_s:.1f} s")
    ax.axvline(summary.bound_s, color=GREEN, linestyle=DASHES, linewidth=2.5, label=bound)
    ax.set_xlim(0, 1.02 * max(summary.makespan_s, summary.bound_s) or 1)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{report.source.name} on {report.scenario['name']}, run {run}: efficiency {summary.efficiency:.0%}"
    return finish(ax, title, "time since the run began (s)", "calls")


def plot_throttle(report: Report, ax: Axes | None = None, run: int = 1) -> Axes:
    """What the throttle of the primary provider did over the time of one run, and what it met.

    Left axis: calls in flight, the window, the calls that waited in the queue, and every 429 as a cross on top.
    Right axis, logarithmic: the pace for calls like the last one, where there was a pace. Window and pace are those
    at each start, and the queue is what stood behind it. Calls at the fallback provider are a dotted line, and other
    failures triangles.
    InputError for a run that the report does not have.
    """
    summary, attempts = _find_run(report, run)
    ax = prepare(ax)
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
    refused = (calls["outcome"] == str(Outcome.RATE_LIMITED)).sum()
    place = f"{report.source.name} on {report.scenario['name']}, run {run}"
    title = f"{place}: {report.settings.throttle} meets {refused} 429s in {len(calls)} requests"
    return finish(ax, title, "time since the run began (s)", "calls", right)


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
        path_effects=HALO,
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
                clip_on=False,  # one may come with the run's first moment
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
    right.step(times, pace, where="post", color=GREEN, linewidth=2.2, label="pace (right axis)", path_effects=HALO)
    right.set_yscale("log")
    right.set_ylim(0.7 * attempts["pace_per_s"].min(), 1.5 * attempts["pace_per_s"].max())
    mark_plainly(right.yaxis)
    right.set_ylabel("pace (calls/s)")
    right.spines[["top", "left"]].set_visible(False)
    return right


def _find_run(report: Report, run: int) -> tuple[RunSummary, pd.DataFrame]:
    if not 1 <= run <= len(report.runs):
        raise InputError(f"run is {run}: the report has runs 1 to {len(report.runs)}.")
    return report.runs[run - 1], report.attempts.query("run == @run")


def _say_idle(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no calls were needed", ha="center", transform=ax.transAxes, color=INK)


def _in_flight(report: Report, run: int, provider: str) -> pd.Series:
    return in_flight_series([one for one in report.results[run - 1].attempts if one.provider == provider])
