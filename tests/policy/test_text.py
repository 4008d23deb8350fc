"""What is read of a page, and that hostile markup takes bounded time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.text import MAX_CHARS, cut, estimate_tokens, normalise, page_text, plain_text
from tests.policy.hostile import BODIES

CODE = (
    '<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">py</ac:parameter>'
    "<ac:plain-text-body><![CDATA[{}]]></ac:plain-text-body></ac:structured-macro>"
)

TOKENS = [
    *("<p>", "</p>", "<td>", "<pre>", "<script>", "<!--", "<![CDATA[", "]]>", "<ac:x />", "<ri:page/>", "</ac:x>"),
    *("<ac:parameter", "a", " ", "\0", "\ud800", '"', ">"),
]


INLINE = [
    "#", "# <b>#</b> <i>#</i>", "<code>#</code>", '<a href="no">#</a>', "# &amp; #", "<![CDATA[# <b> #]]>",
    '<ac:link><ri:page ri:content-title="#"/></ac:link>', '<ac:link ac:anchor="no"><ri:page ri:content-title="no"/>'
    "<ac:plain-text-link-body><![CDATA[# #]]></ac:plain-text-link-body></ac:link>", "<br/>", "#<!-- no -->",
    '<ac:emoticon ac:name="no"/>', '<time datetime="no">#</time>', '<img src="no" alt="#"/>', "<script>no</script>",
    '<ac:structured-macro ac:name="status"><ac:parameter ac:name="title">#</ac:parameter></ac:structured-macro>',
]  # fmt: skip
AROUND = [
    "<p>#</p>%", "<h1>#</h1>%", "<div># % #</div>", "<ul><li># %</li><li>#</li></ul>", "<blockquote>%</blockquote>#",
    "<table><tbody><tr><th>#</th><td>%</td></tr><tr><td><p>#</p></td><td>%</td></tr></tbody></table>",
    "<ac:layout><ac:layout-section><ac:layout-cell>%</ac:layout-cell></ac:layout-section></ac:layout>",
    '<ac:structured-macro ac:name="info"><ac:parameter ac:name="icon">no</ac:parameter><ac:parameter ac:name="title">#'
    "</ac:parameter><ac:rich-text-body>%</ac:rich-text-body></ac:structured-macro>#",
    "<ac:task-list><ac:task><ac:task-id>no</ac:task-id><ac:task-status>incomplete</ac:task-status><ac:task-body># %"
    "</ac:task-body></ac:task></ac:task-list>", CODE.format("# <\n#") + "%",
]  # fmt: skip


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
        ("<table><tr><td><p>a</p><ul><li>b</li></ul></td><td></td><td>c<br/>d<pre>e\nf</pre></td></tr></table>",
         "a b | | c d e f"),
        ("<table><tr><td>a<table><tr><td>b</td><td>c</td></tr></table>d</td><td>e</td></tr><tr><td>f</td></tr></table>",
         "a | b | c d | e\nf"),
        ('<li><input type="checkbox" checked=""/>a</li><li><input type="checkbox"/>b<input value="no"/></li>',
         "[x] a\n[ ] b"),
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
        ('<p>hi <ac:link><ri:user ri:account-id="no"/></ac:link>, <ac:emoticon ac:name="smile"/> you</p>',
         "hi , :smile: you"),
        ('<ac:parameter ac:name="no"/>kept<ac:parameter ac:name="no">no</ac:parameter>', "kept"),
        ('<ac:structured-macro ac:name="info"><ac:parameter ac:name="title">Note</ac:parameter><ac:rich-text-body>'
         "<p>in</p></ac:rich-text-body></ac:structured-macro>out", "Note\nin\nout"),
        ("<ac:task-list><ac:task><ac:task-id>no</ac:task-id><ac:task-status>complete</ac:task-status><ac:task-body>a"
         "</ac:task-body></ac:task><ac:task><ac:task-status>incomplete</ac:task-status><ac:task-body>b</ac:task-body>"
         "</ac:task></ac:task-list>", "[x] a\n[ ] b"),
        ("<ac:layout><ac:layout-section><ac:layout-cell><p>a</p></ac:layout-cell><ac:layout-cell>b</ac:layout-cell>"
         "</ac:layout-section></ac:layout>", "a\nb"),
        ('<ac:structured-macro ac:name="children"/>', ""),
        ('<p>a <ac:structured-macro ac:name="status"><ac:parameter ac:name="colour">Red</ac:parameter>'
         '<ac:parameter ac:name="title">LATE</ac:parameter></ac:structured-macro> b</p>', "a LATE b"),
        ('<p>see <ac:structured-macro ac:name="jira"><ac:parameter ac:name="server">no</ac:parameter>'
         '<ac:parameter ac:name="key">ABC-1</ac:parameter></ac:structured-macro>.</p>', "see ABC-1."),
        ('<ac:structured-macro ac:name="toc"><ac:parameter ac:name="maxLevel">3</ac:parameter></ac:structured-macro>',
         ""),
        ('<ac:structured-macro ac:name="expand"><ac:parameter ac:name="title">More</ac:parameter><ac:rich-text-body>'
         "in</ac:rich-text-body></ac:structured-macro>out", "More\nin\nout"),
        ('a<ac:structured-macro ac:name="include"><ac:parameter ac:name=""><ac:link><ri:page ri:content-title="Terms"/>'
         "</ac:link></ac:parameter></ac:structured-macro>b", "a\nTerms\nb"),
        ('<ac:structured-macro ac:name="view-file"><ac:parameter ac:name="name"><ri:attachment ri:filename="r.pdf"/>'
         "</ac:parameter></ac:structured-macro>", "r.pdf"),
        ('<ac:link><ri:user ri:username="ada"/></ac:link> <ac:link>\n<ri:page ri:content-title="P" />\n</ac:link>',
         "@ada P"),
        ('<p>by <time datetime="2024-05-01"/> or <time datetime="no">May</time>.</p>', "by 2024-05-01 or May."),
        ('<p><ac:emoticon ac:name="x" ac:emoji-shortname=":y:" ac:emoji-fallback="🚀"/> go</p>', "🚀 go"),
        ('<ac:image ac:alt="plan"><ri:attachment ri:filename="no"/><ac:caption><p>Fig. 1</p></ac:caption></ac:image>z',
         "plan\nFig. 1\nz"),
        ('<ac:adf-extension><ac:adf-node type="panel"><ac:adf-attribute key="k">no</ac:adf-attribute><ac:adf-content>'
         "<p>yes</p></ac:adf-content></ac:adf-node><ac:adf-fallback><p>yes</p></ac:adf-fallback></ac:adf-extension>",
         "yes"),
        ("<ac:task-list><ac:task><ac:task-uuid>no</ac:task-uuid><ac:task-status>complete</ac:task-status><ac:task-body>"
         "<span>a <b>b</b></span></ac:task-body></ac:task></ac:task-list>", "[x] a b"),
        ('<p>one</p><iframe src="x"/><p>two</p><pre/><textarea/><p>three</p>', "one\ntwo\nthree"),
        ('<ac:link><ri:page ri:content-title="a > b"/></ac:link> c', "a > b c"),
        ("<ac:link>a />b</ac:link>", "a />b"),
        ("<p>&eacute;&#233;&#xe9; &unknown; &#0;</p>", "ééé &unknown; \ufffd"),
    ],
)  # fmt: skip
def test_storage_format(body: str, text: str) -> None:
    assert plain_text(body) == text


def test_code_is_shortened_to_its_beginning() -> None:
    text = plain_text(CODE.format("\n".join(f"line {number}" for number in range(100))))
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 19 …")
    assert len(plain_text(f"<pre>{'x' * 5_000}</pre>")) == 1_002


@pytest.mark.parametrize("name", BODIES)
def test_hostile_body_of_10_mb_takes_bounded_time_and_memory(name: str) -> None:
    """In a process of its own, so that what hangs is ended, and the peak is that body's. All take less than 0.5 s."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "tests.policy.hostile", name]
    environ = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=True, timeout=10)
    measured = json.loads(done.stdout)
    assert measured["chars"] <= 5 * MAX_CHARS
    assert measured["peak_bytes"] < 200 * 2**20


