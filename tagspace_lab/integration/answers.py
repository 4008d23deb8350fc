"""What agents answer in the wild, put into the form that `policy/prompts.py` reads.

Agents were written to other prompts than ours: they fence their JSON, talk around it, key it by page id, say `tags`
where we say `labels`, or give one page's labels as a line with commas. Nothing is guessed across pages: an answer
that names no page is taken for a single page only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["read_answer"]

_ID_NAMES = ("id", "page_id", "pageId", "page")
_LABEL_NAMES = ("labels", "tags", "keywords", "topics", "categories", "label", "tag")
_START = re.compile(r"[\[{]")
_MOST_STARTS = 60
_LINE = r"^[\s*\-#\"'`]*+(?:page[\s_]*+)?(?:id[\s:=]*+)?[\"'`\[]*+%s[\"'`\]]*+\s*+[:=\-–—>]++\s*+(.+)$"
_PREFIX = re.compile(r"^\W*(?:labels?|tags?|keywords?|topics?)\b[^:\n]{0,40}:", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")
_LONGEST_LABEL_WORDS = 3
_MOST_CHARS = 1_000_000


def read_answer(answer: Any, page_ids: tuple[str, ...]) -> str:
    """`answer` as `{"pages": [{"id": ..., "labels": [...]}]}`, or as it is where nothing can be made of it."""
    entries: list[tuple[str, list[str]]] = []
    if not isinstance(answer, str):
        entries = list(_entries(answer, page_ids))
        return _dump(entries) if entries else str(answer)
    text = answer[:_MOST_CHARS]
    for document in _documents(text):
        known = {page_id for page_id, _ in entries}
        entries += [entry for entry in _entries(document, page_ids) if entry[0] not in known]
        if known.union(page_id for page_id, _ in entries).issuperset(page_ids):
            break
    entries = entries or list(_lines(text, page_ids))
    return _dump(entries) if entries else text


def _dump(entries: list[tuple[str, list[str]]]) -> str:
    return json.dumps({"pages": [{"id": page_id, "labels": labels} for page_id, labels in entries]})


def _documents(text: str) -> Iterator[Any]:
    """The JSON values in a text, wherever they begin: whole ones, the outermost first."""
    decoder = json.JSONDecoder()
    position = 0
    for _ in range(_MOST_STARTS):
        start = _START.search(text, position)
        if start is None:
            return
        try:
            document, position = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.start() + 1
        else:
            yield document


def _entries(document: Any, page_ids: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """(page id, labels) of every page that a JSON value speaks of."""
    if isinstance(document, list):
        named = [entry for entry in document if isinstance(entry, dict)]
        if not named:
            yield from _of_single(document, page_ids)
        for entry in named:
            yield from _entry(entry, page_ids)
    elif isinstance(document, dict):
        keys = {str(key): value for key, value in document.items()}
        if any(page_id in keys for page_id in page_ids):
            for page_id in page_ids:
                if (labels := _labels(keys.get(page_id))) is not None:
                    yield page_id, labels
        elif found := list(_entry(document, page_ids)):
            yield from found
        else:
            for name, value in keys.items():
                if _is_wrapped(name, value) and (found := list(_entries(value, page_ids))):
                    yield from found
                    return


def _is_wrapped(name: str, value: Any) -> bool:
    """Whether pages may stand under this name; a bare list under another page's id is that page's."""
    is_bare = isinstance(value, list) and not any(isinstance(entry, dict) for entry in value)
    return isinstance(value, list | dict) and not (is_bare and any(char.isdigit() for char in name))


def _entry(entry: dict[str, Any], page_ids: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    labels = _labels(entry)
    page_id = _page_id(entry)
    if labels is None:
        return
    if page_id is not None:
        yield page_id, labels
    elif len(page_ids) == 1:
        yield page_ids[0], labels


def _page_id(entry: dict[str, Any]) -> str | None:
    return next((str(entry[name]) for name in _ID_NAMES if isinstance(entry.get(name), str | int)), None)


def _labels(value: Any) -> list[str] | None:
    """Labels of a list, of a line with commas, or of an object that holds either."""
    if isinstance(value, dict):
        return next((labels for name in _LABEL_NAMES if (labels := _labels(value.get(name))) is not None), None)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        return None
    names = [_name(label) for label in value]
    return [name for name in names if name is not None] if None not in names or not value else None


def _name(label: Any) -> str | None:
    """A label's name: of a string, or of an object such as `{"name": "howto", "score": 0.9}`."""
    if isinstance(label, dict):
        label = next((label[name] for name in ("name", "label", "tag") if name in label), None)
    return str(label) if isinstance(label, str | int) and not isinstance(label, bool) else None


def _of_single(labels: list[Any], page_ids: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    if len(page_ids) == 1 and (names := _labels(labels)) is not None:
        yield page_ids[0], names


def _lines(text: str, page_ids: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Lines such as `1001: howto, network`; for a single page a bare list, on one line or on several."""
    for page_id in page_ids:
        form = re.compile(_LINE % re.escape(page_id), re.IGNORECASE)
        for line in text.splitlines():
            if (match := form.match(line)) and (labels := _words(match[1])):
                yield page_id, labels
                break
        else:
            if len(page_ids) == 1 and (labels := _bare(text)):
                yield page_id, labels


def _bare(text: str) -> list[str]:
    """The labels of an answer that is nothing but a list. A word alone is none: it may be "Sorry", or "null"."""
    labels = _words(text)
    return labels if len(labels) > 1 or _PREFIX.match(text) or _BULLET.match(text) else []


def _words(text: str) -> list[str]:
    """The parts of a bare list, if every one of them is as short as a label; prose gives none."""
    lines = [_BULLET.sub("", _PREFIX.sub("", line)) for line in text.replace("```", "").splitlines()]
    parts = [part.strip(" \t\"'`*[]") for line in lines for part in line.split(",")]
    parts = [part for part in parts if part]
    is_list = all(len(part.split()) <= _LONGEST_LABEL_WORDS and not re.search(r"[.!?'\"{}<>:]", part) for part in parts)
    return parts if is_list else []
