"""A sweep of two settings as a map, with the trials of a study on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from tagspace_lab.lab.plots.style import INK, finish, is_share, mark_plainly, mark_values, paint, prepare, word
from tagspace_lab.lab.plots.sweeps import say_best, select_rows

__all__ = ["plot_map"]

_COLOURS = "cividis_r"
"""Made for the colour-blind, and as even in grey; reversed: the lighter, the less."""


def plot_map(
    frame: pd.DataFrame,
    x: str = "max_ai_concurrency",
    y: str = "batch_size",
    value: str = "makespan_s",
    trials: pd.DataFrame | None = None,
    ax: Axes | None = None,
    *,
    run: int = 1,
) -> Axes:
    """One column of a sweep over two settings: a field for each pair, the lighter the less.

    `frame` is a sweep's: one row a pair, seed and run; a field stands for the mean of the seeds, which is written
    into it where there are no trials. `trials` has the columns `x` and `y`, one row a trial, as `Tuned.trials` has:
    a dot each, between the fields where it was tried between their values; those beyond the map are left out and
    counted. InputError as in plot_sweep.
    """
    rows = select_rows(frame, [x, y], value, run, "filter the frame")
    table = rows.pivot_table(index=y, columns=x, values=value, aggfunc="mean")
    ax = prepare(ax, height_in=4.6)
    ax.grid(visible=False)
    norm = _norm(table, value)
    shown = ax.pcolormesh(table.to_numpy("float64"), cmap=_COLOURS, norm=norm, edgecolors="white")
    ax.set_xticks(np.arange(len(table.columns)) + 0.5, [str(name) for name in table.columns])
    ax.set_yticks(np.arange(len(table.index)) + 0.5, [str(name) for name in table.index])
    ax.tick_params(length=0)
    if trials is None:
        _write_numbers(ax, table, value, norm)
    else:
        _draw_trials(ax, table, trials)
    bar = ax.figure.colorbar(shown, ax=ax, label=word(value), pad=0.02)
    bar.outline.set_visible(False)
    if isinstance(norm, LogNorm):
        mark_plainly(bar.ax.yaxis)
    else:
        mark_values(bar.ax.yaxis, value)
    paint(bar.ax)
    return finish(ax, f"Run {run}: {say_best(rows, [x, y], value)}", word(x), word(y))


def _norm(table: pd.DataFrame, value: str) -> Normalize:
    """Shares from 0 on; times by their ratio."""
    numbers = table.to_numpy("float64")
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if value.endswith("_s") and low > 0:
        return LogNorm(low, high if high > low else 1.1 * low)
    return Normalize(min(0.0, low), high if high > min(0.0, low) else 1.0)


def _write_numbers(ax: Axes, table: pd.DataFrame, value: str, norm: Normalize) -> None:
    for row, numbers in enumerate(table.to_numpy("float64")):
        for column, number in enumerate(numbers):
            if np.isfinite(number):
                written = f"{number:.1%}" if is_share(value) else f"{number:.3g}"
                colour = "white" if float(norm(float(number))) > 0.5 else INK
                ax.text(column + 0.5, row + 0.5, written, ha="center", va="center", color=colour, fontsize=9)


def _draw_trials(ax: Axes, table: pd.DataFrame, trials: pd.DataFrame) -> None:
    across, up = (_place(trials[axis.name], axis) for axis in (table.columns, table.index))
    inside = ~(np.isnan(across) | np.isnan(up))
    beyond = f", {(~inside).sum()} more beyond the map" if (~inside).any() else ""
    ax.plot(
        across[inside],
        up[inside],
        color=INK,
        marker="o",
        markersize=6.5,
        markeredgecolor="white",
        linestyle="",
        clip_on=False,
        label=f"trials of the study: {inside.sum()}{beyond}",
    )


def _place(values: Sequence[float] | pd.Series, axis: pd.Index) -> np.ndarray:
    """Middles of fields are 0.5, 1.5 ...; values between two of the axis lie between, by their ratio; NaN beyond."""
    known = axis.to_numpy("float64")
    wanted = np.asarray(values, "float64")
    placed: np.ndarray = np.interp(np.log(wanted), np.log(known), np.arange(len(known)) + 0.5)
    placed[(wanted < known[0]) | (wanted > known[-1])] = np.nan
    return placed