def test_deep_and_long_bodies_lose_no_text() -> None:
    assert plain_text("<div>" * 5_000 + "deep" + "</div>" * 5_000 + "after").split() == ["deep", "after"]
    assert plain_text("".join(f"<p>w{number}</p>" for number in range(5_000))).count("w") == 5_000
    assert plain_text("a < b " + "c" * 10_000) == "a < b " + "c" * 10_000
    assert plain_text(f'<p>a<img src="data:{"A" * 10_000}" />b</p>') == "ab"


def test_large_table_keeps_its_rows_though_it_is_read_in_pieces() -> None:
    rows = [[f"r{row}c{column}" for column in range(7)] for row in range(1_000)]
    cells = "".join(f"<tr>{''.join(f'<td><p>{cell}</p></td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><tbody>{cells}</tbody></table>"
    lines = [" | ".join(row) for row in rows]
    assert plain_text(f"{table}after").split("\n") == [*lines, "after"]
    nested = plain_text(f"<table><tr><td>{table}</td><td>after</td></tr></table>")
    assert nested.replace("|", " ").split() == [cell for row in rows for cell in row] + ["after"]
    assert nested.count("|") > 6_900


def test_long_text_keeps_its_words_though_it_is_read_in_pieces() -> None:
    text = "".join(f"<p>o<b>n</b>e<i> </i>w{number}</p>" for number in range(3_000))
    assert plain_text(text).split("\n") == [f"one w{number}" for number in range(3_000)]


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_read_and_blank_lines_are_gone(body: str) -> None:
    text = plain_text(body)
    assert all(line and line == line.strip(" ") for line in text.split("\n")) or text == ""


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_broken_markup_never_raises_and_gives_no_more_than_it_got(tokens: list[str]) -> None:
    body = "".join(tokens)
    text = page_text(body)
    assert len(text) <= 4 * len(body)
    assert normalise(text) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes) -> None:
    for body in (raw.decode("latin-1"), raw.decode("utf-8", "replace"), raw.decode("utf-8", "surrogateescape")):
        page_text(body).encode()


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> str:
    """Storage format in which every `#` stands for a visible word."""
    if depth == 0:
        return draw(st.sampled_from(INLINE))
    inside = " ".join(draw(st.lists(documents(depth - 1), max_size=3)))
    return draw(st.sampled_from(AROUND)).replace("%", inside)


