"""What a page says, without its markup: storage format or HTML in, plain text, tokens and cache-key text out.

Lexbor reads the markup, as HTML5. Two things of storage format mean something else there and are
rewritten first: CDATA (a comment in HTML that ends at the first ">") and self-closing `ac:` and `ri:`
elements (left open in HTML, so that they would swallow what follows).

A page is hostile input. Lexbor takes quadratic time over deep nesting (100,000 nested elements: 23 s)
and over attributes of one tag (100,000: 38 s), so a body is cut at `MAX_CHARS`, read in pieces of
`_PIECE_TAGS` tags, a longer tag than `_TAG_CHARS` is dropped, and reading ends after `_MAX_NODES` nodes.
A piece that is cut out of a deeper structure loses no text, at most a line break.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from unicodedata import normalize

from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ["MAX_CHARS", "cut", "estimate_tokens", "normalise", "page_text", "plain_text"]

MAX_CHARS = 1_000_000
_PIECE_TAGS = 1_000
_TAG_CHARS = 4_096
_MAX_NODES = 200_000
_CODE_LINES = 20
_CODE_CHARS = 1_000

_CELL = " | "
_LINE = "\n"
_BREAKS = (_LINE, _CELL)
_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure footer"
    " form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary table tbody tfoot thead tr ul"
    " ac:adf-extension ac:layout ac:layout-cell ac:layout-section ac:plain-text-body ac:rich-text-body"
    " ac:structured-macro ac:task ac:task-list".split()
)
_CELLS = frozenset({"td", "th"})
_CODE = frozenset({"pre", "ac:plain-text-body"})
_READ_BLOCKS = _BLOCKS - _CODE
_DROPPED = frozenset("script style head template iframe noembed noframes svg math ac:task-id ac:placeholder".split())
_SEEN_PARAMETERS = frozenset({"title", "key"})


def plain_text(body: str) -> str:
    """The text of `body` in reading order: one line a block, table cells parted by " | ", no blank lines.

    Code is kept but shortened to 20 lines or 1,000 characters. Scripts, styles and the settings of
    macros are dropped; links without words show their target's title, images their alternative text.
    Never raises: broken markup gives what a browser would show, and text after `MAX_CHARS` is lost.
    """
    parts: list[str] = []
    nodes_left = _MAX_NODES
    for piece in _pieces(_as_html(body[:MAX_CHARS])):
        root = LexborHTMLParser(piece.encode("utf-8", "replace")).body
        if root is not None:
            nodes_left -= _read(root, parts, nodes_left)
        if nodes_left <= 0:
            break
    lines = map(_tidy, "".join(parts).replace("\xa0", " ").replace("\t", " ").split(_LINE))
    return _LINE.join(filter(None, lines))


def page_text(body: str) -> str:
    """What a prompt shows of a page's body, and its cache key is made of: its plain text, normalised."""
    return normalise(plain_text(body))


