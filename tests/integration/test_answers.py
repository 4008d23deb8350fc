from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.integration.answers import read_answer
from tagspace_lab.policy.prompts import Answer, LabelRules, parse_answer
from tests.fakes import examples

ONE, TWO = ("7",), ("7", "8")
BOTH = {"7": ("a", "b"), "8": ("c",)}


def read(answer: Any, page_ids: tuple[str, ...]) -> Answer:
    return parse_answer(read_answer(answer, page_ids), page_ids, LabelRules())


@pytest.mark.parametrize(
    "answer",
    [
        '{"pages": [{"id": "7", "labels": ["a", "b"]}, {"id": "8", "labels": ["c"]}]}',
        '```json\n{"7": ["a", "b"], "8": ["c"]}\n```',
        'Here you are:\n[{"page_id": 7, "tags": ["a", "b"]}, {"page_id": "8", "tags": "c"}]\nAnything else?',
        {"7": ["a", "b"], "8": {"tags": ["c"]}},
        '{"results": {"7": "a, b", "8": ["c"]}}',
        '{"data": {"pages": [{"pageId": "7", "keywords": ["a", "b"]}, {"pageId": "8", "keywords": ["c"]}]}}',
        '{"tags": {"7": ["a", "b"], "8": ["c"]}}',
        '{"page_id": "7", "tags": ["a", "b"]}\n{"page_id": "8", "tags": ["c"]}',
        'First:\n```json\n{"7": ["a", "b"]}\n```\nand\n```json\n{"8": ["c"], "7": ["d"]}\n```',
        "7: a, b\n8: c",
        "- Page 7: a, b\n- Page 8: c\n",
        '[{"id": "7", "labels": [{"name": "a", "score": 1}, {"name": "b"}]}, {"id": "8", "labels": [{"name": "c"}]}]',
    ],
)
def test_labels_are_found_id_for_id(answer: Any) -> None:
    assert read(answer, TWO).labels == BOTH


@pytest.mark.parametrize(
    "answer",
    [
        '["a", "b"]',
        '```\n["a", "b"]\n```',
        '{"tags": ["a", "b"]}',
        "a, b",
        "Tags: a, b",
        "- a\n- b\n",
        "1. a\n2. b",
        ["a", "b"],
        '{"result": ["a", "b"]}',
        'The labels are ["a", "b"].',
    ],
)
def test_bare_list_is_the_single_page_s(answer: Any) -> None:
    assert read(answer, ONE).labels == {"7": ("a", "b")}


@pytest.mark.parametrize("answer", ['["a", "b"]', "a, b", '{"tags": ["a"]}', "", "I am sorry.", None, 5, b"x"])
def test_answer_that_names_no_page_is_nobody_s_in_a_batch(answer: Any) -> None:
    assert read(answer, TWO).missing == TWO


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot help with that.",
        "This page describes how the network was rebuilt, in three long steps.",
        "Sorry",
        "not json",
        "null",
        "42",
        "",
        None,
    ],
)
def test_prose_gives_no_labels(answer: Any) -> None:
    assert read(answer, ONE).missing == ONE


def test_empty_list_is_an_answer() -> None:
    assert read('{"7": [], "8": []}', TWO).labels == {"7": (), "8": ()}
    assert read("[]", ONE).labels == {"7": ()}


def test_page_that_was_not_asked_gets_nothing() -> None:
    assert read('{"7": ["a"], "9": ["b"]}', TWO).labels == {"7": ("a",)}


def test_single_page_gets_no_other_page_s_labels() -> None:
    assert read('{"8": ["a"], "page-9": ["b"]}', ONE).missing == ONE
    assert read("8: a, b\n9: c", ONE).missing == ONE
    assert read("- a", ONE).labels == read("Tag: a", ONE).labels == read('["a"]', ONE).labels == {"7": ("a",)}


def test_long_and_deep_answers_take_no_time() -> None:
    read("[" * 200_000, ONE)
    read('{"7": ' * 100_000, TWO)
    read("7" * 200_000 + ":" * 1_000, TWO)
    read("'\"" * 100_000, ONE)
    read("- " * 200_000 + "\n", ONE)
    assert read(" " * 100_000 + "a, b", ONE).labels == {"7": ("a", "b")}


@examples(200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["7", "8", "id", "tags"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["7", "8", "id", "tags", "labels", "pages", "x"]), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_json_is_read(document: Any) -> None:
    for page_ids in (ONE, TWO):
        read(json.dumps(document), page_ids)
        read(document, page_ids)
