"""What a page says, without its markup: storage format or HTML in, plain text, tokens and cache-key text out."""

from __future__ import annotations

import re
from unicodedata import combining, normalize

from tagspace_lab.policy.markup import MAX_CHARS, trees
from tagspace_lab.policy.storage import LINE, read

__all__ = ["MAX_CHARS", "cut", "estimate_tokens", "normalise", "page_text", "plain_text"]

_MAX_NODES = 200_000
_MOST_MARKS = 100  # more than three times what UAX #15 (stream-safe text) says any language needs
# What shows nothing, but breaks words, turns them round or hides others: control characters other than white
# space, soft hyphens, zero-width spaces, directions, tags. Joiners shape words and emoji, and stay.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def plain_text(body: str) -> str:
    """The text of `body` in reading order: one line a block or row of a table, cells parted by " | ", no blank lines.

    Code is kept but shortened to 20 lines or 1,000 characters. Scripts, styles and the settings of
    macros are dropped; links without words show their target's title, images their alternative text.
    Never raises: broken markup gives what a browser would show, and text after `MAX_CHARS` is lost.
    """
    parts: list[str] = []
    nodes_left = _MAX_NODES
    for tree in trees(body):
        if tree.body is not None:
            nodes_left -= read(tree.body, parts, nodes_left)
        if nodes_left <= 0:
            break
    lines = map(_tidy, "".join(parts).replace("\xa0", " ").replace("\t", " ").split(LINE))
    return LINE.join(filter(None, lines))


def page_text(body: str) -> str:
    """What a prompt shows of a page's body, and its cache key is made of: its plain text, normalised."""
    return normalise(plain_text(body))


def normalise(text: str) -> str:
    """`text` as a cache key sees it: Unicode NFC, every run of white space one blank, no invisible signs. Idempotent.

    No more than 100 combining marks follow each other: bringing n of them into order takes n² steps.
    """
    line = _composed(text).replace(LINE, " ")
    if line.isprintable():  # so of all white space it holds only blanks
        return line if "  " not in line and line == line.strip() else " ".join(line.split())
    return " ".join(_composed(_INVISIBLE.sub("", line)).split())


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
        words_end = max(text.rfind(" ", 0, fits), text.rfind(LINE, 0, fits))
        fits = words_end if words_end > 0.9 * fits else fits
    return text[:fits].rstrip()


def _tidy(line: str) -> str:
    line = line.strip("| \r")
    return " ".join(line.split()) if "  " in line else line


def _composed(text: str) -> str:
    if text.isascii():
        return text
    text = _without_piles(text)
    composed = normalize("NFC", text)
    return composed if composed == text else _without_piles(composed)  # what is composed there can come apart


def _without_piles(text: str) -> str:
    """`text` with at most `_MOST_MARKS` combining marks in a row."""
    if not any(map(combining, text[:: _MOST_MARKS + 1])):
        return text  # a longer row would hold one of these places
    kept = []
    begin = marks = 0
    for place, sign in enumerate(text):
        if combining(sign):
            marks += 1
            if marks == _MOST_MARKS + 1:
                kept.append(text[begin:place])
        else:
            begin = place if marks > _MOST_MARKS else begin
            marks = 0
    return "".join(kept) + (text[begin:] if marks <= _MOST_MARKS else "")
