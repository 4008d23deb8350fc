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

_MUST_HAVE = ("is_on_front", "is_knee")
_MANY_TIMES = 10.0


def plot_front(trials: pd.DataFrame, x: str = "makespan_s", y: str = "tokens", ax: Axes | None = None) -> Axes:
    """All trials of a study by two of the things that they cost; those on the front are joined, and the knee is named.

    `trials` has one row a trial and the columns of :attr:`Tuned.trials`, of which these are looked at: `x`, `y`
    (the less the better), `feasible` (bool, keeps the goals), `origin` (`today` is drawn apart), and beside them
    `is_on_front` (bool: no trial is better in one respect and no worse in the others) and `is_knee` (bool, at
    most one). A front of three respects is a cloud in two of them: only the trials that are on the front of these
    two as well are joined. The settings `batch_size` and `max_ai_concurrency` of the knee are told where they are
    columns. InputError for a column that is missing.
    """
    missing = [name for name in (x, y, "feasible", *_MUST_HAVE) if name not in trials]
    if missing:
        raise InputError(f"the trials have no column {', '.join(missing)}; a study with a Pareto front has.")
    ax = prepare(ax)
    kept, front = trials["feasible"], trials["is_on_front"]
    _mark(ax, trials[~kept & ~front], x, y, "misses a goal", color=RED, marker="x", markeredgewidth=1.5)
    others = trials[kept & ~front]
    _mark(ax, others, x, y, "another is better", color="white", marker="o", markeredgecolor=GREY, markersize=5)
    steps = _staircase(trials[front], x, y)
    ax.step(steps[x], steps[y], where="post", color=BLUE, linewidth=1.5, zorder=2)
    _mark(ax, trials[front], x, y, f"on the front: {front.sum()}", color=BLUE, marker="o", markersize=7)
    if "origin" in trials:
        today = trials[trials["origin"] == "today"]
        _mark(ax, today, x, y, "today", color="none", marker="s", markersize=11, markeredgecolor=INK, markeredgewidth=2)
    knee = trials[trials["is_knee"]]
    star = {"color": ORANGE, "marker": "*", "markersize": 21, "markeredgecolor": INK, "zorder": 1.9}
    _mark(ax, knee, x, y, _name_knee(knee), **star)
    _scale(ax, trials, x, y)
    return finish(ax, _say_knee(knee, trials, x, y), word(x), word(y))


def _mark(ax: Axes, rows: pd.DataFrame, x: str, y: str, label: str, **look: object) -> None:
    if not rows.empty:
        ax.plot(rows[x], rows[y], linestyle="", label=label, **look)  # type: ignore[arg-type]


def _staircase(front: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Those that nothing on the front betters in these two respects, from left to right."""
    ordered = front.sort_values([x, y], kind="stable")
    return ordered[ordered[y] < ordered[y].cummin().shift(fill_value=float("inf"))]


def _scale(ax: Axes, trials: pd.DataFrame, x: str, y: str) -> None:
    """Logarithmic where the values are many times one another."""
    for name, axis, set_scale in ((x, ax.xaxis, ax.set_xscale), (y, ax.yaxis, ax.set_yscale)):
        mark_values(axis, name)
        if not is_share(name) and 0 < _MANY_TIMES * trials[name].min() < trials[name].max():
            set_scale("log")
            mark_plainly(axis)


def _name_knee(knee: pd.DataFrame) -> str:
    words = {"batch_size": "batch", "max_ai_concurrency": "ceiling"}
    told = [f"{short} {knee[name].iloc[0]}" for name, short in words.items() if name in knee and not knee.empty]
    return f"knee: {', '.join(told)}" if told else "knee"


def _say_knee(knee: pd.DataFrame, trials: pd.DataFrame, x: str, y: str) -> str:
    """The knee beside the best of each respect."""
    if knee.empty:
        return f"{len(trials)} trials, {trials['is_on_front'].sum()} of them on the front"
    front = trials[trials["is_on_front"]]
    told = (f"{word(name, unit=False)} {_over(name, knee[name].iloc[0], front[name].min())}" for name in (x, y))
    return f"The knee is above the least of the front by: {', '.join(told)}"


def _over(name: str, value: float, least: float) -> str:
    if is_share(name):
        return f"{100 * (value - least):.1f} points"
    return f"{value / least - 1:.0%}" if least > 0 else f"{value - least:.3g}"
