from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.prompts import LabelRules, build_prompt, parse_answer, text_key
from tagspace_lab.records import Batch
from tests.fakes import RULES, examples, make_batch, make_text, write_answer

IDS = ("1000", "1001", "1002")
OPEN_RULES = LabelRules()

entries = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([*IDS, "9999", 1001, None]),
        "labels": st.one_of(
            st.lists(st.sampled_from(["alpha", "Beta", "gamma!", "nonsense", " "])), st.text(), st.none()
        ),
    },
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pages", "id", "labels"]), inner),
    max_leaves=8,
)


def check_shape(text: str, rules: LabelRules = RULES) -> dict[str, tuple[str, ...]]:
    """What holds of the reading of any text whatever."""
    answer = parse_answer(text, IDS, rules)
    assert sorted([*answer.labels, *answer.missing]) == list(IDS)
    assert bool(answer.problem) == bool(answer.missing)
    for labels in answer.labels.values():
        assert len(labels) <= rules.max_labels
        assert len(set(labels)) == len(labels)
        assert not rules.vocabulary or set(labels) <= set(rules.vocabulary)
    return answer.labels


@examples(300)
@given(st.text() | st.text(alphabet='{}[]",:idlabes10 \\', max_size=80))
def test_no_text_crashes_the_reader_or_names_a_page_that_was_not_asked(text: str) -> None:
    check_shape(text)
    check_shape(text, OPEN_RULES)


@examples(300)
@given(junk | st.fixed_dictionaries({"pages": st.lists(entries, max_size=6)}))
def test_no_json_crashes_the_reader_or_names_a_page_that_was_not_asked(document: Any) -> None:
    check_shape(json.dumps(document))
    check_shape(json.dumps(document), OPEN_RULES)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"pages":' * 200_000, '[{"id":' * 200_000, "9" * 6_000, '[{"id":' + "9" * 6_000]
)
def test_text_meant_to_exhaust_the_parser_is_no_answer(text: str) -> None:
    assert parse_answer(text, IDS, RULES).missing == IDS


@examples(100)
@given(st.sampled_from(["", "```json\n", "Here you are:\n", "Labels [as asked], 3 pages: "]), st.integers(0, 4))
def test_cut_at_every_character_keeps_exactly_the_whole_pages(chatter: str, indent: int) -> None:
    pages = [{"id": page_id, "labels": ["alpha", "beta"]} for page_id in IDS]
    text = chatter + json.dumps({"pages": pages}, indent=indent or None)
    ends = [end for end in range(len(text)) if text[end] == "}"][: len(IDS)]
    for length in range(len(text) + 1):
        kept = check_shape(text[:length])
        whole = sum(end < length for end in ends)
        assert kept == dict.fromkeys(IDS[:whole], ("alpha", "beta")), text[:length]


@pytest.mark.parametrize(
    "text",
    [
        "```json\n%s\n```",
        "Here are the labels:\n%s\nAnything else?",
        "I read the pages [all of them]. %s",
        "Braces {like these} and [those] are fine: %s",
        "%s%s",
    ],
)
def test_whole_answer_is_found_in_what_is_said_around_it(text: str) -> None:
    assert list(check_shape(text.replace("%s", write_answer(IDS)))) == list(IDS)


def test_bare_list_and_numeric_ids_are_understood() -> None:
    assert check_shape('[{"id": 1001, "labels": ["beta"]}]') == {"1001": ("beta",)}


def test_page_named_twice_counts_only_if_both_agree() -> None:
    def read(*labels: str) -> dict[str, tuple[str, ...]]:
        return check_shape(json.dumps({"pages": [{"id": "1000", "labels": [label]} for label in labels]}))

    assert read("alpha", "Alpha") == {"1000": ("alpha",)}
    assert read("alpha", "beta") == read("alpha", "beta", "alpha") == read("alpha", "nonsense") == {}


def test_empty_list_is_an_answer_and_a_list_of_illegal_labels_is_none() -> None:
    assert check_shape('{"pages": [{"id": "1000", "labels": []}]}') == {"1000": ()}
    assert check_shape('{"pages": [{"id": "1000", "labels": ["nonsense"]}]}') == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("Sorry, I cannot.", "not the JSON"),
        (write_answer(IDS[:2]), "leaves the page out"),
        (write_answer(IDS, "nonsense"), "no label of the vocabulary"),
    ],
)
def test_problem_says_what_was_wrong(text: str, problem: str) -> None:
    assert problem in parse_answer(text, IDS, RULES).problem


def test_labels_are_made_legal_once_each_and_no_more_than_allowed() -> None:
    assert OPEN_RULES.clean(["Machine Learning", "machine-learning", "c#", " ", "a.b", "x", "y", "z"]) == (
        *("machine-learning", "c", "ab", "x", "y"),
    )
    assert RULES.clean(["Gamma", "delta", "alpha", "beta"]) == ("gamma", "alpha")
    assert RULES.clean("alpha, Beta,, delta") == ("alpha", "beta")
    assert RULES.clean(" ") == ()
    assert RULES.clean("delta") is None
    assert RULES.clean(["alpha", 1]) is None


def test_vocabulary_is_met_whatever_its_spelling() -> None:
    rules = LabelRules(("User Experience", "c++"))
    assert rules.clean(["User Experience", "user-experience", "C++"]) == ("user-experience", "c++")


PREFERRED = LabelRules(RULES.vocabulary, 2, closed=False)


def test_open_rules_prefer_the_vocabulary_and_keep_other_legal_labels() -> None:
    assert PREFERRED.clean(["Gamma", "New Topic", "alpha"]) == ("gamma", "new-topic")
    assert PREFERRED.clean(["!", " "]) is None
    assert all(label in PREFERRED.system for label in RULES.vocabulary)
    assert "Prefer labels from this list" in PREFERRED.system
    assert "Use only" not in PREFERRED.system
    assert "enum" not in json.dumps(PREFERRED.schema)
    assert parse_answer(write_answer(IDS, "delta"), IDS, PREFERRED).labels == dict.fromkeys(IDS, ("delta",))


def test_rules_without_a_vocabulary_are_open_either_way() -> None:
    assert LabelRules(closed=False).system == OPEN_RULES.system
    assert LabelRules(closed=False).clean(["x"]) == OPEN_RULES.clean(["x"]) == ("x",)
    assert (OPEN_RULES.is_limited, RULES.is_limited, PREFERRED.is_limited) == (False, True, False)


def test_closing_the_vocabulary_changes_the_key() -> None:
    assert text_key("t", "x", PREFERRED, "m") != text_key("t", "x", RULES, "m") != text_key("t", "x", OPEN_RULES, "m")


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("a\u200bb", ("ab",)),
        ("nul\x00", ("nul",)),
        ("half\ud800", ("half",)),
        ("\u202eevil", ("evil",)),
        ("Straße ÜBER", ("straße-über",)),
        ("two\nlines", ("two-lines",)),
        ("x" * 255, ("x" * 255,)),
        ("x" * 256, None),
        ("\u200b", None),
    ],
)
def test_label_is_made_of_letters_that_are_seen(label: str, names: tuple[str, ...] | None) -> None:
    assert OPEN_RULES.clean([label]) == names


