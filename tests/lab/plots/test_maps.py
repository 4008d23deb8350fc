from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from tagspace_lab.errors import InputError
from tagspace_lab.lab.plots import plot_map
from tests.lab.plots.drawn import labelled, right_of, texts, title, xs, ys


def make_sweep(makespans_s: list[list[float]]) -> pd.DataFrame:
    """Batch sizes 1 and 10 down, ceilings 1, 4 and 16 across; two seeds a tenth apart."""
    return pd.DataFrame(
        {
            "batch_size": size,
            "max_ai_concurrency": ceiling,
            "seed": seed,
            "run": 1,
            "makespan_s": span + 0.2 * seed - 0.1,
        }
        | {"rate_limit_share": span / 100}
        for size, row in zip([1, 10], makespans_s, strict=True)
        for ceiling, span in zip([1, 4, 16], row, strict=True)
        for seed in (0, 1)
    )


SWEEP = make_sweep([[8.0, 4.0, 2.0], [6.0, 3.0, 5.0]])


def fields(ax: Axes) -> list[list[float]]:
    return cast("list[list[float]]", np.asarray(cast("Any", ax.collections[0]).get_array()).tolist())


def test_fields_are_means_of_the_seeds_and_written_in_them() -> None:
    ax = plot_map(SWEEP)
    np.testing.assert_allclose(fields(ax), [[8, 4, 2], [6, 3, 5]])
    assert texts(ax) == ["8", "4", "2", "6", "3", "5"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4", "16"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "10"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("concurrency at most (calls)", "batch size (pages a call)")
    assert right_of(ax)[0].get_ylabel() == "makespan (s)"
    assert title(ax) == "Run 1: makespan 2 s at best, with max_ai_concurrency 16, batch_size 1"


def test_shares_are_per_cent() -> None:
    ax = plot_map(SWEEP, value="rate_limit_share")
    assert texts(ax)[:2] == ["8.0%", "4.0%"]
    assert right_of(ax)[0].get_ylabel() == "429s (% of requests)"


def test_the_lighter_the_less() -> None:
    shown = cast("Any", plot_map(SWEEP).collections[0])
    light = [sum(shown.cmap(shown.norm(span))[:3]) for span in (2.0, 3.0, 5.0, 8.0)]
    assert light == sorted(light, reverse=True)


def test_trials_lie_between_the_fields_and_those_beyond_are_counted() -> None:
    trials = pd.DataFrame({"max_ai_concurrency": [1, 2, 16, 32], "batch_size": [1, 10, 10, 5]})
    ax = plot_map(SWEEP, trials=trials)
    dots = labelled(ax, "trials of the study: 3, 1 more beyond the map")
    assert xs(dots) == pytest.approx([0.5, 1.0, 2.5])
    assert ys(dots) == pytest.approx([0.5, 1.5, 1.5])
    assert texts(ax) == []


def test_rows_that_mix_a_third_setting_are_refused() -> None:
    with pytest.raises(InputError, match="do not tell the rows apart: filter the frame"):
        plot_map(pd.concat([SWEEP, SWEEP]))
    with pytest.raises(InputError, match="no column 'cache_size'"):
        plot_map(SWEEP, x="cache_size")
