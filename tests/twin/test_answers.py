from __future__ import annotations

import json
from itertools import pairwise
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.records import Space
from tagspace_lab.twin.answers import Model, accuracy_at, cut_short, interpolate, render
from tagspace_lab.twin.schema import Output, Quality

PAGES = 3000
DEFAULT = Quality()
IDS = [str(1000 + index) for index in range(PAGES)]


@pytest.fixture
def wide(space: Any) -> Space:
    built: Space = type(space)(PAGES)
    return built


def answer_all(space: Space, size: int, quality: Quality = DEFAULT, seed: int = 0) -> dict[str, list[str]]:
    model = Model(space, quality, Output(), seed=seed)
    batches = (IDS[start : start + size] for start in range(0, PAGES, size))
    return {entry["id"]: entry["labels"] for batch in batches for entry in model.answer(batch)[0]}


def find_mistakes(space: Space, size: int, **more: Any) -> set[str]:
    answers = answer_all(space, size, **more)
    return {page_id for page_id in IDS if answers.get(page_id) != list(space.gold(page_id))}


def test_larger_batches_make_the_same_mistakes_and_more(wide: Space) -> None:
    even = Quality(position_tilt=0.0)
    mistakes = [find_mistakes(wide, size, quality=even) for size in (1, 5, 20, 50)]
    assert all(few <= many for few, many in pairwise(mistakes))
    assert len(mistakes[0]) < len(mistakes[-1])


@pytest.mark.parametrize("size", [1, 20, 60])
def test_share_of_mistakes_is_the_stated_one(wide: Space, size: int) -> None:
    quality = Quality()
    right = quality.accuracy * interpolate(quality.relative_accuracy, size)
    wanted = 1 - right * (1 - interpolate(quality.missing, size))
    assert len(find_mistakes(wide, size)) / PAGES == pytest.approx(wanted, abs=0.02)


def test_mistakes_are_more_frequent_at_the_end_of_a_batch(wide: Space) -> None:
    quality = Quality(position_tilt=1.0, missing=((1, 0.0),))
    late = [IDS.index(page_id) % 60 >= 30 for page_id in find_mistakes(wide, 60, quality=quality)]
    assert fmean(late) > 0.55
    assert fmean(accuracy_at(quality, 60, position) for position in range(60)) == pytest.approx(
        quality.accuracy * interpolate(quality.relative_accuracy, 60)
    )
    assert accuracy_at(quality, 60, 0) == quality.accuracy
    assert accuracy_at(quality, 60, 59) < accuracy_at(quality, 60, 30)


def test_mistake_changes_or_drops_one_label(wide: Space) -> None:
    answers = answer_all(wide, 1, Quality(accuracy=0.0))
    assert set(answers) == set(IDS)
    for page_id, labels in answers.items():
        gold = wide.gold(page_id)
        kept = [label for label in labels if label in gold]
        assert len(kept) == len(gold) - 1
        assert set(labels) <= set(wide.vocabulary)
        assert len(labels) in (len(gold), len(gold) - 1)
        assert len(set(labels)) == len(labels)


def test_seed_changes_the_luck_and_nothing_else_does(wide: Space) -> None:
    assert find_mistakes(wide, 1, seed=1) == find_mistakes(wide, 1, seed=1)
    assert find_mistakes(wide, 1, seed=1) != find_mistakes(wide, 1, seed=2)


def test_unknown_page_has_no_labels(wide: Space) -> None:
    assert Model(wide, Quality(), Output()).answer(["x", "1"])[0] == [
        {"id": "x", "labels": []},
        {"id": "1", "labels": []},
    ]


def test_output_tokens_have_the_stated_mean(wide: Space) -> None:
    model = Model(wide, Quality(missing=((1, 0.0),)), Output(tokens_per_page=70, tokens_per_call=20))
    assert fmean(model.answer([page_id])[1] for page_id in IDS) == pytest.approx(90, rel=0.03)


def test_curve_is_straight_between_points_and_flat_beyond() -> None:
    points = ((2, 1.0), (4, 0.8), (8, 0.4))
    assert [interpolate(points, size) for size in (1, 2, 3, 4, 6, 8, 99)] == pytest.approx(
        [1, 1, 0.9, 0.8, 0.6, 0.4, 0.4]
    )


@given(st.lists(st.integers(), max_size=20), st.floats(0, 1))
def test_cut_answer_has_lost_something_and_is_json(numbers: list[int], share: float) -> None:
    entries = [{"id": str(number), "labels": ["é"]} for number in numbers]
    kept = cut_short(entries, share)
    assert kept == entries[: len(kept)]
    assert len(kept) < len(entries) or not entries
    assert json.loads(render(kept)) == {"pages": kept}
