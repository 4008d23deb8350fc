"""A page's body, storage format or HTML, as trees that are cheap to make and to read, whatever stands in it.

Lexbor reads the markup, as HTML5. Two things of storage format mean something else there and are
rewritten first: CDATA (a comment in HTML that ends at the first ">") and self-closing elements (left open
in HTML, so that they would swallow what follows).

A page is hostile input. Lexbor takes quadratic time over deep nesting (100,000 nested elements: 23 s), over
the attributes of one tag (100,000: 38 s), and over those of all <html> and <body> tags, which become one. So a
body is cut at `MAX_CHARS` and parsed in pieces of `_PIECE_TAGS` tags, without tags that are longer than
`_TAG_CHARS`. Pieces end between blocks and rows of a table where they can: what is cut out of a deeper
structure loses no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from selectolax.lexbor import LexborHTMLParser

__all__ = ["MAX_CHARS", "trees"]

MAX_CHARS = 1_000_000
_PIECE_TAGS = 1_000
_TAG_CHARS = 4_096
_SMALL_CHARS = 32_768  # too few for attributes of <html> and <body> that take long
_MAX_TABLES = 20
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_ROOTS = ("<html", "<body")
_ROWS = ("<tr",)
_BLOCKS = (*_ROWS, "<p", "<h", "<li", "<td", "<th", "<div", "<br", "<table", "<ac:structured-macro", "<ac:task>")


def trees(body: str) -> Iterator[LexborHTMLParser]:
    """`body` parsed, in pieces that follow each other; mostly there is one."""
    for piece in _pieces(_as_html(body[:MAX_CHARS])):
        yield LexborHTMLParser(piece.encode("utf-8", "replace"))


def _as_html(body: str) -> str:
    """`body` with its CDATA as escaped text and its self-closing elements closed."""
    body = body.replace("\0", "")
    if "<![CDATA[" in body:
        first, *rest = body.split("<![CDATA[")
        body = first + "".join(map(_unwrapped, rest))
    if "/>" in body:
        *closed, last = body.split("/>")
        body = "".join(part + _end_of(part) for part in closed) + last
    return body


def _unwrapped(section: str) -> str:
    text, _, after = section.partition("]]>")
    return escape(text, quote=False) + after


def _end_of(part: str) -> str:
    """What stands for the "/>" after `part`, which ends with an open tag."""
    tag = part[part.rfind("<") + 1 :]
    if not tag[:1].isalpha() or (">" in tag and _is_ended(tag)):
        return "/>"
    name = tag.split(None, 1)[0]
    return "/>" if name.lower() in _VOID else f"></{name}>"


def _is_ended(tag: str) -> bool:
    """Whether a ">" stands outside of the quoted attributes of `tag`."""
    return any(">" in outside for outside in tag.split('"')[::2])


def _pieces(html: str) -> Iterator[str]:
    """`html` in pieces of at most `_PIECE_TAGS` tags, none of them longer than `_TAG_CHARS`."""
    parts = html.split("<")
    is_small = len(html) <= _SMALL_CHARS or not _has_many_roots(html)
    if is_small and len(parts) <= _PIECE_TAGS and max(map(len, parts)) <= _TAG_CHARS:
        yield html
        return
    parts[1:] = map(_bounded_tag, parts[1:])
    start = tables = 0
    while start < len(parts):
        opened = "<table><tr><td>" * (tables - 1) + "<table>" if tables else ""
        end = _find_end(parts, start, is_table=tables + _tables(parts[start : start + _PIECE_TAGS]) > 0)
        piece = parts[start:end]
        yield opened + "".join(piece)
        start, tables = end, min(max(tables + _tables(piece), 0), _MAX_TABLES)


def _has_many_roots(html: str) -> bool:
    lowered = html.lower()
    return any(lowered.count(root) > 1 for root in _ROOTS)


def _bounded_tag(part: str) -> str:
    """The "<" that belongs before `part`, with `part`: as it is, as text where no tag ends, or less an endless tag."""
    end = part.find(">")
    if end > _TAG_CHARS or (end >= 0 and part[:4].lower() in ("html", "body")):
        return part[end + 1 :]
    return f"&lt;{part}" if end < 0 and len(part) > _TAG_CHARS else f"<{part}"


def _find_end(parts: Sequence[str], start: int, *, is_table: bool) -> int:
    """Where the piece that begins at `start` ends: the last row, or block, in the second half of what it may hold."""
    most = start + _PIECE_TAGS
    if most >= len(parts):
        return len(parts)
    for names in (_ROWS, _BLOCKS) if is_table else (_BLOCKS,):
        for end in range(most, start + _PIECE_TAGS // 2, -1):
            if parts[end].startswith(names):
                return end
    return most


def _tables(parts: Sequence[str]) -> int:
    """How many more tables are opened than closed."""
    return sum(part.startswith("<table") - part.startswith("</table") for part in parts)
