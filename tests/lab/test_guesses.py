"""What the bound suggests is computed from the scenario, and no trial is needed to find it."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.guesses import guess, lay_design, step_away
from tagspace_lab.lab.objective import Referee
from tagspace_lab.lab.workers import Workers
from tagspace_lab.lab.yardstick import advise
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.scenario import load_scenario
from tests.fakes import make_scenario

RULES = LabelRules((), 5)


def guesses(scenario: str | list[str], space: str = "small", **goals: float) -> dict[str, Settings]:
    with Workers(space, scenario) as workers:
        chosen = Goals(**goals)  # type: ignore[arg-type]
        referee = Referee.prepare(workers, Settings(), chosen, [0], 1)
        return guess(workers.places, Settings(), chosen, referee.one_by_one)


def test_guesses_are_todays_the_bounds_and_the_conservative_ones() -> None:
    found = guesses("self-hosted")
    assert list(found) == ["today", "bound", "bound-calm", "conservative", "rounds-1", "rounds-2", "rounds-3"]
    assert found["bound"].max_ai_concurrency <= 16  # the cap
    assert found["bound"].cache_size == 15
    assert found["conservative"].max_ai_concurrency == found["conservative"].batch_size == 1
    assert found["conservative"].throttle == Settings().throttle


def test_batch_size_keeps_to_the_quality_that_is_wanted() -> None:
    loose, strict = (guesses("anthropic-tier1", "medium", max_f1_loss=loss)["bound"] for loss in (0.1, 0.001))
    assert strict.batch_size <= 2 < loose.batch_size


def test_places_share_the_smallest_batch_and_the_largest_concurrency() -> None:
    names = ["openai-tier1", "self-hosted"]
    alone = [guesses(name)["bound"] for name in names]
    both = guesses(names)["bound"]
    assert both.batch_size == min(one.batch_size for one in alone)
    assert both.max_ai_concurrency == max(one.max_ai_concurrency for one in alone)


def test_steady_rate_asks_for_littles_law() -> None:
    """60 calls a minute of 2 s each: two at once, whatever the number of pages."""
    latency = {"first_token_s": 2.0, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}
    limits = {"requests_per_min": 60, "burst_requests": 1}
    scenario = make_scenario(provider={"limits": limits, "latency": latency})
    advice = advise(500, 100_000, 500, scenario, RULES, [1])["bound"]
    assert (advice.batch_size, advice.concurrency) == (1, 2)


def test_burst_asks_for_more_than_the_rate() -> None:
    """All at once where the bucket lets all in."""
    scenario = make_scenario(provider={"limits": {"requests_per_min": 60, "burst_requests": 500}})
    assert advise(50, 10_000, 50, scenario, RULES, [1])["bound"].concurrency > 25


def test_rate_of_calls_asks_for_the_largest_batch_and_no_limit_for_the_smallest() -> None:
    sizes = range(1, 21)
    slow = make_scenario(provider={"limits": {"requests_per_min": 6, "burst_requests": 1}})
    free = load_scenario("openai-tier1")
    assert advise(200, 40_000, 5_000, slow, RULES, sizes)["bound"].batch_size > 15
    assert advise(20, 4_000, 500, free, RULES, sizes)["bound"].batch_size < 5


@pytest.mark.parametrize("pages", [1, 7, 10_000])
def test_advice_is_within_what_settings_allow(pages: int) -> None:
    for name in ("openai-tier1", "outage", "halving", "gateway-fixed-window", "azure"):
        for advice in advise(pages, pages * 600, pages * 25, load_scenario(name), RULES, range(1, 51), 3).values():
            assert 1 <= advice.batch_size <= 50
            assert 1 <= advice.concurrency <= min(pages, LARGEST_CONCURRENCY)


@pytest.mark.parametrize(("pages", "sizes"), [(150, [10, 5, 4]), (160, [10, 5, 4]), (161, [11, 6, 4])])
def test_rounds_are_filled_with_whole_calls(pages: int, sizes: list[int]) -> None:
    """16 slots: one call too many would wait for a round of its own."""
    advised = advise(pages, pages * 600, pages * 25, load_scenario("self-hosted"), RULES, range(1, 51), 3)
    rounds = [advised[f"rounds-{count}"] for count in (1, 2, 3)]
    assert [advice.batch_size for advice in rounds] == sizes
    assert all(advice.concurrency in (15, 16) for advice in rounds)


def test_rounds_that_no_batch_size_is_large_enough_for_are_left_out() -> None:
    advised = advise(10_000, 6_000_000, 250_000, load_scenario("self-hosted"), RULES, range(1, 51), 3)
    assert list(advised) == ["bound"]


def test_design_is_small_and_spread() -> None:
    design = lay_design(Settings(), 150)
    assert len(set(design)) == 8
    assert {settings.batch_size for settings in design} == {3, 6, 12, 24}
    assert {settings.cache_size for settings in design} == {150}


@given(st.integers(1, 50), st.integers(1, 100), st.integers(0, 100))
def test_steps_stay_within_what_settings_allow_and_reach_every_side(size: int, ceiling: int, seed: int) -> None:
    centre = Settings(batch_size=size, max_ai_concurrency=ceiling, ai_concurrency=(1 + ceiling) // 2)
    near = list(step_away(centre, random.Random(seed)))
    assert centre not in near
    assert len(set(near)) == len(near)
    assert near == list(step_away(centre, random.Random(seed)))
    for name, value, most in (("batch_size", size, 50), ("max_ai_concurrency", ceiling, 100)):
        values = {getattr(settings, name) for settings in near}
        assert {value - 1, value + 1} & values or value > 3
        assert min(values) < value or value == 1
        assert max(values) > value or value == most


def test_the_nearest_come_first() -> None:
    """One step: in batch size or ceiling, up or down, or to another start."""
    centre = Settings(batch_size=20, max_ai_concurrency=20, ai_concurrency=20)
    first = list(islice(step_away(centre, random.Random(1)), 6))
    assert sorted((near.ai_concurrency, near.max_ai_concurrency, near.batch_size) for near in first) == [
        *((1, 20, 20), (11, 20, 20), (14, 14, 20), (20, 20, 14), (20, 20, 26), (26, 26, 20))
    ]
