from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from tagspace_lab.lab.plots import plot_map, plot_run, plot_sweep, plot_throttle
from tagspace_lab.lab.plots.style import GREY, LOOKS, word
from tagspace_lab.lab.report import Report
from tests.lab.plots.drawn import lay_out, legend, right_of

FACES = [("black", "white"), ("white", "#222222"), ((1, 1, 1, 0), GREY)]


def test_given_axes_are_drawn_into_and_no_figure_is_opened(report: Report) -> None:
    _, mine = plt.subplots()
    assert plot_run(report, ax=mine) is mine
    assert report.plot(ax=mine) is mine
    assert len(plt.get_fignums()) == 1


def test_settings_of_matplotlib_stay_as_they_are(report: Report) -> None:
    before = dict(mpl.rcParams)
    plot_run(report)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("face", "ink"), FACES)
def test_words_can_be_read_on_any_face_and_data_lie_on_white(report: Report, face: str, ink: str) -> None:
    _, ax = plt.subplots(facecolor=face)
    plot_run(report, ax=ax)
    assert to_rgba(ax.xaxis.label.get_color()) == to_rgba(ink)
    assert {to_rgba(label.get_color()) for label in ax.get_xticklabels()} == {to_rgba(ink)}
    assert to_rgba(ax.get_facecolor()) == to_rgba("white")


@pytest.mark.parametrize(("face", "ink"), FACES)
def test_words_of_a_second_axis_can_be_read_on_any_face(
    frame: pd.DataFrame, today: Report, face: str, ink: str
) -> None:
    for drawn in (
        plot_throttle(today, ax=plt.subplots(facecolor=face)[1]),
        plot_map(frame, "ai_concurrency", ax=plt.subplots(facecolor=face)[1]),
    ):
        (right,) = right_of(drawn)
        assert to_rgba(right.yaxis.label.get_color()) == to_rgba(ink)
        assert {to_rgba(label.get_color()) for label in right.get_yticklabels()} == {to_rgba(ink)}


def test_figure_of_its_own_stays_white_in_a_dark_style(report: Report) -> None:
    with plt.style.context("dark_background"):
        ax = plot_run(report)
        assert to_rgba(ax.figure.get_facecolor()) == to_rgba("white")
        assert to_rgba(ax.xaxis.label.get_color()) == to_rgba("#222222")


def as_seen(colour: str) -> tuple[float, ...]:
    """By somebody without the cones for green (Machado, Oliveira and Fernandes 2009), in linear light."""
    matrix = ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969))
    light = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgba(colour)[:3]]
    return tuple(sum(weight * part for weight, part in zip(row, light, strict=True)) for row in matrix)


def test_lines_differ_in_colour_for_the_colour_blind_and_in_marks_for_a_copier() -> None:
    colours, marks = zip(*LOOKS, strict=True)
    assert len(set(marks)) == len(LOOKS)
    for one, other in combinations(colours[:4], 2):
        assert sum(abs(a - b) for a, b in zip(as_seen(one), as_seen(other), strict=True)) > 0.1


def test_legend_takes_no_more_room_than_there_is(frame: pd.DataFrame) -> None:
    ax = plot_sweep(frame, hue="ai_concurrency")
    lay_out(ax)
    box = ax.get_legend()
    assert box
    assert len(legend(ax)) == 3
    assert box.get_window_extent().x1 <= ax.figure.bbox.x1
    assert ax.get_window_extent().width > 0.75 * ax.figure.bbox.width


def test_every_column_of_a_run_that_has_a_unit_tells_it() -> None:
    assert word("makespan_s") == "makespan (s)"
    assert word("makespan_s", unit=False) == "makespan"
    assert word("anything") == "anything"
