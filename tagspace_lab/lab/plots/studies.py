"""How a study went, and what mattered in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots.style import BLUE, DASHES, GREEN, INK, RED, finish, mark_plainly, prepare, word

if TYPE_CHECKING:
    from tagspace_lab.lab.tuned import Tuned

__all__ = ["plot_importance", "plot_trials"]


def plot_trials(tuned: Tuned, ax: Axes | None = None) -> Axes:
    """The objective of every trial on a log scale, the best so far, today's settings, and what missed a goal."""
    ax = prepare(ax)
    trials, proof = tuned.trials, tuned.verification
    objective_s = trials["objective_s"]
    kept, missed = objective_s[trials["feasible"]], objective_s[~trials["feasible"]]
    today_s = objective_s.iloc[0]
    ax.axhline(today_s, color=INK, linestyle=DASHES, zorder=2.5, label=f"today {today_s:.1f} s")
    if not kept.empty:
        best = kept.cummin().reindex(trials.index).ffill()
        ax.step(best.index, best, where="post", color=GREEN, linewidth=2, label=f"best so far, last {kept.min():.1f} s")
        ax.plot(kept.index, kept, color=BLUE, marker="o", linestyle="", label="keeps the goals")
    if not missed.empty:
        ax.plot(missed.index, missed, color=RED, marker="x", markeredgewidth=2, linestyle="", label="misses a goal")
    ax.set_yscale("log")
    mark_plainly(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{proof.space['name']} on {proof.scenario['name']}: {_say_best(kept, len(trials))}"
    return finish(ax, title, "trial", "objective (s)")


def plot_importance(
    importance: Mapping[str, float] | pd.Series, ax: Axes | None = None, *, of: str = "makespan"
) -> Axes:
    """How much of the differences between trials each setting explains: a bar each, the largest on top.

    `importance`: setting -> share, 0 to 1, as :func:`tagspace_lab.weigh_settings` gives it; the
    shares need not add up to 1. `of` is what they explain. InputError where there is none.
    """
    shares = pd.Series(importance, dtype="float64").sort_values(ascending=False, kind="stable")
    if shares.empty:
        raise InputError("there is no importance to show: give a share for each setting.")
    ax = prepare(ax, height_in=1.3 + 0.45 * len(shares))
    ax.barh(range(len(shares)), shares, height=0.62, color=BLUE)
    for place, share in enumerate(shares):
        ax.text(share + 0.012 * shares.max(), place, f"{share:.0%}", va="center", color=INK)
    names = [word(str(name), unit=False) for name in shares.index]
    ax.set_yticks(range(len(shares)), names)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlim(0, 1.12 * shares.max() or 1.0)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    first = f"{names[0][:1].upper()}{names[0][1:]} matters most"
    title = f"{first}: it explains {shares.iloc[0]:.0%} of the differences in {of}"
    return finish(ax, title, f"share of the differences in {of} (%)", "")


def _say_best(kept: pd.Series, trials: int) -> str:
    if kept.empty:
        return f"none of {trials} trials keeps the goals"
    return f"{kept.min():.1f} s at best, in trial {kept.idxmin()} of {trials}"
