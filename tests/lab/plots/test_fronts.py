from __future__ import annotations

import pandas as pd
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_front
from tests.lab.plots.drawn import labelled, legend, title, xs, ys

FRONT = pd.DataFrame(
    [
        (4.0, 130.0, 0.00, False, 9, 20),
        (6.0, 90.0, 0.02, True, 12, 8),
        (9.0, 80.0, 0.05, False, 20, 4),
        (7.0, 95.0, 0.00, False, 3, 3),  # on the front of a third respect alone
    ],
    columns=["makespan_s", "tokens", "rate_limit_share", "knee", "batch_size", "max_ai_concurrency"],
)
TRIALS = pd.DataFrame(
    [("today", 10.0, 100.0, True), ("search", 8.0, 140.0, True), ("search", 2.0, 60.0, False)],
    columns=["origin", "makespan_s", "tokens", "feasible"],
)


def test_front_is_joined_where_it_is_one_in_these_two_respects() -> None:
    ax = plot_front(FRONT)
    (stairs,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert (xs(stairs), ys(stairs)) == ([4.0, 6.0, 9.0], [130.0, 90.0, 80.0])
    assert sorted(xs(labelled(ax, "on the front: 4"))) == [4.0, 6.0, 7.0, 9.0]


def test_knee_today_and_what_misses_a_goal_are_apart() -> None:
    ax = plot_front(FRONT, TRIALS)
    assert xs(labelled(ax, "knee: batch 12, ceiling 8")) == [6.0]
    assert xs(labelled(ax, "today")) == [10.0]
    assert xs(labelled(ax, "misses a goal")) == [2.0]
    assert xs(labelled(ax, "trial that keeps the goals")) == [10.0, 8.0]
    assert {str(line.get_marker()) for line in ax.lines} >= {"x", "o", "s", "*"}


def test_title_says_what_the_knee_gives_up() -> None:
    assert title(plot_front(FRONT)) == "The knee is above the least of the front by: makespan 50%, tokens of a run 12%"
    assert title(plot_front(FRONT, y="rate_limit_share")).endswith("429s 2.0 points")


def test_front_without_a_knee_is_told() -> None:
    ax = plot_front(FRONT.assign(knee=False))
    assert title(ax) == "4 settings that none betters in everything"
    assert legend(ax) == ["on the front: 4"]


def test_axes_tell_units() -> None:
    ax = plot_front(FRONT)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("makespan (s)", "tokens of a run")


@pytest.mark.parametrize(
    ("front", "trials", "message"),
    [
        (FRONT.drop(columns="knee"), None, "front: there is no column knee; columns: makespan_s"),
        (FRONT.iloc[:0], None, "front: there is no row"),
        (FRONT, TRIALS.drop(columns=["origin", "feasible"]), "trials: there is no column feasible, origin"),
    ],
)
def test_data_that_cannot_be_drawn_are_refused(front: pd.DataFrame, trials: pd.DataFrame | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot_front(front, trials)
