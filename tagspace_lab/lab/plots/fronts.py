"""What a study could not better in one respect without losing in another."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    RED,
    finish,
    is_share,
    mark_plainly,
    mark_values,
    prepare,
    word,
)

__all__ = ["plot_front"]

_MANY_TIMES = 10.0


def plot_front(
    front: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    x: str = "makespan_s",
    y: str = "tokens",
    ax: Axes | None = None,
) -> Axes:
    """The points of a Pareto front by two of the things that they cost, with the knee named, before all trials.

    `front` is that of :attr:`Front.table`, one row a point, measured on fresh seeds: the columns `x` and `y` (the
    less the better) and `knee` (bool, at most one); `batch_size` and `max_ai_concurrency` of the knee are told where
    they are columns. `trials` are those of :attr:`Tuned.trials`, measured on the study's own seeds: `x`, `y`,
    `feasible` (bool, keeps the goals) and `origin` (`today` is drawn apart). A front of three respects is a cloud in
    two of them: only the points that are on the front of these two as well are joined. InputError for a column that
    is missing, and for a front without a point.
    """
    _require(front, "front", x, y, "knee")
    ax = prepare(ax)
    shown = front
    if trials is not None:
        _require(trials, "trials", x, y, "feasible", "origin")
        _draw_trials(ax, trials, x, y)
        shown = pd.concat([front, trials])
    steps = _staircase(front, x, y)
    ax.step(steps[x], steps[y], where="post", color=BLUE, linewidth=1.5, zorder=2)
    _mark(ax, front, x, y, f"on the front: {len(front)}", color=BLUE, marker="o", markersize=7)
    knee = front[front["knee"]]
    star = {"color": ORANGE, "marker": "*", "markersize": 21, "markeredgecolor": INK, "zorder": 1.9}
    _mark(ax, knee, x, y, _name_knee(knee), **star)
    _scale(ax, shown, x, y)
    return finish(ax, _say_knee(front, x, y), word(x), word(y))


def _require(frame: pd.DataFrame, what: str, *names: str) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        raise InputError(f"{what}: there is no column {', '.join(missing)}; columns: {', '.join(frame.columns)}.")
    if frame.empty:
        raise InputError(f"{what}: there is no row to draw.")


def _draw_trials(ax: Axes, trials: pd.DataFrame, x: str, y: str) -> None:
    kept = trials["feasible"]
    _mark(ax, trials[~kept], x, y, "misses a goal", color=RED, marker="x", markeredgewidth=1.5)
    look = {"color": "white", "marker": "o", "markeredgecolor": GREY, "markersize": 5}
    _mark(ax, trials[kept], x, y, "trial that keeps the goals", **look)
    today = trials[trials["origin"] == "today"]
    _mark(ax, today, x, y, "today", color="none", marker="s", markersize=11, markeredgecolor=INK, markeredgewidth=2)


def _mark(ax: Axes, rows: pd.DataFrame, x: str, y: str, label: str, **look: object) -> None:
    if not rows.empty:
        ax.plot(rows[x], rows[y], linestyle="", label=label, **look)  # type: ignore[arg-type]


def _staircase(front: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Those that nothing on the front betters in these two respects, from left to right."""
    ordered = front.sort_values([x, y], kind="stable")
    return ordered[ordered[y] < ordered[y].cummin().shift(fill_value=float("inf"))]


def _scale(ax: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """Logarithmic where the values are many times one another."""
    for name, axis, set_scale in ((x, ax.xaxis, ax.set_xscale), (y, ax.yaxis, ax.set_yscale)):
        mark_values(axis, name)
        if not is_share(name) and 0 < _MANY_TIMES * rows[name].min() < rows[name].max():
            set_scale("log")
            mark_plainly(axis)


def _name_knee(knee: pd.DataFrame) -> str:
    words = {"batch_size": "batch", "max_ai_concurrency": "ceiling"}
    told = [f"{short} {knee[name].iloc[0]}" for name, short in words.items() if name in knee and not knee.empty]
    return f"knee: {', '.join(told)}" if told else "knee"


def _say_knee(front: pd.DataFrame, x: str, y: str) -> str:
    """The knee beside the best of each respect."""
    knee = front[front["knee"]]
    if knee.empty:
        return f"{len(front)} settings that none betters in everything"
    told = (f"{word(name, unit=False)} {_over(name, knee[name].iloc[0], front[name].min())}" for name in (x, y))
    return f"The knee is above the least of the front by: {', '.join(told)}"


def _over(name: str, value: float, least: float) -> str:
    if is_share(name):
        return f"{100 * (value - least):.1f} points"
    return f"{value / least - 1:.0%}" if least > 0 else f"{value - least:.3g}"
