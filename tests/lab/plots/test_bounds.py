from __future__ import annotations

from tagspace_lab.lab.plots import plot_efficiency
from tagspace_lab.lab.report import Report
from tests.lab.plots.drawn import labelled, texts, title, xs


def test_each_run_has_both_bounds_as_shares_of_its_makespan(report: Report, today: Report) -> None:
    before, after = report.runs[0], today.runs[0]
    ax = plot_efficiency({"before": before, "today": after})
    assert xs(labelled(ax, "own bound")) == [before.efficiency, after.efficiency]
    assert xs(labelled(ax, "best bound")) == [before.best_efficiency, after.best_efficiency]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["before", "today"]
    assert {f"{run.makespan_s:.1f} s, {run.binds}" for run in (before, after)} < set(texts(ax))
    assert title(ax) == (
        f"Nearest to its own bound is today {after.efficiency:.0%}, farthest before {before.efficiency:.0%}"
    )
    assert ax.get_xlabel() == "bound / makespan (%)"
    assert ax.get_ylim() == (1.5, -0.5), "half a row of room, or the marks of the first and the last are cut"