@given(st.lists(documents(), max_size=4))
def test_every_visible_word_is_kept_in_order(parts: list[str]) -> None:
    body, *rest = " ".join(parts).split("#")
    body += "".join(f"word{number}{text}" for number, text in enumerate(rest))
    words = page_text(body).replace("|", " ").split()
    assert [word for word in words if word.startswith("word")] == [f"word{number}" for number in range(len(rest))]


@given(st.text())
def test_normalise_is_idempotent_and_folds(text: str) -> None:
    folded = normalise(text)
    assert normalise(folded) == folded
    assert "  " not in folded
    assert "\n" not in folded
    assert unicodedata.is_normalized("NFC", folded)


@given(st.text(alphabet=st.sampled_from("ab \n\t\x1f\xa0\xad\u2028\u3000")))
def test_normalise_leaves_one_blank_for_any_white_space(text: str) -> None:
    assert normalise(text) == " ".join(text.replace("\xad", "").split())


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("in\u200bvi\u00adsi\ufeffble", "invisible"),
        ("\u202eturned\u202c \u2066round\u2069", "turned round"),
        ("hid\U000e0068\U000e0069den", "hidden"),
        ("a\x01b \x7f\x85 c", "ab c"),
        ("e\u200b\u0301", "é"),
        ("नमस्‍ते 👩‍💻", "नमस्‍ते 👩‍💻"),
    ],
)
def test_normalise_drops_what_shows_nothing(text: str, seen: str) -> None:
    assert normalise(text) == seen


@given(st.text(st.sampled_from("a\u0301\u0316\u0345\u0344\u0958\U0001d160\xad "), max_size=200))
def test_normalise_is_idempotent_where_marks_pile_up(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.integers(0, 200), st.integers(0, 250))
def test_piles_of_marks_are_cut_at_100(letters: int, marks: int) -> None:
    text = "b" * letters + "\u0316" * marks + "c"
    assert normalise(text) == "b" * letters + "\u0316" * min(marks, 100) + "c"


def test_piles_that_grow_in_normal_form_are_cut_again() -> None:
    once = normalise("a" + "\u0344" * 90)
    assert len(once) == 101
    assert normalise(once) == once


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
