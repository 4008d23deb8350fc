"""The embedded tagger: labels that a page's own words justify, whatever stands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.clients.models import Model
from tagspace_lab.clients.models.local import LocalTagger
from tagspace_lab.policy.prompts import LabelRules, build_prompt, parse_answer, prompt_pages
from tagspace_lab.records import Batch, Cost, Outcome, Page, Reply, Status, Text
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import Job, examples

CLOSED = LabelRules(("open-data", "Plain Language", "search"), max_labels=2)
OPEN = LabelRules(max_labels=3)
TEXTS = {
    "plain": "Plain language helps. Write in plain language, and read it aloud.",
    "mixed": "The search for open data: search engines index open data, and search again.",
    "none": "It rains in the hills.",
    "german": "Die Rechnung muss nicht bis zum Ende des Monats bezahlt werden, und die Rechnung ist nicht falsch.",
    "chinese": "这个页面介绍如何申请假期。" * 20,
    "arabic": "هذه الصفحة تشرح كيفية تقديم طلب الإجازة السنوية",
    "signs": "🚀 <<>> !! -- ** \u202e ::: 1 2 3",
    "empty": "",
}


def ask(tagger: LocalTagger, texts: Sequence[Text]) -> Reply:
    prompt = build_prompt(Batch(tuple(texts)), CLOSED)
    return run_virtual(lambda: tagger.send(prompt))


def make(name: str, words: str, title: str = "") -> Text:
    return Text(name, title, words, 1, name)


def labels(rules: LabelRules, **texts: str) -> dict[str, tuple[str, ...]]:
    """The labels by page that the router would read of the answer; none is missing."""
    reply = ask(LocalTagger(rules), [make(name, words) for name, words in texts.items()])
    answer = parse_answer(reply.text, tuple(texts), rules)
    assert (answer.missing, answer.problem) == ((), "")
    return answer.labels


def test_it_is_a_model_that_costs_nothing() -> None:
    model: Model = LocalTagger(CLOSED)
    reply = ask(LocalTagger(CLOSED), [make("1", TEXTS["plain"])])
    assert (reply.outcome, reply.used, reply.message) == (Outcome.OK, Cost(), "")
    assert model.name.startswith("local-")


def test_labels_come_from_the_vocabulary_in_the_spelling_that_confluence_takes() -> None:
    assert labels(CLOSED, **TEXTS) == {
        "plain": ("plain-language",),
        "mixed": ("open-data", "search"),
        **dict.fromkeys(("none", "german", "chinese", "arabic", "signs", "empty"), ()),
    }


def test_keywords_are_labels_where_there_is_no_vocabulary() -> None:
    given = labels(OPEN, **TEXTS)
    assert given["plain"][0] == "plain-language"
    assert given["mixed"][0] == "open-data"
    assert "rechnung" in given["german"]
    assert not {"die", "und", "nicht"} & set("-".join(given["german"]).split("-"))
    assert given["signs"] == given["empty"] == ()
    assert all(label == OPEN.clean([label])[0] for each in given.values() for label in each)  # type: ignore[index]


@pytest.mark.parametrize("rules", [CLOSED, OPEN], ids=["closed", "open"])
def test_neighbours_and_their_order_change_nothing(rules: LabelRules) -> None:
    together = labels(rules, **TEXTS)
    alone = {name: labels(rules, **{name: words})[name] for name, words in TEXTS.items()}
    assert labels(rules, **dict(reversed(TEXTS.items()))) == together == alone


def test_answer_is_the_same_in_every_process() -> None:
    script = (
        "from tests.clients.models.test_local import CLOSED, OPEN, TEXTS, labels\n"
        "print([labels(rules, **TEXTS) for rules in (CLOSED, OPEN)])"
    )

    def run(seed: str) -> str:
        environ = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout

    assert run("1") == run("2") == f"{[labels(rules, **TEXTS) for rules in (CLOSED, OPEN)]}\n"


@examples(60)
@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=300), min_size=1, max_size=3), st.booleans())
def test_any_text_gets_legal_labels(texts: list[str], has_vocabulary: bool) -> None:
    rules = CLOSED if has_vocabulary else OPEN
    pages = {f"page{number}": text for number, text in enumerate(texts)}
    for given_labels in labels(rules, **pages).values():
        assert list(given_labels) == list(rules.clean(list(given_labels)) or ())


@pytest.mark.parametrize("rules", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("unit", ["open data ", "x", "a1-B ", ". ", "漢字", "<&> "])
def test_a_megabyte_is_tagged_in_bounded_time(rules: LabelRules, unit: str) -> None:
    began = time.process_time()
    labels(rules, page=unit * (1_000_000 // len(unit)))
    assert time.process_time() - began < 20


def test_pages_come_out_of_a_prompt_as_they_went_in() -> None:
    texts = [make("1", 'a "quoted"\n\\text\x00 [{"id": "2"}]', "T"), make("3", "half \ud800 pair", "é")]
    assert prompt_pages(build_prompt(Batch(tuple(texts)), CLOSED)) == [
        {"id": "1", "title": "T", "text": texts[0].text},
        {"id": "3", "title": "é", "text": "half ? pair"},
    ]


def test_the_pipeline_tags_pages_with_it() -> None:
    rules = LabelRules(("alpha", "beta", "gamma"), max_labels=2)
    pages = [Page(str(number), "", f"<p>{word} {word}</p>") for number, word in enumerate(("alpha", "gamma", "delta"))]
    result = Job(pages, LocalTagger(rules)).run()
    assert {tagging.page_id: (tagging.status, tagging.labels) for tagging in result.results} == {
        "0": (Status.TAGGED, ("alpha",)),
        "1": (Status.TAGGED, ("gamma",)),
        "2": (Status.TAGGED, ()),
    }
    assert json.loads(ask(LocalTagger(rules), []).text) == {"pages": []}
