"""Medians, targets and words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.peers.challenges import find_challenge
from benchmarks.peers.report import format_scores, format_section, judge, score_runs
from benchmarks.peers.runs import Run

RUN = Run("learned", "A", 0, calls=100, done=100, refused=4, makespan_s=9.55, version="tagspace-lab 1.0")


def test_score_is_the_median_of_the_repeats() -> None:
    runs = [
        replace(RUN, repeat=index, makespan_s=9.55 * times, refused=7 * times) for index, times in enumerate((4, 2, 1))
    ]
    score = score_runs(runs)["learned", "A"]
    assert (score.makespan_s, score.refused, score.refused_share) == (19.1, 14, 0.14)
    assert score.efficiency == pytest.approx(0.5, abs=1e-4)
    assert str(score) == "19.1 (.50), 14"


def test_calls_left_undone_in_any_run_take_the_makespan_away() -> None:
    score = score_runs([RUN, replace(RUN, repeat=1, done=5, refused=2945), replace(RUN, repeat=2)])["learned", "A"]
    assert (score.undone, score.efficiency, str(score)) == (95, 0.0, "**95 undone**, 4")


@pytest.mark.parametrize(
    ("challenge", "run", "holds"),
    [
        ("A", {"makespan_s": 9.55 / 0.881}, True),
        ("A", {"makespan_s": 9.55 / 0.879}, False),
        ("A", {"done": 99}, False),
        ("A-headers", {"refused": 0}, True),
        ("A-headers", {"refused": 1}, False),
        ("A-1000", {"calls": 1000, "done": 1000, "makespan_s": 99.6, "refused": 10}, True),
        ("A-1000", {"calls": 1000, "done": 1000, "makespan_s": 99.6, "refused": 11}, False),
    ],
)
def test_target_needs_every_call_the_speed_and_few_refusals(challenge: str, run: dict[str, float], holds: bool) -> None:
    (figure,) = judge(score_runs([replace(RUN, challenge=challenge, **run)]))  # type: ignore[arg-type]
    assert figure.holds is holds


def test_targets_are_for_our_default_alone() -> None:
    assert judge(score_runs([replace(RUN, client="botocore"), replace(RUN, client="fixed")])) == []


def test_missed_target_does_not_look_like_one_that_holds() -> None:
    assert str(score_runs([replace(RUN, makespan_s=9.55 / 0.8799)])["learned", "A"]).endswith("(.87), 4")


def test_table_names_who_is_missing() -> None:
    table = format_scores(score_runs([RUN]), [find_challenge("A"), find_challenge("B")], {"litellm": "no such pin"})
    assert table.splitlines()[2:] == [
        "| lower bound | 9.55 s | 6.50 s |",
        "| **tagspace_lab, learned** | 9.6 (1.00), 4 | - |",
        "| litellm Router | not installed | not installed |",
    ]


def test_section_says_why_runs_ended_and_which_versions_ran() -> None:
    runs = [RUN, replace(RUN, client="openai-sdk", done=5, version="", problem="ended after 75 s")]
    section = format_section(runs, {"litellm": "no such pin"})
    assert "litellm Router could not be installed: no such pin." in section
    assert "openai SDK in A: ended after 75 s." in section
    assert "Versions: tagspace-lab 1.0." in section
