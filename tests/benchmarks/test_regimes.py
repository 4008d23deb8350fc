"""The rows of the table of throttles, from scores made by hand."""

from __future__ import annotations

import math

from benchmarks import regimes
from tagspace_lab.lab.races import Score


def make_score(of_oracle: float, *, recovery: float | None = None, event: str = "none", refusals: int = 0) -> Score:
    undone = 0 if of_oracle else 5
    return Score("learned", "openai", event, 100, of_oracle / 2, of_oracle, refusals, undone, 0.125, recovery, None)


SCORES = [make_score(number / 100, event="halving" if number % 2 else "none", refusals=2) for number in range(1, 101)]


def test_row_tells_median_fifth_percentile_and_worst() -> None:
    row = regimes._row("learned", SCORES)
    assert row[:4] == ("learned", "100", "0.253, 0.025, 0.005", "0.505, 0.050, 0.010")
    assert row[4:] == ("0.02", "2", "0", "12%", "-", "-")


def test_undone_run_counts_as_nothing() -> None:
    row = regimes._row("ladder", [make_score(0.0), make_score(1.0)])
    assert (row[3], row[6]) == ("0.500, 0.000, 0.000", "5")


def test_recovery_that_most_runs_never_make_is_called_so() -> None:
    scores = [make_score(1.0, recovery=recovery) for recovery in (None, 0.1, math.inf, math.inf)]
    assert regimes._row("fixed", scores)[8] == "never"


def test_kinds_are_told_by_family_and_by_event() -> None:
    rows = list(regimes._kinds(SCORES))
    assert [row[:3] for row in rows] == [("openai", "any", "100"), ("any", "halving", "50"), ("any", "none", "50")]
    assert rows[0][3:] == ("0.505", "0.050", "84.0%")


def test_promises_miss_where_calls_are_undone() -> None:
    kept = {figure.what: figure.holds for figure in regimes._promises([make_score(0.96)] * 99)}
    assert set(kept.values()) == {True}
    missed = [
        figure for figure in regimes._promises([make_score(0.96)] * 90 + [make_score(0.0)] * 9) if not figure.holds
    ]
    assert [figure.what.split(": ")[-1] for figure in missed] == ["oracle / makespan, p5", "calls undone"]
