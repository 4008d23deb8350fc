"""What is read of a page, and that hostile markup takes bounded time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.text import MAX_CHARS, cut, estimate_tokens, normalise, plain_text

CODE = (
    '<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">py</ac:parameter>'
    "<ac:plain-text-body><![CDATA[{}]]></ac:plain-text-body></ac:structured-macro>"
)

TOKENS = [
    *("<p>", "</p>", "<td>", "<pre>", "<script>", "<!--", "<![CDATA[", "]]>", "<ac:x />", "<ri:page/>", "</ac:x>"),
    *("<ac:parameter", "a", " ", "\0", "\ud800", '"', ">"),
]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("<h1>Title</h1><p>One <b>bold</b>ly\nwrapped.</p>", "Title\nOne boldly wrapped."),
        ("<ul><li>a<ul><li>b</li></ul>c</li></ul>", "a\nb\nc"),
        ("<div>a</div>b<p>c</p><em>d</em>", "a\nb\nc\nd"),
        ("one<br/>two", "one\ntwo"),
        ("<table><tbody><tr><th><p>A</p></th><th><p>B</p></th></tr><tr><td>1</td><td>2</td></tr></tbody></table>z",
         "A | B\n1 | 2\nz"),
        ("<p>&eacute;&nbsp;&mdash;&amp;lt; a < b</p>", "é —&lt; a < b"),
        ("<script>no</script><style>no</style><p>yes</p>", "yes"),
        ("<!-- no --><p>yes</p>", "yes"),
        ('<a href="https://example.org/no">yes</a>', "yes"),
        ('<p>x<img src="no.png" alt="a picture"/>y</p>', "x a picture y"),
        ("<p>nul\0l</p>", "null"),
        ("<html><head><title>no</title></head><body>yes</body></html>", "yes"),
    ],
)  # fmt: skip
def test_html(body: str, text: str) -> None:
    assert plain_text(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>before</p>" + CODE.format("if a > b && c: <b>x</b> &amp; y") + "<p>after</p>",
         "before\nif a > b && c: <b>x</b> &amp; y\nafter"),
        ("<ac:plain-text-body><![CDATA[a ]]]]><![CDATA[> b]]></ac:plain-text-body>", "a ]]> b"),
        ("<p>a <![CDATA[never <closed>", "a never <closed>"),
        ('<p>see <ac:link><ri:page ri:content-title="Plan"/></ac:link>.</p>', "see Plan."),
        ('<p>see <ac:link><ri:page ri:content-title="Plan" /><ac:plain-text-link-body><![CDATA[the plan]]>'
         "</ac:plain-text-link-body></ac:link>.</p>", "see the plan."),
        ('<p>hi <ac:link><ri:user ri:account-id="no"/></ac:link>, <ac:emoticon ac:name="smile"/>you</p>', "hi , you"),
        ('<ac:parameter ac:name="no"/>kept<ac:parameter ac:name="no">no</ac:parameter>', "kept"),
        ('<ac:structured-macro ac:name="info"><ac:parameter ac:name="title">Note</ac:parameter><ac:rich-text-body>'
         "<p>in</p></ac:rich-text-body></ac:structured-macro>out", "Note\nin\nout"),
        ("<ac:task-list><ac:task><ac:task-id>no</ac:task-id><ac:task-status>complete</ac:task-status><ac:task-body>a"
         "</ac:task-body></ac:task><ac:task><ac:task-status>incomplete</ac:task-status><ac:task-body>b</ac:task-body>"
         "</ac:task></ac:task-list>", "[x] a\n[ ] b"),
        ("<ac:layout><ac:layout-section><ac:layout-cell><p>a</p></ac:layout-cell><ac:layout-cell>b</ac:layout-cell>"
         "</ac:layout-section></ac:layout>", "a\nb"),
        ('<ac:structured-macro ac:name="children"/>', ""),
    ],
)  # fmt: skip
def test_storage_format(body: str, text: str) -> None:
    assert plain_text(body) == text


def test_code_is_shortened_to_its_beginning() -> None:
    text = plain_text(CODE.format("\n".join(f"line {number}" for number in range(100))))
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 19 …")
    assert len(plain_text(f"<pre>{'x' * 5_000}</pre>")) == 1_002


@pytest.mark.parametrize(
    "body",
    [
        "<div>" * 2_000_000,
        "<p " + " ".join(f"a{number}=1" for number in range(500_000)) + ">x",
        ("<div>" + "".join(f"<b a={number}>" for number in range(900)) + "</div>" + "<p>x" * 900) * 100,
        "<![CDATA[" * 1_000_000,
        '<ac:link ac:x="' * 500_000,
        "<ac:x/>" * 1_000_000,
        "&lol;" * 2_000_000,
        "<" * 10_000_000,
        "<svg><template><table><select>" * 300_000,
        "</x><p></div>" * 500_000,
        "x " * 5_000_000,
    ],
    ids=lambda body: body[:12],
)
def test_hostile_markup_takes_bounded_time(body: str) -> None:
    began = time.process_time()
    assert len(plain_text(body)) <= 5 * MAX_CHARS
    assert time.process_time() - began < 10


def test_deep_and_long_bodies_lose_no_text() -> None:
    assert plain_text("<div>" * 5_000 + "deep" + "</div>" * 5_000 + "after").split() == ["deep", "after"]
    assert plain_text("".join(f"<p>w{number}</p>" for number in range(5_000))).count("w") == 5_000
    assert plain_text("a < b " + "c" * 10_000) == "a < b " + "c" * 10_000
    assert plain_text(f'<p>a<img src="data:{"A" * 10_000}" />b</p>') == "ab"


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_read_and_blank_lines_are_gone(body: str) -> None:
    text = plain_text(body)
    assert all(line and line == line.strip(" ") for line in text.split("\n")) or text == ""


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_broken_markup_never_raises(tokens: list[str]) -> None:
    plain_text("".join(tokens))


@given(st.text())
def test_normalise_is_idempotent_and_folds(text: str) -> None:
    folded = normalise(text)
    assert normalise(folded) == folded
    assert "  " not in folded
    assert "\n" not in folded
    assert unicodedata.is_normalized("NFC", folded)


@given(st.text(alphabet=st.sampled_from("ab \n\t\x1f\xa0\xad\u2028\u3000")))
def test_normalise_leaves_one_blank_for_any_white_space(text: str) -> None:
    assert normalise(text) == " ".join(text.split())


def test_normalise_joins_what_looks_the_same() -> None:
    assert normalise(" cafe\u0301\n\tau  lait ") == normalise("café au lait")


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("a" * 400, 100), ("汉" * 100, 100), ("é" * 3, 2)])
def test_tokens(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(st.characters()), st.text(st.characters()))
def test_tokens_never_fall(text: str, more: str) -> None:
    assert estimate_tokens(text) <= estimate_tokens(text + more) <= estimate_tokens(text) + estimate_tokens(more)


@given(st.text(max_size=100), st.integers(0, 40))
def test_cut_fits_and_is_a_beginning(text: str, max_tokens: int) -> None:
    short = cut(text, max_tokens)
    assert text.startswith(short)
    assert estimate_tokens(short) <= max_tokens
    assert short == text or estimate_tokens(text) > max_tokens


def test_cut_ends_between_words_and_keeps_almost_all_it_may() -> None:
    text = "seventeen words " * 100
    short = cut(text, 100)
    assert estimate_tokens(short) >= 95
    assert set(short.split()) == {"seventeen", "words"}
