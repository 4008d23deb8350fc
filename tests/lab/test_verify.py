"""A gain holds only beyond doubt, on seeds of its own."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.verify import STREAMS, Verification, compare, draw_seeds, verify


def verify_small(profile: str, **options: Any) -> Verification:
    return verify(profile, "small", "openai-tier1", seeds=4, progress=False, **options)


@pytest.fixture(scope="module")
def proof() -> Verification:
    return verify_small("default", against="conservative")


def test_faster_profile_holds(proof: Verification) -> None:
    assert proof.holds
    assert 0 < proof.interval[0] <= proof.gain <= proof.interval[1] < 1
    assert proof.verdict().startswith("default holds: it saves ")


def test_slower_profile_does_not_hold() -> None:
    slower = verify_small("conservative")
    assert not slower.holds
    assert slower.gain < 0
    assert slower.verdict().endswith("it is not faster.")


def test_profile_does_not_hold_against_itself() -> None:
    same = verify_small("default")
    assert (same.gain, same.interval, same.holds) == (0.0, (0.0, 0.0), False)


def test_more_errors_do_not_hold(proof: Verification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verification, "_more_errors", property(lambda self: 1))
    assert not proof.holds
    assert "1 more pages ended as errors" in proof.verdict()


def test_table_has_a_row_a_run_and_all(proof: Verification) -> None:
    assert list(proof.table.index) == ["1", "2", "all"]
    assert proof.table.loc["all", "gain"] == proof.gain
    sides = [f"{side}_{name}" for side in ("before", "after") for name in ("s", "rate_limit_share", "f1", "errors")]
    assert sorted(proof.table.columns) == sorted([*sides, "gain", "gain_low", "gain_high"])


def test_verification_repeats(proof: Verification) -> None:
    again = verify_small("default", against="conservative")
    pd.testing.assert_frame_equal(again.table, proof.table)
    assert json.dumps(again.to_dict()) == json.dumps(proof.to_dict())


def test_other_seed_measures_anew(proof: Verification) -> None:
    assert not set(verify_small("default", against="conservative", seed=1).seeds) & set(proof.seeds)


def test_gain_is_the_share_of_time_saved() -> None:
    halved = compare([10.0, 20.0, 30.0], [5.0, 10.0, 15.0])
    assert halved.gain == pytest.approx(0.5)
    assert halved.interval == pytest.approx((0.5, 0.5))


def test_pairs_stay_together() -> None:
    """Unpaired, these makespans would overlap so far that nothing could be said."""
    comparison = compare([1.0, 10.0, 100.0], [0.9, 9.0, 91.0])
    assert comparison.interval[0] > 0.08


def test_gain_of_one_seed_alone_is_doubtful() -> None:
    comparison = compare([10.0, 10.0, 10.0, 20.0], [10.5, 10.5, 10.5, 5.0])
    assert comparison.gain > 0 > comparison.interval[0]


def test_nothing_saved_where_nothing_takes_time() -> None:
    assert compare([0.0, 0.0], [0.0, 0.0]).gain == 0


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 10_000)), min_size=2, max_size=2, unique=True))
def test_no_two_purposes_share_a_seed(draws: list[tuple[str, int]]) -> None:
    first, second = (set(draw_seeds(purpose, seed, 1000)) for purpose, seed in draws)
    assert not first & second


def test_one_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seeds is 1; allowed: an integer from 2"):
        verify("default", "small", seeds=1)


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        verify("missing.env", "small")
