from __future__ import annotations

import pandas as pd

from tagspace_lab.lab.plots import plot_hits
from tests.lab.plots.drawn import labelled, legend, title, xs, ys

DAYS = pd.DataFrame(
    {
        "cache_size": [10, 10, 10, 20, 20, 20],
        "day": [0, 1, 2, 0, 1, 2],
        "hit_rate": [0.0, 0.4, 0.4, 0.0, 0.9, 0.8],
        "best_hit_rate": [0.0, 0.5, 0.5, 0.0, 0.9, 0.8],
    }
)


def test_each_size_has_a_line_and_the_best_possible_behind_it() -> None:
    ax = plot_hits(DAYS)
    assert (xs(labelled(ax, "10 entries")), ys(labelled(ax, "10 entries"))) == ([0, 1, 2], [0.0, 0.4, 0.4])
    assert [ys(line) for line in ax.lines if line.get_alpha() and len(xs(line))] == [[0.0, 0.5, 0.5], [0.0, 0.9, 0.8]]
    assert legend(ax) == ["10 entries", "20 entries", "Belady, the best possible"]


def test_title_says_what_is_enough_and_what_the_worst_size_reaches() -> None:
    ax = plot_hits(DAYS)
    assert title(ax) == "20 entries hit 80% on the last day; 10 entries hit 80% of the possible"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("day of the run", "cache hits (% of look-ups)")
