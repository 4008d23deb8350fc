"""What a cache hits of what can be hit, day after day."""

from __future__ import annotations

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tagspace_lab.lab.plots.style import INK, LOOKS, finish, prepare

__all__ = ["plot_hits"]

_PALE, _BROAD = 0.25, 9


def plot_hits(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The hit rate of every day's run, a line for each cache size, and broad and pale behind it the best possible.

    `frame` is that of `lab.caches.hits_by_day`: one row a cache size and day, with the columns `day` (int, the first
    run is day 0), `cache_size` (int, entries), `hit_rate` and `best_hit_rate` (float64, share of look-ups; the best
    is Belady's, who knows the future and gains most over all days together, if not on each).
    """
    ax = prepare(ax)
    for (size, rows), (colour, marker) in zip(frame.groupby("cache_size"), cycle(LOOKS), strict=False):
        ordered = rows.sort_values("day")
        ax.plot(ordered["day"], ordered["best_hit_rate"], color=colour, alpha=_PALE, linewidth=_BROAD)
        ax.plot(ordered["day"], ordered["hit_rate"], color=colour, marker=marker, markersize=5, label=f"{size} entries")
    ax.plot([], [], color=INK, alpha=_PALE, linewidth=_BROAD, label="Belady, the best possible")
    ax.set_ylim(-0.02, 1.02)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return finish(ax, _say_share(frame), "day of the run", "cache hits (% of look-ups)")


def _say_share(frame: pd.DataFrame) -> str:
    """Hits over all days: of what could be hit, at the size that does worst; and the size from which all is hit."""
    sums = frame.groupby("cache_size")[["hit_rate", "best_hit_rate"]].sum()
    shares = (sums["hit_rate"] / sums["best_hit_rate"]).fillna(1.0)
    worst = shares.idxmin()
    last = frame[frame["day"] == frame["day"].max()].set_index("cache_size")["hit_rate"]
    enough = last[last >= 0.99 * last.max()].sort_index().head(1)
    told = f"{enough.index[0]} entries hit {enough.iloc[0]:.0%} on the last day"
    return f"{told}; {worst} entries hit {shares.min():.0%} of the possible"