def normalise(text: str) -> str:
    """`text` as a cache key sees it: Unicode NFC, every run of white space one blank. Idempotent."""
    line = normalize("NFC", text).replace(_LINE, " ")
    # Of all white space only the blank is printable: what is well spaced already need not be split into words.
    is_tidy = line.isprintable() and "  " not in line and line == line.strip()
    return line if is_tidy else " ".join(line.split())


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` costs: 4 ASCII characters each, or 3 UTF-8 bytes of anything else.

    Within some 15 % for English prose; a Chinese character counts as one. Never less than 1 for a text
    that is not empty, and never falls when text is appended.
    """
    if text.isascii():
        return -(-len(text) // 4)
    other = len(text) - len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "replace")) - len(text) + other
    return -(-(3 * (len(text) - other) + 4 * other_bytes) // 12)


def cut(text: str, max_tokens: int) -> str:
    """The longest beginning of `text` that is estimated at `max_tokens` or less, ended between two words if it can."""
    if estimate_tokens(text) <= max_tokens:
        return text
    fits, too_long = 0, min(len(text), 4 * max(max_tokens, 0) + 1)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if estimate_tokens(text[:middle]) <= max_tokens:
            fits = middle
        else:
            too_long = middle
    if not text[fits].isspace():
        words_end = max(text.rfind(" ", 0, fits), text.rfind(_LINE, 0, fits))
        fits = words_end if words_end > 0.9 * fits else fits
    return text[:fits].rstrip()


def _tidy(line: str) -> str:
    line = line.strip("| \r")
    return " ".join(line.split()) if "  " in line else line


def _as_html(body: str) -> str:
    """`body` with its CDATA as escaped text and its self-closing `ac:` and `ri:` elements closed."""
    body = body.replace("\0", "")
    if "<![CDATA[" in body:
        first, *rest = body.split("<![CDATA[")
        body = first + "".join(_unwrapped(section) for section in rest)
    if "/>" in body and ("<ac:" in body or "<ri:" in body):
        *closed, last = body.split("/>")
        body = "".join(part + _end_of(part) for part in closed) + last
    return body


def _unwrapped(section: str) -> str:
    text, _, after = section.partition("]]>")
    return escape(text, quote=False) + after


def _end_of(part: str) -> str:
    """What stands for the "/>" after `part`, which ends with an open tag."""
    tag = part[part.rfind("<") + 1 :]
    if not tag.startswith(("ac:", "ri:")):
        return "/>"
    return f"></{tag.split(None, 1)[0]}>"


def _pieces(html: str) -> Iterator[str]:
    """`html` in pieces of at most `_PIECE_TAGS` tags, none of them longer than `_TAG_CHARS`."""
    parts = html.split("<")
    if len(parts) <= _PIECE_TAGS and max(map(len, parts)) <= _TAG_CHARS:
        yield html
        return
    parts[1:] = map(_bounded_tag, parts[1:])
    for start in range(0, len(parts), _PIECE_TAGS):
        yield "".join(parts[start : start + _PIECE_TAGS])


def _bounded_tag(part: str) -> str:
    """The "<" that belongs before `part`, with `part`: as it is, as text where no tag ends, or less an endless tag."""
    end = part.find(">")
    if end > _TAG_CHARS:
        return part[end + 1 :]
    return f"&lt;{part}" if end < 0 and len(part) > _TAG_CHARS else f"<{part}"


def _read(root: LexborNode, parts: list[str], max_nodes: int) -> int:
    """Append the text under `root` to `parts`, and count the nodes that were looked at."""
    resume_at: int | None = None
    count = 0
    for node in root.traverse(include_text=True):
        count += 1
        if count > max_nodes:
            break
        if resume_at is not None:
            if node.mem_id != resume_at:
                continue
            resume_at = None
        tag = node.tag
        if tag == "-text":
            _add_text(node, parts)
        elif tag in _READ_BLOCKS:
            # Confluence wraps the text of a cell in <p>: the first block of a cell begins no line.
            if not (parts and parts[-1] == _CELL):
                parts.append(_LINE)
        elif tag in _CELLS:
            parts.append(_CELL)
        elif (shown := _shown_whole(node, tag)) is not None:
            parts.append(shown)
            after = _node_after(node)
            if after is None:
                break
            resume_at = after.mem_id
        elif _follows_block(node):
            parts.append(_LINE)
    return count


def _add_text(node: LexborNode, parts: list[str]) -> None:
    text = node.text_content or ""
    if not text.isspace():
        if _follows_block(node):
            parts.append(_LINE)
        parts.append(text.replace(_LINE, " "))
    elif parts and parts[-1] not in _BREAKS:
        parts.append(" ")


def _follows_block(node: LexborNode) -> bool:
    before = node.prev
    return before is not None and before.tag in _BLOCKS


def _node_after(node: LexborNode | None) -> LexborNode | None:
    """The next node in reading order that is not inside `node`."""
    while node is not None:
        if node.next is not None:
            return node.next
        node = node.parent
    return None


def _shown_whole(node: LexborNode, tag: str | None) -> str | None:
    """What an element shows whose inside is not to be read, or None where it is."""
    if tag is None or tag in _DROPPED:
        return ""
    if tag in _CODE:
        return f"{_LINE}{_shortened(node.text())}{_LINE}"
    if tag == "img" or tag == "ac:image":
        return f" {node.attributes.get('alt') or node.attributes.get('ac:alt') or ''} "
    if tag == "ac:task-status":
        return "[x] " if node.text().strip() == "complete" else "[ ] "
    if tag == "ac:parameter" and node.attributes.get("ac:name") not in _SEEN_PARAMETERS:
        return ""
    if tag.startswith("ri:"):
        return _target(node) if node.next is None else ""
    return None


def _target(node: LexborNode) -> str:
    """The name of what a link without words leads to."""
    return node.attributes.get("ri:content-title") or node.attributes.get("ri:filename") or ""


def _shortened(code: str) -> str:
    lines = code.strip()[: _CODE_CHARS + 1].splitlines()
    short = _LINE.join(lines[:_CODE_LINES])[:_CODE_CHARS]
    return short if short == code.strip() else f"{short} …"
