"""docs/peers.png: who is fast and who is a nuisance, a panel a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.peers.challenges import CHALLENGES, Challenge
from benchmarks.peers.clients import OURS, ROOT
from benchmarks.peers.report import Score
from tagspace_lab.lab.plots.style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, paint, prepare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_picture", "spread"]

_PICTURE = ROOT / "docs" / "peers.png"
_MOST = 40.0  # 429s a call at the right end of an axis
_GAP = 0.085  # of an axis, between two names
# Marks that differ, too: a dot is known in grey.
_LOOKS = {
    "learned": (RED, "*"),
    "openai-sdk": (BLUE, "s"),
    "litellm": (GREEN, "^"),
    "langchain": (SKY, "v"),
    "curator": (PURPLE, "D"),
    "botocore": (ORANGE, "P"),
    "aiolimiter": (INK, "o"),
}


def draw_picture(scores: Mapping[tuple[str, str], Score]) -> None:
    """One dot a client, named in the margin; what left calls undone lies hollow on the ground."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 4).flat
    for ax, challenge in zip(axes, CHALLENGES, strict=False):
        _draw_panel(ax, challenge, {name: score for (name, where), score in scores.items() if where == challenge.name})
    last = axes[len(CHALLENGES)]
    last.axis("off")
    last.text(
        0.0,
        0.95,
        "Up: near the least time possible.\nLeft: few refusals.\nHollow: calls were left undone.\n\n"
        "aiolimiter is told the true rate.\nB has no rate to be told.",
        transform=last.transAxes,
        va="top",
        fontsize=9,
    )
    figure.supylabel("lower bound / makespan", fontsize=10)
    figure.supxlabel("429s a call", fontsize=10)
    _PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(_PICTURE, dpi=150, facecolor="white", metadata={"Software": None})


def spread(places: Sequence[float], gap: float) -> list[float]:
    """`places`, in their order, moved as little apart as makes each `gap` from the next, and all within 0 and 1."""
    order = sorted(range(len(places)), key=places.__getitem__)
    groups: list[list[float]] = []  # wanted places of names that touch, each less its offset in the group
    for rank in order:
        groups.append([places[rank]])
        while len(groups) > 1 and _foot(groups[-1], gap) < _foot(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    moved = [_foot(group, gap) + gap * number for group in groups for number in range(len(group))]
    return [place for _, place in sorted(zip(order, moved, strict=True))]


def _foot(group: Sequence[float], gap: float) -> float:
    """The place of the lowest of names that stand `gap` apart around their mean, within 0 and 1."""
    height = gap * (len(group) - 1)
    return min(max(0.0, sum(group) / len(group) - height / 2), 1.0 - height)


def _draw_panel(ax: Axes, challenge: Challenge, scores: Mapping[str, Score]) -> None:
    prepare(ax)
    ax.set_title(f"{challenge.name}: {challenge.title}", loc="left", fontsize=9, color=INK)
    ax.set_xscale("symlog", linthresh=0.01, linscale=0.6)
    ax.set_xlim(-0.002, _MOST)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xticks([0, 0.01, 0.1, 1, 10], ["0", ".01", ".1", "1", "10"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    ax.tick_params(labelsize=8)
    ax.minorticks_off()
    paint(ax)
    shown = {name: score for name, score in scores.items() if name in _LOOKS}
    for place, (name, score) in zip(
        spread([score.efficiency for score in shown.values()], _GAP), shown.items(), strict=True
    ):
        _draw_client(ax, name, score, place)


def _draw_client(ax: Axes, name: str, score: Score, place: float) -> None:
    color, marker = _LOOKS[name]
    is_ours, share = name == OURS, min(score.refused_share, _MOST)
    ax.plot(
        share,
        score.efficiency,
        marker=marker,
        markersize=13 if is_ours else 6.5,
        color=color,
        markerfacecolor="white" if score.undone else color,
        markeredgecolor=INK if is_ours else color,
        clip_on=False,
        zorder=4 if is_ours else 3,
    )
    ax.annotate(
        "ours" if is_ours else name,
        (share, score.efficiency),
        (1.04, place),
        textcoords=ax.get_yaxis_transform(),
        va="center",
        fontsize=9.5 if is_ours else 8,
        fontweight="bold" if is_ours else "normal",
        color=color if is_ours else INK,  # pale colours are hard to read
        arrowprops={
            "arrowstyle": "-",
            "color": color,
            "linewidth": 0.8,
            "shrinkA": 2,
            "shrinkB": 3,
            "relpos": (0, 0.5),
        },
        annotation_clip=False,
    )
