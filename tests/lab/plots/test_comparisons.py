from __future__ import annotations

from typing import Any, cast

import pytest

from tagspace_lab.lab.plots import plot_before_after, plot_gain, plot_throttles
from tagspace_lab.lab.races import Score
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.lab.verify import verify
from tests.lab.plots.drawn import labelled, texts, title, xs, ys


def test_before_after_has_a_bar_for_each_and_one_bound(report: Report, today: Report) -> None:
    before, after = report.runs[0], today.runs[0]
    ax = plot_before_after({"before": before, "today": after})
    assert [cast("Any", bar).get_width() for bar in ax.patches] == [before.makespan_s, after.makespan_s]
    assert xs(labelled(ax, "best bound")) == [min(before.best_bound_s, after.best_bound_s)] * 2
    assert f"{before.rate_limit_errors} 429s" in ax.texts[0].get_text()
    saved = 1 - after.makespan_s / before.makespan_s
    assert title(ax) == f"today: {saved:.0%} less time than before"
    assert title(plot_before_after({"today": after, "before": before})).endswith(" more time than today")
    assert title(plot_before_after({"today": after, "again": after})) == "again: as much time as today"


def test_several_seeds_have_a_mean_and_a_range() -> None:
    runs = [replay("small", "guide", runs=1, seed=seed, progress=False).runs[0] for seed in range(3)]
    ax = plot_before_after({"today": runs})
    spans = sorted(run.makespan_s for run in runs)
    assert [cast("Any", bar).get_width() for bar in ax.patches] == [pytest.approx(sum(spans) / 3)]
    assert xs(ax.lines[0]) == [spans[0], spans[-1]]
    assert spans[0] < spans[-1]


def test_gain_shows_every_seed_and_the_interval_of_every_run() -> None:
    proof = verify("conservative", "small", "guide", seeds=4, progress=False)
    ax = plot_gain(proof)
    seeds = [line for line in ax.lines if len(xs(line)) == 4]
    first = [
        1 - after[0].makespan_s / before[0].makespan_s for before, after in zip(proof.before, proof.after, strict=True)
    ]
    whole = [
        1 - sum(run.makespan_s for run in after) / sum(run.makespan_s for run in before)
        for before, after in zip(proof.before, proof.after, strict=True)
    ]
    assert xs(seeds[0]) == first
    assert xs(seeds[-1]) == whole
    assert len(seeds) == len(proof.table) == 3
    dots = [cast("Any", box).lines[0].get_xdata()[0] for box in ax.containers]
    assert dots == list(proof.table["gain"])
    (ends,) = cast("Any", ax.containers[-1]).lines[2]
    assert list(ends.get_segments()[0][:, 0]) == pytest.approx(proof.interval)
    assert [words.split("\n")[0] for words in texts(ax)] == [f"{gain:+.1%}" for gain in proof.table["gain"]]
    assert [label.get_text().split("\n")[0] for label in ax.get_yticklabels()] == ["run 1", "run 2", "all runs"]
    assert ax.get_xlabel() == "time saved by conservative against default (%)"
    assert title(ax) == f"conservative does not hold: it needs {-proof.gain:.1%} more time"


def make_score(throttle: str, of_oracle: float, refusals: int) -> Score:
    return Score(throttle, "openai", "none", 100, of_oracle, of_oracle, refusals, 0, None, None, None)


def test_throttles_are_sorted_by_their_mean_with_a_dot_for_every_regime() -> None:
    ladder = [make_score("ladder", share, 20) for share in (0.2, 0.4)]
    ax = plot_throttles([*ladder, *(make_score("learned", share, 4) for share in (0.9, 1.0))])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["learned", "ladder"]
    dots, mean, *_ = ax.lines
    assert xs(dots) == [0.9, 1.0]
    assert xs(mean) == [pytest.approx(0.95)] * 2
    assert max(ys(mean)) < 0.5
    assert {"0.04", "0.20"} < set(texts(ax))
    assert title(ax) == "learned comes nearest to the oracle: 95.0% of its speed over 2 regimes"
