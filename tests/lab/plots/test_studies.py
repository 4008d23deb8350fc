from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_importance, plot_trials
from tagspace_lab.lab.tuned import Tuned
from tests.lab.plots.drawn import labelled, legend, texts, title, xs, ys


def study(objective_s: list[float], feasible: list[bool]) -> Tuned:
    """As much of a study as its picture looks at."""
    trials = pd.DataFrame({"objective_s": objective_s, "feasible": feasible}).rename_axis("trial")
    proof = SimpleNamespace(space={"name": "wiki"}, scenario={"name": "azure"})
    return cast("Tuned", SimpleNamespace(trials=trials, verification=proof))


def test_trials_show_each_trial_the_best_so_far_and_what_missed_a_goal() -> None:
    ax = plot_trials(study([9.0, 2.0, 7.0, 8.0, 5.0], [True, False, True, True, True]))
    assert ys(labelled(ax, "today")) == [9.0, 9.0]
    assert (xs(labelled(ax, "misses")), ys(labelled(ax, "misses"))) == ([1.0], [2.0])
    assert (xs(labelled(ax, "keeps")), ys(labelled(ax, "keeps"))) == ([0.0, 2.0, 3.0, 4.0], [9.0, 7.0, 8.0, 5.0])
    assert ys(labelled(ax, "best so far")) == [9.0, 9.0, 7.0, 7.0, 5.0]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("objective_s", [[1.0, 0.9, 1.4], [4.5, 2.2], [9.0, 2.0], [150.0, 2.9]])
def test_axis_of_the_trials_has_numbers_to_read_however_near_they_are(objective_s: list[float]) -> None:
    ax = plot_trials(study(objective_s, [True] * len(objective_s)))
    low, high = ax.get_ylim()
    assert 3 <= sum(low <= place <= high for place in ax.get_yticks()) <= 7


def test_trials_that_all_miss_a_goal_have_no_best() -> None:
    assert legend(plot_trials(study([3.0, 2.0], [False, False]))) == ["today 3.0 s", "misses a goal"]


def test_title_of_the_trials_says_what_was_found() -> None:
    assert (
        title(plot_trials(study([9.0, 2.0, 5.0], [True, False, True])))
        == "wiki on azure: 5.0 s at best, in trial 2 of 3"
    )
    assert title(plot_trials(study([9.0], [False]))) == "wiki on azure: none of 1 trials keeps the goals"


def test_importance_is_sorted_and_written_beside_its_bars() -> None:
    ax = plot_importance({"cache_size": 0.05, "batch_size": 0.8, "max_ai_concurrency": 0.12})
    assert [cast("Any", bar).get_width() for bar in ax.patches] == [0.8, 0.12, 0.05]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["batch size", "concurrency at most", "cache size"]
    assert texts(ax) == ["80%", "12%", "5%"]
    assert title(ax) == "Batch size matters most: it explains 80% of the differences in makespan"
    assert ax.get_xlabel() == "share of the differences in makespan (%)"


def test_importance_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no importance"):
        plot_importance(pd.Series(dtype="float64"))
