"""The scenarios of the comparison, and their bounds."""

from __future__ import annotations

import pytest

from benchmarks.peers.challenges import CHALLENGES, LONG, find_challenge


@pytest.mark.parametrize(
    ("name", "bound_s"),
    [
        ("A-headers", (100 - 5) / 10 + 0.05),
        ("A", (100 - 5) / 10 + 0.05),
        ("A-blind", (100 - 5) / 10 + 0.05),
        ("C", (100 - 5) / 10 + 0.05),
        ("B", 13 * 0.5),
        ("A-1000", (1000 - 5) / 10 + 0.05),
        ("B-1000", 125 * 0.5),
    ],
)
def test_bound_is_what_a_full_bucket_or_full_slots_allow(name: str, bound_s: float) -> None:
    assert find_challenge(name).bound_s == pytest.approx(bound_s, abs=1e-3)


def test_bound_of_a_window_is_the_windows_before_the_last() -> None:
    assert 60 < find_challenge("gateway").bound_s < 61


def test_bound_follows_the_steps_of_a_limit() -> None:
    # 10 at once and 4 a second until 15 s make 70; the other 30 come at 2 a second.
    assert 30 < find_challenge("halving").bound_s < 30.5


def test_run_may_take_three_times_its_bound() -> None:
    assert find_challenge("A").time_out_s == 75
    assert find_challenge("gateway").time_out_s == pytest.approx(3 * find_challenge("gateway").bound_s + 30)


def test_refusals_spend_quota_in_one_of_two_like_scenarios() -> None:
    a, c = (find_challenge(name).scenario.provider for name in "AC")
    assert (a.limits.retry_after, a.limits.rejected_count, c.limits.rejected_count) == ("exact", False, True)
    assert c.limits.model_copy(update={"rejected_count": False}) == a.limits


def test_names_are_unique_and_the_long_ones_are_fast() -> None:
    names = [challenge.name for challenge in (*CHALLENGES, *LONG)]
    assert len(set(names)) == len(names)
    assert {challenge.calls for challenge in LONG} == {1000}
    assert not any(challenge.is_slow for challenge in LONG)
