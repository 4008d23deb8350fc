"""Ways to do the same thing, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import fmean
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from tagspace_lab.lab.plots.style import BLUE, GREY, INK, RED, SKY, draw_best_bound, finish, pick_ink, prepare

if TYPE_CHECKING:
    from tagspace_lab.lab.races import Score
    from tagspace_lab.lab.report import RunSummary
    from tagspace_lab.lab.verify import Verification

__all__ = ["plot_before_after", "plot_gain", "plot_throttles"]

_BARS = ((GREY, "///"), (SKY, ".."), (BLUE, ""))
_OURS = "learned"


def plot_before_after(runs: Mapping[str, RunSummary | Sequence[RunSummary]], ax: Axes | None = None) -> Axes:
    """A bar for each way to do the same run: its makespan, its calls and 429s, and the best bound of any settings.

    A way with several runs, one a seed, has their means, and the range of their makespans as a whisker.
    """
    ways = {name: list(way) if isinstance(way, Sequence) else [way] for name, way in runs.items()}
    ax = prepare(ax, height_in=1.3 + 0.55 * len(ways))
    longest_s = max(run.makespan_s for way in ways.values() for run in way)
    for place, (way, (colour, hatch)) in enumerate(zip(ways.values(), cycle(_BARS), strict=False)):
        spans_s = [run.makespan_s for run in way]
        ax.barh(place, fmean(spans_s), height=0.62, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        if len(way) > 1:
            ax.plot([min(spans_s), max(spans_s)], [place, place], color=INK, linewidth=2, marker="|", markersize=10)
        ax.text(max(spans_s) + 0.02 * longest_s, place, _tell(way), va="center", color=INK)
    draw_best_bound(ax.axvline, min(run.best_bound_s for way in ways.values() for run in way))
    _lay_rows(ax, list(ways))
    room = max(len(_tell(way)) for way in ways.values())
    ax.set_xlim(0, (1 + 0.021 * room) * longest_s)
    return finish(ax, _say_saved(ways), "makespan (s)", "")


def plot_gain(verification: Verification, ax: Axes | None = None) -> Axes:
    """What a profile saves, row by row of the verification's table: a dot, its 95 % interval, a mark for every seed.

    Right of 0 is better than before. The rows are the runs, all of them together and, where there are several, the
    places; what is saved is what was sought: time, tokens, 429s or a cost. The marks are the pairs of seeds
    themselves: their spread is what the interval has to answer for.
    """
    table, (before, after), saved = verification.table, verification.names, verification.goals.prices.word
    ax = prepare(ax, height_in=1.5 + 0.6 * len(table))
    for place, (run, row) in enumerate(table.iterrows()):
        seeds = verification.gains(str(run))
        ax.plot(seeds, [place + 0.22] * len(seeds), color=GREY, marker="|", markersize=8, linestyle="")
        ends = [[row["gain"] - row["gain_low"]], [row["gain_high"] - row["gain"]]]
        ax.errorbar([row["gain"]], [place], xerr=ends, color=BLUE, marker="o", markersize=8, capsize=5, linewidth=2)
        told = f"{row['gain']:+.1%}\n[{row['gain_low']:+.1%}, {row['gain_high']:+.1%}]"
        ax.text(1.02, place, told, va="center", color=pick_ink(ax), transform=ax.get_yaxis_transform(), fontsize=9)
    ax.plot([], [], color=BLUE, marker="o", label="gain and its 95 % interval")
    ax.plot([], [], color=GREY, marker="|", markersize=8, linestyle="", label="one seed")
    ax.axvline(0, color=INK, linewidth=1.5, label=f"like {before}")
    spans = [f"{row['before_s']:.1f} to {row['after_s']:.1f} s" for _, row in table.iterrows()]
    _lay_rows(ax, [f"{_name_row(str(run))}\n{span}" for run, span in zip(table.index, spans, strict=True)])
    ax.margins(x=0.08, y=0.25)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    verdict = "holds" if verification.holds else "does not hold"
    title = f"{after} {verdict}: it {verification.word_gain(with_interval=False)}"
    return finish(ax, title, f"{saved} saved by {after} against {before} (%)", "")


def plot_throttles(scores: Sequence[Score], ax: Axes | None = None) -> Axes:
    """How near each throttle comes to one that knows the limits, regime by regime, and the 429s that it pays with.

    `scores` are those of `lab.races`, any number of regimes for each throttle. A row each, the best mean on top:
    a dot for every regime, its mean as a bar, and the mean of the 429s a call in the margin. A run that left calls
    undone counts as 0.
    """
    shares: dict[str, list[float]] = {}
    refused: dict[str, list[float]] = {}
    for score in scores:
        shares.setdefault(score.throttle, []).append(score.of_oracle)
        refused.setdefault(score.throttle, []).append(score.refusals / score.calls)
    order = sorted(shares, key=lambda name: -fmean(shares[name]))
    ax = prepare(ax, height_in=1.5 + 0.42 * len(order))
    for place, name in enumerate(order):
        colour, marker = (RED, "D") if name == _OURS else (BLUE, "o")
        shifts = [0.12 * ((number % 5) - 2) for number in range(len(shares[name]))]  # so that dots stay apart
        ax.plot(
            shares[name],
            [place + shift for shift in shifts],
            color=colour,
            marker=marker,
            markersize=4,
            alpha=0.45,
            linestyle="",
        )
        ax.plot([fmean(shares[name])] * 2, [place - 0.36, place + 0.36], color=INK, linewidth=3)
        ax.text(
            1.03,
            place,
            f"{fmean(refused[name]):.2f}",
            va="center",
            color=pick_ink(ax),
            transform=ax.get_yaxis_transform(),
        )
    ax.plot([], [], color=BLUE, marker="o", markersize=4, linestyle="", label="one regime")
    ax.plot([], [], color=INK, marker="|", markersize=11, markeredgewidth=3, linestyle="", label="mean")
    ax.text(
        1.03, -0.75, "429s\na call", va="bottom", color=pick_ink(ax), transform=ax.get_yaxis_transform(), fontsize=9
    )
    _lay_rows(ax, order)
    ax.set_xlim(0, max(1.02, 1.02 * max(max(each) for each in shares.values())))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    best, regimes = order[0], len(shares[order[0]])
    title = f"{best} comes nearest to the oracle: {fmean(shares[best]):.1%} of its speed over {regimes} regimes"
    return finish(ax, title, "oracle's makespan / makespan (%)", "")


def _lay_rows(ax: Axes, names: Sequence[str]) -> None:
    """A name each, from top to bottom."""
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")


def _tell(way: Sequence[RunSummary]) -> str:
    calls, refused, elsewhere = (
        fmean(getattr(run, name) for run in way) for name in ("calls", "rate_limit_errors", "fallbacks")
    )
    told = f"{fmean(run.makespan_s for run in way):.1f} s · {calls:.4g} calls · {refused:.3g} 429s"
    return told + (f" · {elsewhere:.3g} fallbacks" if elsewhere else "")


def _say_saved(ways: Mapping[str, Sequence[RunSummary]]) -> str:
    """The last beside the first."""
    (first, *_, last) = [*ways, *ways] if len(ways) == 1 else ways
    before_s, after_s = (fmean(run.makespan_s for run in ways[name]) for name in (first, last))
    if first == last or before_s == 0:
        return f"{last}: {after_s:.1f} s"
    change = f"{abs(after_s / before_s - 1):.0%}"
    if change == "0%":
        return f"{last}: as much time as {first}"
    return f"{last}: {change} {'less' if after_s < before_s else 'more'} time than {first}"


def _name_row(row: str) -> str:
    return f"run {row}" if row.isdigit() else "all runs" if row == "all" else row
