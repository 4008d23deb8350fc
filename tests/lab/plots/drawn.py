"""What was drawn, read back from the Axes."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

__all__ = ["find_overlaps", "labelled", "lay_out", "legend", "right_of", "texts", "title", "xs", "ys"]


def labelled(ax: Axes, start: str) -> Line2D:
    return next(line for line in ax.lines if str(line.get_label()).startswith(start))


def xs(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_xdata(), "float64"))


def ys(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_ydata(), "float64"))


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def title(ax: Axes) -> str:
    return ax.get_title("left")


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def right_of(ax: Axes) -> list[Axes]:
    """The other axes of the figure."""
    return [other for other in ax.figure.axes if other is not ax]


def lay_out(ax: Axes) -> None:
    """As the figure will be when it is shown."""
    cast("Figure", ax.figure).draw_without_rendering()


def find_overlaps(ax: Axes) -> list[tuple[str, str]]:
    """Pairs of words, inside the Axes and around it, that lie on one another as the figure is laid out."""
    lay_out(ax)
    ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
    words = [*ax.texts, *ticks, ax.xaxis.label, ax.yaxis.label, getattr(ax, "_left_title")]  # noqa: B009
    boxes = [(text.get_text(), text.get_window_extent()) for text in words if text.get_text() and text.get_visible()]
    found = ax.get_legend()
    if found:
        boxes.append(("legend", found.get_window_extent()))
    return [
        (first, second)
        for number, (first, box) in enumerate(boxes)
        for second, other in boxes[number + 1 :]
        if box.x0 < other.x1 - 1 and other.x0 < box.x1 - 1 and box.y0 < other.y1 - 1 and other.y0 < box.y1 - 1
    ]
