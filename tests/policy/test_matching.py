"""Which labels a page's words speak of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.matching import LabelMatcher

VOCABULARY = (
    "accessibility",
    "application-programming-interface",
    "budgeting-and-performance",
    "open-data",
    "open-source",
    "search",
    "Plain Language",
    "機械学習",
    "машинное-обучение",
)
MATCHER = LabelMatcher(VOCABULARY)


@pytest.mark.parametrize(
    ("title", "text", "labels"),
    [
        ("Searching", "We search, and they searched. One search more, then two searches.", ["search"]),
        ("Open data", "What agencies publish.", ["open-data"]),
        ("", "Data that is open: open data is for all, and open data lasts.", ["open-data"]),
        ("", "Our APIs are public; the API of each bureau has a key.", ["application-programming-interface"]),
        ("", "No apis, no rapid api; a capital I.", []),
        ("", "Budgeting and performance go together: budgeting and performance.", ["budgeting-and-performance"]),
        ("Plain language", "Write plain language.", ["Plain Language"]),
        ("", "これは機械学習の入門です。機械学習を学ぶ。機械学習。", ["機械学習"]),
        ("Машинное обучение", "что это", ["машинное-обучение"]),
        ("Weather", "It rains in the hills, and nothing else happens.", []),
        ("", "", []),
    ],
)
def test_label_is_chosen_for_its_words(title: str, text: str, labels: list[str]) -> None:
    assert MATCHER.choose(title, text, 1) == labels


def test_what_the_page_speaks_of_most_comes_first_and_no_more_labels_than_may_be() -> None:
    text = "Search and accessibility. Accessibility first: accessibility is for all. The search for open minds."
    chosen = MATCHER.choose("Accessibility", text, 3)
    assert chosen[:2] == ["accessibility", "search"]
    assert MATCHER.choose("Accessibility", text, 1) == chosen[:1]


def test_one_word_in_passing_is_no_reason_for_a_label() -> None:
    text = "word " * 300
    assert MATCHER.choose("", f"{text} search {text}", 5) == []


def test_a_word_that_labels_share_says_less_than_one_of_its_own() -> None:
    matcher = LabelMatcher(("data-alpha", "data-beta", "data-gamma", "delta-epsilon"))
    assert matcher.choose("", "data delta " * 40, 4) == ["delta-epsilon"]


@given(st.permutations(VOCABULARY), st.text(st.sampled_from("open data search API 機械学習"), max_size=60))
def test_order_of_the_vocabulary_does_not_matter(vocabulary: list[str], text: str) -> None:
    assert LabelMatcher(vocabulary).choose("", text, 5) == MATCHER.choose("", text, 5)


@given(st.lists(st.text(max_size=10), max_size=5), st.text(), st.text(max_size=200))
def test_any_vocabulary_and_any_text_are_taken(vocabulary: list[str], title: str, text: str) -> None:
    assert set(LabelMatcher(vocabulary).choose(title, text, 3)) <= set(vocabulary)


@pytest.mark.parametrize("unit", ["open data API ", "機械学習", "a" * 1_000_000, "s ", "ab1_"])
def test_a_megabyte_is_counted_once(unit: str) -> None:
    began = time.process_time()
    MATCHER.choose("", unit * (1_000_000 // len(unit)), 5)
    assert time.process_time() - began < 10
