from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_before_after, plot_run, plot_sweep, plot_throttle, plot_trials
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.lab.sweep import sweep
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.settings import Settings


@pytest.fixture(autouse=True)
def no_display() -> Iterator[None]:
    """Figures are opened where nobody sees them, and closed after each test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def report() -> Report:
    """The way of before on a gateway: it is refused, and falls back."""
    return replay("medium", "guide", baseline=True, runs=1, progress=False)


@pytest.fixture(scope="module")
def paced() -> Report:
    """A run that is paced after its first 429s, while calls wait in the queue."""
    return replay("medium", "blind-bucket", Settings(batch_size=1), runs=1, progress=False)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sweep("small", "guide", {"batch_size": [10, 2], "ai_concurrency": [2, 4]}, seeds=2, progress=False)


def study(objective_s: list[float], feasible: list[bool]) -> Tuned:
    """As much of a study as its picture looks at."""
    trials = pd.DataFrame({"objective_s": objective_s, "feasible": feasible}).rename_axis("trial")
    proof = SimpleNamespace(space={"name": "wiki"}, scenario={"name": "azure"})
    return cast("Tuned", SimpleNamespace(trials=trials, verification=proof))


def labelled(ax: Axes, start: str) -> Line2D:
    return next(line for line in ax.lines if str(line.get_label()).startswith(start))


def xs(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_xdata(), "float64"))


def ys(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_ydata(), "float64"))


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def test_run_shows_calls_window_refusals_bound_and_makespan(report: Report) -> None:
    ax, summary = plot_run(report), report.runs[0]
    refused = report.attempts.query("outcome == 'rate_limited'")
    assert max(ys(labelled(ax, "calls in flight"))) == summary.peak_concurrency
    assert set(ys(labelled(ax, "window"))) == set(report.attempts["window"])
    assert xs(labelled(ax, "429s")) == list(refused["ended_s"])
    assert min(ys(labelled(ax, "429s"))) > summary.peak_concurrency
    assert xs(labelled(ax, "makespan")) == [summary.makespan_s] * 2
    assert xs(labelled(ax, "bound")) == [summary.bound_s] * 2
    assert f"429s: {summary.rate_limit_errors}" in legend(ax)


def test_run_names_space_scenario_efficiency_and_units(report: Report) -> None:
    ax = plot_run(report)
    assert ax.get_title("left") == f"medium on guide, run 1: efficiency {report.runs[0].efficiency:.0%}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time since the run began (s)", "calls")


def test_other_failures_have_marks_of_their_own() -> None:
    report = replay("medium", "guide", baseline=True, runs=1, progress=False)
    first = report.attempts.index[0]
    report.attempts.loc[first, "outcome"] = "timed_out"
    assert xs(labelled(plot_run(report), "other failures")) == [report.attempts.loc[first, "ended_s"]]


def test_run_without_calls_says_so() -> None:
    report = replay("small", "guide", progress=False)
    assert report.runs[1].calls == 0
    assert [text.get_text() for text in plot_run(report, run=2).texts] == ["no calls were needed"]


@pytest.mark.parametrize("run", [0, 2])
def test_unknown_run_is_named(report: Report, run: int) -> None:
    with pytest.raises(InputError, match=f"run is {run}: the report has runs 1 to 1"):
        plot_run(report, run=run)


def right_of(ax: Axes) -> list[Axes]:
    """The other axes in the same place."""
    return [other for other in ax.figure.axes if other is not ax]


def test_throttle_shows_calls_window_queue_pace_and_refusals(paced: Report) -> None:
    ax, attempts = plot_throttle(paced), paced.attempts
    (right,) = right_of(ax)
    refused = attempts.query("outcome == 'rate_limited'")
    assert max(ys(labelled(ax, "calls in flight"))) == paced.runs[0].peak_concurrency
    assert ys(labelled(ax, "window"))[1:-1] == list(attempts["window"])
    assert ys(labelled(ax, "calls in the queue"))[1:-1] == list(attempts["queued"])
    assert xs(labelled(ax, "calls in the queue"))[1:-1] == list(attempts["started_s"])
    np.testing.assert_array_equal(ys(labelled(right, "pace"))[:-1], attempts["pace_per_s"])
    assert xs(labelled(ax, "429s")) == list(refused["ended_s"])
    assert min(ys(labelled(ax, "429s"))) > max(attempts["queued"].max(), attempts["window"].max())
    assert {"calls in the queue", "pace (right axis)", f"429s: {len(refused)}"} < set(legend(ax))


def test_throttle_names_run_and_units(paced: Report) -> None:
    ax = paced.plot_throttle()
    title = f"medium on blind-bucket, run 1: throttle learned, makespan {paced.runs[0].makespan_s:.1f} s"
    assert ax.get_title("left") == title
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time since the run began (s)", "calls")
    assert [right.get_ylabel() for right in right_of(ax)] == ["pace (calls/s)"]


def test_legend_of_the_throttle_lies_below_the_data(paced: Report) -> None:
    ax = plot_throttle(paced)
    ax.figure.canvas.draw()
    box = ax.get_legend()
    assert box
    assert box.get_window_extent().y1 < ax.get_window_extent().y0


def test_throttle_without_a_pace_has_one_axis_and_calls_at_the_fallback_are_apart(report: Report) -> None:
    ax = plot_throttle(report)
    elsewhere = report.attempts.query("provider == 'fallback'")
    assert right_of(ax) == []
    assert len(elsewhere)
    assert not set(elsewhere["started_s"]) & set(xs(labelled(ax, "window"))[1:-1])
    changes = {0.0, *elsewhere["started_s"], *elsewhere["ended_s"], report.runs[0].makespan_s}
    assert set(xs(labelled(ax, "at the fallback"))) == changes


def test_throttle_without_calls_says_so() -> None:
    report = replay("small", "guide", progress=False)
    assert [text.get_text() for text in plot_throttle(report, run=2).texts] == ["no calls were needed"]
    with pytest.raises(InputError, match="run is 3: the report has runs 1 to 2"):
        plot_throttle(report, run=3)


@pytest.mark.parametrize(("face", "ink"), [("black", "white"), ("white", "#222222")])
def test_words_of_the_pace_can_be_read_on_any_face(paced: Report, face: str, ink: str) -> None:
    _, ax = plt.subplots(facecolor=face)
    (right,) = right_of(plot_throttle(paced, ax=ax))
    assert to_rgba(right.yaxis.label.get_color()) == to_rgba(ink)
    assert {to_rgba(label.get_color()) for label in right.get_yticklabels()} == {to_rgba(ink)}


def test_trials_show_each_trial_the_best_so_far_and_what_missed_a_goal() -> None:
    ax = plot_trials(study([9.0, 2.0, 7.0, 8.0, 5.0], [True, False, True, True, True]))
    assert ys(labelled(ax, "today")) == [9.0, 9.0]
    assert (xs(labelled(ax, "misses")), ys(labelled(ax, "misses"))) == ([1.0], [2.0])
    assert (xs(labelled(ax, "keeps")), ys(labelled(ax, "keeps"))) == ([0.0, 2.0, 3.0, 4.0], [9.0, 7.0, 8.0, 5.0])
    assert ys(labelled(ax, "best so far")) == [9.0, 9.0, 7.0, 7.0, 5.0]
    assert ax.get_yscale() == "log"


def test_trials_that_all_miss_a_goal_have_no_best() -> None:
    assert legend(plot_trials(study([3.0, 2.0], [False, False]))) == ["today 3.0 s", "misses a goal"]


def test_sweep_shows_means_ranges_and_the_best_bound(frame: pd.DataFrame) -> None:
    ax = plot_sweep(frame, hue="ai_concurrency")
    first = frame.query("run == 1 and ai_concurrency == 4").groupby("batch_size")["makespan_s"]
    bars = dict(zip([2, 4], ax.containers, strict=True))[4]
    line, _, (ranges,) = cast("Any", bars).lines
    ends = [height for segment in ranges.get_segments() for height in segment[:, 1]]
    assert ys(line) == list(first.mean())
    assert ends == pytest.approx(first.agg(["min", "max"]).to_numpy().ravel())
    assert ys(labelled(ax, "best bound")) == [frame.query("run == 1")["best_bound_s"].min()] * 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "10"]
    assert {"ai_concurrency = 2", "ai_concurrency = 4"} < set(legend(ax))


def test_sweep_shows_any_column(frame: pd.DataFrame) -> None:
    ax = plot_sweep(frame.query("batch_size == 2"), x="ai_concurrency", y="f1", run=2)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("concurrency at the start (calls)", "micro-F1")
    assert ax.get_title("left") == "micro-F1 of run 2, 2 seeds"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": "batchsize"}, "no column 'batchsize'; choose from: batch_size"),
        ({"hue": "colour"}, "no column 'colour'"),
        ({"run": 3}, "run is 3: the sweep has runs 1, 2"),
        ({}, "batch_size and seed do not tell the rows apart: name another setting as hue"),
    ],
)
def test_sweep_refuses_what_it_cannot_show(frame: pd.DataFrame, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot_sweep(frame, **wrong)


def test_before_after_has_a_bar_for_each_and_one_bound(report: Report) -> None:
    today = replay("medium", "guide", runs=1, progress=False).runs[0]
    ax = plot_before_after({"before": report.runs[0], "today": today})
    assert [cast("Any", bar).get_width() for bar in ax.patches] == [report.runs[0].makespan_s, today.makespan_s]
    assert xs(labelled(ax, "best bound")) == [min(report.runs[0].best_bound_s, today.best_bound_s)] * 2
    assert f"{report.runs[0].rate_limit_errors} 429s" in ax.texts[0].get_text()


def test_given_axes_are_drawn_into_and_no_figure_is_opened(report: Report) -> None:
    _, mine = plt.subplots()
    assert plot_run(report, ax=mine) is mine
    assert report.plot(ax=mine) is mine
    assert len(plt.get_fignums()) == 1


def test_settings_of_matplotlib_stay_as_they_are(report: Report) -> None:
    before = dict(mpl.rcParams)
    plot_run(report)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("face", "ink"), [("black", "white"), ("white", "#222222")])
def test_words_can_be_read_on_any_face_and_data_lie_on_white(report: Report, face: str, ink: str) -> None:
    _, ax = plt.subplots(facecolor=face)
    plot_run(report, ax=ax)
    assert to_rgba(ax.xaxis.label.get_color()) == to_rgba(ink)
    assert to_rgba(ax.get_facecolor()) == to_rgba("white")
