"""A gain holds only beyond doubt, on seeds of its own."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.lab.verify import Side, Verification, verify
from tagspace_lab.settings import Settings


def verify_small(profile: str | Settings, **options: Any) -> Verification:
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
    assert same.verdict() == "default does not hold against default: it says the same settings."


def test_more_errors_do_not_hold(proof: Verification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verification, "_more_errors", property(lambda self: 1))
    assert not proof.holds
    assert "1 more pages ended as errors" in proof.verdict()


def test_table_has_a_row_a_run_and_all(proof: Verification) -> None:
    assert list(proof.table.index) == ["1", "2", "all"]
    assert proof.table.loc["all", "gain"] == proof.gain
    columns = ("s", "rate_limit_share", "tokens", "f1", "errors")
    sides = [f"{side}_{name}" for side in ("before", "after") for name in columns]
    assert sorted(proof.table.columns) == sorted([*sides, "gain", "gain_low", "gain_high"])


def test_verification_repeats(proof: Verification) -> None:
    again = verify_small("default", against="conservative")
    pd.testing.assert_frame_equal(again.table, proof.table)
    assert json.dumps(again.to_dict()) == json.dumps(proof.to_dict())


def test_other_seed_measures_anew(proof: Verification) -> None:
    assert not set(verify_small("default", against="conservative", seed=1).seeds) & set(proof.seeds)


def test_profile_is_replayed_on_days_that_no_study_begins_with(proof: Verification) -> None:
    assert proof.first_day == load_space("small").last_day - 1


def test_other_profiles_stand_beside_the_two(proof: Verification) -> None:
    assert [side.name for side in proof.sides] == ["conservative", "default"]
    beside = verify_small("default", against=Settings(batch_size=2), beside=("conservative",))
    assert list(beside.overview().columns) == ["settings", "default", "time saved", "conservative"]
    assert beside.to_dict()["beside"][0]["makespan_s"] > 10


def test_gain_is_of_what_the_goal_seeks() -> None:
    """A batch of 20 takes fewer tokens than one of 1, and longer on a provider without limits."""
    big, small = Settings(batch_size=20, max_ai_concurrency=40), Settings(batch_size=1, max_ai_concurrency=40)
    by_tokens = verify_small(big, against=small, beside=(), goals=Goals(seek="cheapest"))
    by_time = verify_small(big, against=small, beside=())
    assert by_tokens.holds
    assert "of the tokens" in by_tokens.verdict()
    assert by_tokens.gain > by_time.gain


def test_several_places_count_alike() -> None:
    """A place of 100 times the makespan does not drown the other: the gain lies between those of the two."""
    alone = [
        verify("default", "small", name, against="conservative", seeds=4, beside=(), progress=False)
        for name in ("openai-tier1", "anthropic-tier1")
    ]
    both = verify(
        "default",
        "small",
        ["openai-tier1", "anthropic-tier1"],
        against="conservative",
        seeds=4,
        beside=(),
        progress=False,
    )
    assert both.gain == pytest.approx(sum(one.gain for one in alone) / 2, abs=1e-9)
    assert list(both.table.index) == ["1", "2", "all", "small on openai-tier1", "small on anthropic-tier1"]
    assert both.holds
    assert both.to_dict()["scenario"]["name"] == "openai-tier1+anthropic-tier1"


def test_worse_in_one_place_does_not_hold(proof: Verification) -> None:
    """Faster on average, but in one of its places slower beyond doubt."""
    before, after = ([list(runs) for runs in side.replays] for side in proof.sides)
    worse = Verification(
        places=(proof.places[0], ({**proof.places[0][0], "name": "other"}, proof.places[0][1])),
        sides=(
            Side("before", Settings(), [runs for pair in zip(before, after, strict=True) for runs in pair]),
            Side("after", Settings(batch_size=6), [runs for pair in zip(after, before, strict=True) for runs in pair]),
        ),
        seeds=proof.seeds,
        goals=Goals(),
        first_day=0,
    )
    assert not worse.holds
    assert "it is worse on other on openai-tier1" in worse.verdict()


def test_one_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seeds is 1; allowed: an integer from 2"):
        verify("default", "small", seeds=1)


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        verify("missing.env", "small")
