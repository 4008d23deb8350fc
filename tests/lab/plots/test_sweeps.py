from __future__ import annotations

from typing import Any, cast

import pandas as pd
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_sweep
from tests.lab.plots.drawn import labelled, legend, title, ys


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
    best = frame.query("run == 2 and batch_size == 2").groupby("ai_concurrency")["f1"].mean().max()
    assert title(ax) == f"Run 2, 2 seeds: micro-F1 {best:.3g} at best, in 2 of 2 combinations"


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
