"""Two profiles are compared by what they do, with the same luck."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.effects import Effects, measure_effects, word_change
from tagspace_lab.lab.profiles import Change, Profile
from tagspace_lab.lab.verify import verify
from tagspace_lab.settings import Settings

TODAY = Profile("today", Settings())
ALONE = Profile("alone", Settings(ai_concurrency=1, max_ai_concurrency=1, batch_size=1, cache_enabled=False))


@pytest.fixture(scope="module")
def effects() -> Effects:
    return measure_effects(TODAY, ALONE, "small", seeds=3, progress=False)


def test_makespans_change_as_verify_says(effects: Effects) -> None:
    proof = verify(ALONE.settings, "small", against=TODAY.settings, seeds=3, progress=False)
    row = effects.table.loc["makespan"]
    assert row["change"] == pytest.approx(-proof.gain)
    assert (row["low"], row["high"]) == pytest.approx((-proof.interval[1], -proof.interval[0]))
    assert list(effects.table.loc["makespan, run 2", ["before", "after"]]) == pytest.approx(
        [sum(replay[1].makespan_s for replay in replays) / 3 for replays in (proof.before, proof.after)]
    )


def test_quantities_are_told_in_their_own_measure(effects: Effects) -> None:
    table = effects.table
    calls, hits = (table.loc[name].to_dict() for name in ("calls of a run", "cache hits"))
    assert hits["before"] > 0.4
    assert (hits["after"], hits["change"]) == (0, -hits["before"])
    assert calls["after"] == 15
    assert calls["change"] == pytest.approx(15 / calls["before"] - 1)
    assert (table["low"] <= table["change"]).all()
    assert (table["change"] <= table["high"]).all()
    overview = effects.overview()
    assert list(overview.columns) == ["today", "alone", "change [95 %]"]
    assert overview.loc["cache hits", "change [95 %]"] == "-50.0 points [-50.0, -50.0]"


def test_verdict_names_settings_and_effects(effects: Effects) -> None:
    verdict = effects.verdict()
    assert verdict.startswith("concurrency 3 -> 1, ceiling 10 -> 1, batch size 5 -> 1, cache true -> false: makespan +")
    assert ", 429s 0.00% -> 0.00%, tokens +" in verdict
    assert verdict.endswith("; over 3 seeds.")
    assert verdict in repr(effects)
    assert verdict.replace(">", "&gt;") in effects._repr_html_()


def test_profile_against_itself_changes_nothing_and_leaves_no_doubt() -> None:
    same = measure_effects(TODAY, TODAY, "small", seeds=2, runs=1, progress=False)
    assert (same.table[["change", "low", "high"]] == 0).all(axis=None)
    assert "makespan, run 1" not in same.table.index
    assert "chance" not in repr(same)
    assert same.verdict().startswith("the same settings: makespan +0.0% [+0.0, +0.0], 429s")


def test_change_that_may_be_none_is_said_to_be_chance() -> None:
    same = measure_effects(TODAY, TODAY, "small", seeds=2, runs=1, progress=False)
    ((slow,), (fast,)) = same.before
    doubtful = replace(
        same, after=((replace(slow, makespan_s=2 * slow.makespan_s),), (replace(fast, makespan_s=fast.makespan_s / 2),))
    )
    assert "(may be chance), 429s" in doubtful.verdict()


def test_space_without_gold_labels_has_no_f1() -> None:
    same = measure_effects(TODAY, TODAY, "small", seeds=2, runs=1, progress=False)
    blind = [[replace(run, f1=None) for run in replay] for replay in same.before]
    unknown = replace(same, before=blind, after=blind)
    assert "F1" not in unknown.table.index
    assert "F1" not in unknown.verdict()
    assert all(math.isfinite(row["change"]) for row in unknown.to_dict()["effects"])


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(InputError, match="seeds is 1; allowed: an integer from 2"):
        measure_effects(TODAY, ALONE, "small", seeds=1)


def test_change_of_a_setting_is_worded_for_people() -> None:
    assert word_change(Change("TAG_SPACE_AI_CONCURRENCY", "8", "14")) == "concurrency 8 -> 14"
    assert word_change(Change("TAG_SPACE_TOKENS_PER_MIN", None, "500")) == "tokens per min not set -> 500"
