"""One column of a sweep over one setting."""

from __future__ import annotations

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots.style import LOOKS, draw_best_bound, finish, is_share, mark_values, prepare, word

__all__ = ["plot_sweep", "say_best", "select_rows"]

_LOWER_IS_BETTER = ("makespan_s", "rate_limit_share", "rate_limit_errors", "errors", "input_tokens", "output_tokens")


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
    rows = select_rows(frame, [x, *([hue] if hue else [])], y, run, "name another setting as hue, or filter")
    ax = prepare(ax)
    places = {value: place for place, value in enumerate(sorted(rows[x].unique()))}
    lines = [(f"{hue} = {value}", line) for value, line in rows.groupby(hue)] if hue else [(word(y), rows)]
    for number, ((name, line), (colour, marker)) in enumerate(zip(lines, cycle(LOOKS), strict=False)):
        shift = 0.06 * (number - (len(lines) - 1) / 2)  # so that equal points stay apart
        seeds = line.groupby(x)[y].agg(["mean", "min", "max"])
        at = [places[value] + shift for value in seeds.index]
        ranges = [seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]]
        ax.errorbar(at, seeds["mean"], ranges, color=colour, marker=marker, capsize=3, elinewidth=1, label=name)
    if y == "makespan_s":
        draw_best_bound(ax.axhline, rows["best_bound_s"].min())
    ax.set_xticks(list(places.values()), [str(value) for value in places])
    ax.set_ylim(bottom=0)
    mark_values(ax.yaxis, y)
    seeds_seen = rows["seed"].nunique()
    found = say_best(rows, list(dict.fromkeys([x, *([hue] if hue else [])])), y)
    return finish(ax, f"Run {run}, {seeds_seen} {'seeds' if seeds_seen > 1 else 'seed'}: {found}", word(x), word(y))


def select_rows(frame: pd.DataFrame, settings: list[str], value: str, run: int, cure: str) -> pd.DataFrame:
    """The rows of one run, one for each point of `settings` and seed; InputError where there are more, or none."""
    for name in (*settings, value):
        if name not in frame:
            raise InputError(f"there is no column {name!r}; choose from: {', '.join(frame.columns)}.")
    rows = frame[frame["run"] == run]
    if rows.empty:
        raise InputError(f"run is {run}: the sweep has runs {', '.join(map(str, sorted(frame['run'].unique())))}.")
    point = list(dict.fromkeys([*settings, "seed"]))
    if rows.duplicated(point).any():
        raise InputError(f"{' and '.join(point)} do not tell the rows apart: {cure}.")
    return rows


def say_best(rows: pd.DataFrame, settings: list[str], value: str) -> str:
    """`makespan 3.2 s at best, with batch_size 15, ai_concurrency 30`, of the means of the seeds."""
    means = rows.groupby(settings)[value].mean()
    reached = means.min() if value in _LOWER_IS_BETTER else means.max()
    best = means.index[means == reached]
    values = best[0] if isinstance(best[0], tuple) else (best[0],)
    where = "with " + ", ".join(f"{name} {each}" for name, each in zip(settings, values, strict=True))
    if len(best) > 1:
        where = f"in {len(best)} of {len(means)} combinations"
    told = f"{reached:.1%}" if is_share(value) else f"{reached:.3g}{' s' if value.endswith('_s') else ''}"
    return f"{word(value, unit=False)} {told} at best, {where}"
