from __future__ import annotations

from typing import Any, cast

import pandas as pd
import pytest

from tagspace_lab.lab.plots import plot_quality
from tests.lab.plots.drawn import labelled, title, ys

QUALITY = pd.DataFrame(
    {
        "batch_size": [1, 20, 20, 20],
        "place": ["middle", "front", "middle", "end"],
        "pages": [300, 100, 100, 100],
        "right_share": [0.9, 0.88, 0.86, 0.8],
        "low": [0.88, 0.86, 0.83, 0.77],
        "high": [0.92, 0.90, 0.89, 0.83],
    }
)


def test_each_place_has_a_line_with_its_interval() -> None:
    ax = plot_quality(QUALITY)
    front, middle, _ = (cast("Any", box) for box in ax.containers)
    assert ys(front[0]) == [0.88]
    assert ys(middle[0]) == [0.9, 0.86]
    assert list(front[2][0].get_segments()[0][:, 1]) == pytest.approx([0.86, 0.9])
    assert ys(labelled(ax, "all pages")) == pytest.approx([0.9, 2.54 / 3])


def test_title_says_what_the_largest_batch_loses_and_where() -> None:
    ax = plot_quality(QUALITY)
    assert title(ax) == "20 pages a call lose 5.3 points against 1, the end of the batch 8.0 more than its front"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("batch size (pages a call)", "pages answered rightly (%)")
