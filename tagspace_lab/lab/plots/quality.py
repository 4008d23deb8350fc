"""What a larger batch costs in quality, and where in the batch it is lost."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from tagspace_lab.lab.plots.style import BLUE, GREEN, INK, RED, finish, prepare, word

__all__ = ["plot_quality"]

_LOOKS = {"front": (BLUE, "^"), "middle": (INK, "o"), "end": (RED, "v")}


def plot_quality(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The share of pages that are answered rightly over the batch size, a line for each third of the batch.

    `frame` is that of `lab.places.quality_by_place`: one row a batch size and place, with the columns `batch_size`
    (int), `place` (`front`, `middle`, `end`: thirds of the batch in the order of the prompt; a single page stands in
    the middle), `right_share` (float64, 0 to 1), `low` and `high` (its 95 % interval) and `pages` (int).
    """
    ax = prepare(ax)
    sizes = sorted(frame["batch_size"].unique())
    for number, (place, (colour, marker)) in enumerate(_LOOKS.items()):
        rows = frame[frame["place"] == place].sort_values("batch_size")
        at = [sizes.index(size) + 0.07 * (number - 1) for size in rows["batch_size"]]
        ends = [rows["right_share"] - rows["low"], rows["high"] - rows["right_share"]]
        ax.errorbar(at, rows["right_share"], ends, color=colour, marker=marker, capsize=3, elinewidth=1, label=place)
    mean = _mean(frame)
    ax.plot(range(len(sizes)), mean, color=GREEN, linestyle=(0, (5, 2)), linewidth=2, label="all pages")
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    lost = mean.iloc[0] - mean.iloc[-1]
    title = f"{sizes[-1]} pages a call lose {100 * lost:.1f} points against {sizes[0]}{_say_end(frame, sizes[-1])}"
    return finish(ax, title, word("batch_size"), "pages answered rightly (%)")


def _mean(frame: pd.DataFrame) -> pd.Series:
    """Of all pages, by batch size."""
    right = (frame["right_share"] * frame["pages"]).groupby(frame["batch_size"]).sum()
    return right / frame.groupby("batch_size")["pages"].sum()


def _say_end(frame: pd.DataFrame, size: int) -> str:
    shares = frame[frame["batch_size"] == size].set_index("place")["right_share"]
    return (
        f", the end of the batch {100 * (shares['front'] - shares['end']):.1f} more than its front"
        if "end" in shares
        else ""
    )
