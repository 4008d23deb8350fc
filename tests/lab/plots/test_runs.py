from __future__ import annotations

import numpy as np
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_run, plot_throttle
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.settings import Settings
from tests.lab.plots.drawn import labelled, lay_out, legend, right_of, title, xs, ys


@pytest.fixture(scope="module")
def paced() -> Report:
    """A run that is paced after its first 429s, while calls wait in the queue."""
    return replay("medium", "blind-bucket", Settings(batch_size=1), runs=1, progress=False)


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
    assert not labelled(ax, "429s").get_clip_on(), "the first moment lies on the edge"


def test_run_names_space_scenario_efficiency_and_units(report: Report) -> None:
    ax = plot_run(report)
    assert title(ax) == f"medium on guide, run 1: efficiency {report.runs[0].efficiency:.0%}"
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
    refused, asked = paced.runs[0].rate_limit_errors, len(paced.attempts)
    assert title(ax) == f"medium on blind-bucket, run 1: learned meets {refused} 429s in {asked} requests"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time since the run began (s)", "calls")
    assert [right.get_ylabel() for right in right_of(ax)] == ["pace (calls/s)"]


def test_legend_of_the_throttle_lies_below_the_data(paced: Report) -> None:
    ax = plot_throttle(paced)
    lay_out(ax)
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