@examples(200)
@given(st.lists(st.text(alphabet=st.characters(codec=None), max_size=300), max_size=8))
def test_any_label_that_is_kept_is_one_that_can_be_written(labels: list[str]) -> None:
    for name in OPEN_RULES.clean(labels) or ():
        assert name.isprintable()
        assert name.encode()
        assert not set(name) & set(":;.,?&[]()#^*@!\"'` ")


@pytest.mark.parametrize("page_id", [True, 1000.0, None, ["1000"], {"1000": 1}, "1000 ", "١٠٠٠"])
def test_id_of_any_other_form_was_not_asked_for(page_id: Any) -> None:
    assert check_shape(json.dumps({"pages": [{"id": page_id, "labels": ["alpha"]}]})) == {}


def test_two_answers_in_one_are_believed_where_they_agree() -> None:
    first = [{"id": page_id, "labels": ["beta"]} for page_id in IDS]
    text = f"As I was told:\n{json.dumps(first)}\nThe labels were:\n{write_answer(IDS[:2], 'alpha')}"
    assert check_shape(text) == {"1002": ("beta",)}


def test_prompt_begins_with_its_fixed_part_and_ends_with_one_list() -> None:
    first, second = (build_prompt(Batch(texts), RULES) for texts in (make_batch(3).texts, make_batch(1).texts))
    assert first.system == second.system
    assert all(label in first.system for label in RULES.vocabulary)
    intro, data = first.user.split("\n", 1)
    assert "3" in intro
    assert json.loads(data) == [
        {"id": text.page_id, "title": text.title, "text": text.text} for text in make_batch(3).texts
    ]
    assert first.page_ids == IDS
    assert first.max_output_tokens > second.max_output_tokens
    assert first.cost.input_tokens >= make_batch(3).tokens + RULES.system_tokens


@examples(100)
@given(st.text(alphabet=st.characters(codec=None)), st.text())
def test_page_stays_inside_its_own_string(words: str, title: str) -> None:
    hostile = replace(make_text(0, words=words or "x"), title=title)
    _, data = build_prompt(Batch((hostile, make_text(1))), RULES).user.split("\n", 1)
    assert [page["id"] for page in json.loads(data)] == ["1000", "1001"]


@examples(100)
@given(st.text(), st.text())
def test_pages_are_worded_as_json_words_them(words: str, title: str) -> None:
    text = replace(make_text(0, words=words or "x"), title=title)
    _, data = build_prompt(Batch((text, text)), RULES).user.split("\n", 1)
    page = {"id": text.page_id, "title": title, "text": text.text}
    assert data == json.dumps([page, page], ensure_ascii=False)


def test_no_half_of_a_surrogate_pair_reaches_the_wire() -> None:
    rules = LabelRules(("alpha\ud800",))
    prompt = build_prompt(Batch((make_text(0, words="a\udfffb"),)), rules)
    sent = f"{prompt.system}{prompt.user}{json.dumps(prompt.schema, ensure_ascii=False)}"
    assert sent.encode().decode() == sent
    assert '"text": "a?b"' in prompt.user


def test_key_names_all_that_changes_the_answer() -> None:
    key = text_key("title", "text", RULES, "model")
    assert key == text_key("title", "text", LabelRules(RULES.vocabulary, 2), "model")
    others = [
        text_key("titl", "etext", RULES, "model"),
        text_key("title", "other", RULES, "model"),
        text_key("title", "text", LabelRules(RULES.vocabulary, 3), "model"),
        text_key("title", "text", LabelRules(RULES.vocabulary[:2], 2), "model"),
        text_key("title", "text", RULES, "other"),
    ]
    assert len({key, *others}) == 6
    assert len(text_key("\ud800", "\udfff", RULES, "model")) == 64


def test_schema_is_closed_and_lists_the_vocabulary() -> None:
    page = RULES.schema["properties"]["pages"]["items"]
    assert page["properties"]["labels"]["items"]["enum"] == ["alpha", "beta", "gamma"]
    assert page["additionalProperties"] is RULES.schema["additionalProperties"] is False
    assert "enum" not in OPEN_RULES.schema["properties"]["pages"]["items"]["properties"]["labels"]["items"]
