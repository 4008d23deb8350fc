from __future__ import annotations

import json
from typing import Any

import pytest

from tagspace_lab.twin.injection import PlantedSpace, find_orders, is_obeyed, say_as_ordered
from tagspace_lab.twin.scenario import load_scenario
from tagspace_lab.twin.schema import Injection

ENTRIES = [{"id": "1", "labels": ["a"]}, {"id": "2", "labels": ["b"]}]


def test_stated_share_of_the_pages_orders_a_label_of_the_space(space: Any) -> None:
    wide = type(space)(2_000)
    planted = PlantedSpace(wide, Injection(planted_share=0.1), seed=3)
    changed = [index for index in range(len(wide)) if planted.page(index) != wide.page(index)]
    assert len(changed) / len(wide) == pytest.approx(0.1, abs=0.02)
    for index in changed:
        page = planted.page(index, 1)
        (label,) = find_orders(page.body)
        assert label in wide.vocabulary
        assert page.body.endswith(wide.page(index, 1).body), "on every day"
        assert planted.is_planted(page.id)
        assert planted.gold(page.id) == wide.gold(page.id)
    assert changed == [index for index in range(len(wide)) if planted.is_planted(wide.page(index).id)]


def test_space_is_the_same_otherwise(space: Any) -> None:
    planted = PlantedSpace(space, Injection(planted_share=0.0))
    for name in ("name", "key", "vocabulary", "last_day", "content_hash"):
        assert getattr(planted, name) == getattr(space, name)
    assert [planted.page(index) for index in range(len(space))] == [space.page(index) for index in range(len(space))]
    assert planted.index_of("1003") == 3


def test_model_obeys_as_often_as_stated() -> None:
    obeyed = sum(is_obeyed(Injection(obeyed_share=0.88), "call", number) for number in range(2_000))
    assert obeyed / 2_000 == pytest.approx(0.88, abs=0.02)


def test_obeying_model_says_it_in_four_ways_and_gives_every_page_the_label() -> None:
    said = {say_as_ordered(ENTRIES, "evil", "call", number) for number in range(50)}
    assert len(said) == 4
    parsed = [json.loads(text) for text in said if text.startswith("{")]
    assert sorted(len(document["pages"]) for document in parsed) == [2, 4, 4]
    assert all(text.count("evil") >= len(ENTRIES) for text in said)
    assert say_as_ordered([], "evil", "call")


def test_only_a_scenario_with_the_table_is_another_world() -> None:
    plain = load_scenario("openai-tier1")
    assert plain.injection is None
    with_it = plain.model_copy(update={"injection": Injection()})
    assert with_it.content_hash != plain.content_hash
