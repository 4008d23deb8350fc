"""One look for every picture: it reads in print, in a dark notebook, and by the colour-blind.

A figure that is opened here has a white ground of its own, which a dark page leaves as it is. On a figure of
the caller's the data area is white and the ink around it suits the figure's face. The colours are those of
Okabe and Ito (jfly.uni-koeln.de/color), which the colour-blind can tell apart, and each goes with a mark, a
dash or a hatch of its own, so that a picture copied in grey still says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

__all__ = [
    "BLUE",
    "DASHES",
    "GREEN",
    "GREY",
    "HALO",
    "INK",
    "LOOKS",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "draw_best_bound",
    "finish",
    "is_share",
    "mark_plainly",
    "mark_values",
    "paint",
    "pick_ink",
    "prepare",
    "word",
]

INK, GREY = "#222222", "#767676"
"""GREY reads on white and on black alike: 4.5 to 1 on either."""
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
LOOKS = tuple(zip((BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK), "osD^vPX", strict=True))
"""Colour and mark of the first, the second ... of several lines."""
DASHES = (0, (5, 2))
HALO = [Stroke(linewidth=3.5, foreground="white"), Normal()]
"""Keeps a line apart from what it crosses."""

_WIDTH_IN = 7.5
_LEGEND_BELOW_IN = 0.6
"""Room for the labels of the x axis."""
_CHARS_PER_IN, _HANDLE_CHARS = 17.0, 11  # of a legend, by the width that an Axes has before it is laid out
_DECADE = 10.0
_WORDS = {
    "makespan_s": "makespan (s)",
    "objective_s": "objective (s)",
    "bound_s": "lower bound (s)",
    "best_bound_s": "best bound (s)",
    "efficiency": "efficiency (bound / makespan)",
    "best_efficiency": "efficiency (best bound / makespan)",
    "pages_per_s": "pages per second",
    "rate_limit_share": "429s (% of requests)",
    "rate_limit_errors": "429s",
    "tokens": "tokens of a run",
    "hit_rate": "cache hits (% of look-ups)",
    "f1": "micro-F1",
    "f1_loss": "micro-F1 lost against batch size 1",
    "ai_concurrency": "concurrency at the start (calls)",
    "max_ai_concurrency": "concurrency at most (calls)",
    "batch_size": "batch size (pages a call)",
    "cache_enabled": "cache on or off",
    "cache_size": "cache size (entries)",
    "settled_concurrency": "settled concurrency (calls)",
}


def word(column: str, *, unit: bool = True) -> str:
    """A column's name for an axis, with its unit, or without."""
    worded = _WORDS.get(column, column)
    return worded if unit else worded.split(" (")[0]


def prepare(ax: Axes | None, height_in: float = 4.0) -> Axes:
    """A white data area with a light grid and two spines; the figure is opened where no Axes was given."""
    if ax is None:
        _, ax = plt.subplots(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor="white")
    ax.set_facecolor("white")
    ax.grid(visible=True, color="#d9d9d9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finish(ax: Axes, title: str, xlabel: str, ylabel: str, right: Axes | None = None) -> Axes:
    """Words and a legend below the data, in an ink that can be read on the figure's face.

    `right` is a second axis in the same place. The legend names what has a label; without any there is none.
    """
    ax.set_title(title, loc="left", fontsize=11, color=pick_ink(ax), wrap=True)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    paint(ax)
    handles = ax.get_legend_handles_labels()[0]
    if right is not None:
        paint(right)
        handles += right.get_legend_handles_labels()[0]
    if handles:
        _draw_legend(ax, handles)
    return ax


def paint(ax: Axes) -> None:
    """Give labels, ticks and spines the ink of the figure's face."""
    ink = pick_ink(ax)
    ax.xaxis.label.set_color(ink)
    ax.yaxis.label.set_color(ink)
    ax.tick_params(which="both", colors=ink)
    ax.spines[:].set_color(ink)


def pick_ink(ax: Axes) -> str:
    """Dark on a light face, white on a dark one, and a grey that reads on either where the page shines through."""
    red, green, blue, opacity = to_rgba(ax.figure.get_facecolor())
    if opacity < 0.5:
        return GREY
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"


def mark_plainly(axis: Axis) -> None:
    """1, 2, 5, 10 ... on a log scale, as people write them; evenly within a decade, where few of them fit."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > _DECADE * low else MaxNLocator(5))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_locator(NullLocator())


def is_share(column: str) -> bool:
    """Whether the column holds shares, 0 to 1, that are told in per cent."""
    return column in ("rate_limit_share", "hit_rate")


def mark_values(axis: Axis, column: str) -> None:
    """Shares in per cent, large numbers with commas."""
    axis.set_major_formatter(PercentFormatter(1.0) if is_share(column) else StrMethodFormatter("{x:,g}"))


def draw_best_bound(draw: Callable[..., object], bound_s: float) -> None:
    """`draw` is an Axes' axhline or axvline."""
    draw(bound_s, color=GREEN, linestyle=DASHES, linewidth=2.5, label=f"best bound {bound_s:.1f} s")


def _draw_legend(ax: Axes, handles: list[Any]) -> None:
    """In as many columns as there is room for, four at most."""
    lengths = [len(str(handle.get_label())) + _HANDLE_CHARS for handle in handles]
    room = _CHARS_PER_IN * ax.bbox.width / ax.figure.dpi
    columns = next((count for count in (4, 3, 2) if _measure_columns(lengths, count) <= room), 1)
    legend = ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + ScaledTranslation(0, -_LEGEND_BELOW_IN, ax.figure.dpi_scale_trans),
        ncols=columns,
        borderaxespad=0,
        facecolor="white",
        edgecolor="white",
        framealpha=1,
        labelcolor=INK,
        handlelength=2.5,
    )
    for line in legend.get_lines():
        line.set_linewidth(max(1.0, line.get_linewidth()))


def _measure_columns(lengths: list[int], count: int) -> int:
    """Characters across, where matplotlib fills `count` columns one after the other, the first of them with more."""
    height, higher = divmod(len(lengths), count)
    starts = [column * height + min(column, higher) for column in range(count + 1)]
    return sum(max(lengths[start:end], default=0) for start, end in pairwise(starts))
