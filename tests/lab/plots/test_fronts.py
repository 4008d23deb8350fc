from __future__ import annotations

import pandas as pd
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_front
from tests.lab.plots.drawn import labelled, legend, title, xs, ys

TRIALS = pd.DataFrame(
    [
        ("today", 10.0, 100.0, True, False, False, 5, 10),
        ("search", 4.0, 130.0, True, True, False, 9, 20),
        ("search", 6.0, 90.0, True, True, True, 12, 8),
        ("search", 9.0, 80.0, True, True, False, 20, 4),
        ("search", 7.0, 95.0, True, True, False, 3, 3),  # on the front of a third respect alone
        ("search", 2.0, 60.0, False, False, False, 50, 50),
    ],
    columns=[
        *("origin", "makespan_s", "tokens", "feasible", "is_on_front", "is_knee"),
        *("batch_size", "max_ai_concurrency"),
    ],
)


def test_front_is_joined_where_it_is_one_in_these_two_respects() -> None:
    ax = plot_front(TRIALS)
    (stairs,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert (xs(stairs), ys(stairs)) == ([4.0, 6.0, 9.0], [130.0, 90.0, 80.0])
    assert sorted(xs(labelled(ax, "on the front: 4"))) == [4.0, 6.0, 7.0, 9.0]


def test_knee_today_and_what_misses_a_goal_are_apart() -> None:
    ax = plot_front(TRIALS)
    assert xs(labelled(ax, "knee: batch 12, ceiling 8")) == [6.0]
    assert xs(labelled(ax, "today")) == [10.0]
    assert xs(labelled(ax, "misses a goal")) == [2.0]
    assert {str(line.get_marker()) for line in ax.lines} >= {"x", "o", "s", "*"}


def test_title_says_what_the_knee_gives_up() -> None:
    assert title(plot_front(TRIALS)) == "The knee is above the least of the front by: makespan 50%, tokens of a run 12%"
    shares = TRIALS.assign(rate_limit_share=[0.0, 0.05, 0.02, 0.01, 0.0, 0.3])
    assert title(plot_front(shares, y="rate_limit_share")).endswith("429s 2.0 points")


def test_front_without_a_knee_is_told() -> None:
    ax = plot_front(TRIALS.assign(is_knee=False).drop(columns="origin"))
    assert title(ax) == "6 trials, 4 of them on the front"
    assert not [name for name in legend(ax) if name.startswith(("knee", "today"))]


def test_axes_tell_units() -> None:
    ax = plot_front(TRIALS)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("makespan (s)", "tokens of a run")


def test_trials_without_a_front_are_refused() -> None:
    with pytest.raises(InputError, match="no column is_on_front, is_knee"):
        plot_front(TRIALS.drop(columns=["is_on_front", "is_knee"]))
