"""A planted instruction in one page changes no other page's labels."""

from __future__ import annotations

from functools import cache

import pytest

from tagspace_lab.lab import world
from tagspace_lab.lab.world import World
from tagspace_lab.records import Status, Tagging
from tagspace_lab.settings import Settings
from tagspace_lab.twin.injection import PlantedSpace
from tagspace_lab.twin.scenario import Scenario, load_scenario
from tagspace_lab.twin.spaces import shipped_space

SPACE = shipped_space("medium")


def tag(scenario: Scenario, seed: int, batch_size: int) -> tuple[dict[str, Tagging], set[str]]:
    """How each page ended, and the ids of those that hold an instruction."""
    assert scenario.injection is not None
    result = World(SPACE, scenario, seed).run(Settings(batch_size=batch_size))
    planted = PlantedSpace(SPACE, scenario.injection, seed)
    ended = {tagging.page_id: tagging for tagging in result.results}
    assert len(ended) == len(SPACE) == len(result.results)
    return ended, set(filter(planted.is_planted, ended))


@cache
def tag_in_peace() -> dict[str, Tagging]:
    """How each page ends where no page holds an instruction: the model is always right."""
    peace = load_scenario("injection").model_copy(update={"injection": None})
    return {tagging.page_id: tagging for tagging in World(SPACE, peace).run(Settings()).results}


def find_harmed(ended: dict[str, Tagging], planted: set[str]) -> set[str]:
    """The pages without an instruction that end otherwise than they would have without the others."""
    peace = tag_in_peace()
    assert sum(tagging.status is Status.TAGGED for tagging in peace.values()) >= 148
    return {page_id for page_id, tagging in ended.items() if page_id not in planted and tagging != peace[page_id]}


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("batch_size", [5, 20])
def test_planted_instruction_changes_no_other_pages_labels(dialect: str, batch_size: int) -> None:
    scenario = load_scenario("injection")
    provider = scenario.provider.model_copy(update={"headers": dialect})
    for seed in range(3):
        ended, planted = tag(scenario.model_copy(update={"provider": provider}), seed, batch_size)
        assert len(planted) >= 3
        assert find_harmed(ended, planted) == set()
        wrong = {page_id for page_id in planted if ended[page_id].labels != SPACE.gold(page_id)}
        assert wrong, "the instructions are obeyed: they harm the pages that they stand in"


def test_same_instructions_harm_neighbours_where_pages_are_not_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_is_suspect", lambda title, text: False)
    ended, planted = tag(load_scenario("injection"), 0, 20)
    assert len(find_harmed(ended, planted)) > len(planted)


def test_batch_size_one_needs_no_suspicion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_is_suspect", lambda title, text: False)
    assert find_harmed(*tag(load_scenario("injection"), 0, 1)) == set()
