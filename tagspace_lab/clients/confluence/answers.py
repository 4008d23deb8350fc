"""What a Confluence answers, read with suspicion: JSON into pages and labels, or a ValueError.

Where the readers raise anything, it is one of :data:`MALFORMED`; no I/O here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from tagspace_lab.records import Page

__all__ = ["MALFORMED", "parse_object", "read_id", "read_labels", "read_name", "read_page", "results_of"]

MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading an answer may raise: it is not what the interface promises."""

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; NaN and infinities are no JSON."""
    document = json.loads(raw, parse_constant=_refuse)
    if not isinstance(document, dict):
        raise TypeError(f"a JSON {type(document).__name__} where an object was expected")
    return document


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def results_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one listing."""
    rows = document["results"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("results is no list of objects")
    return rows


def read_id(value: Any) -> str:
    """An id, which becomes part of addresses: letters, digits, - and _, and nothing else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _ID.fullmatch(text):
        raise ValueError("an id has only letters, digits, - and _")
    return text


def read_page(row: dict[str, Any]) -> Page:
    """A page as both interfaces show it; body, title and version may be missing, labels come with v1 only."""
    body = (row.get("body") or {}).get("storage") or {}
    page = Page(
        read_id(row["id"]),
        _text(row.get("title")),
        _text(body.get("value")),
        _read_version((row.get("version") or {}).get("number")),
    )
    labels = (row.get("metadata") or {}).get("labels")
    return replace(page, labels=read_labels(results_of(labels))) if labels else page


def read_labels(rows: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """The names of the labels that everybody sees, each once, in the order given."""
    names = [_text(row["name"]) for row in rows if row.get("prefix", "global") == "global"]
    return tuple(dict.fromkeys(name for name in names if name))


def read_name(user: dict[str, Any], *keys: str) -> str:
    """An account's name, from the first of `keys` that has one; what a terminal would obey is left out."""
    name = next((str(user[key]) for key in keys if user.get(key)), "")
    return "".join(filter(str.isprintable, name[:80]))


def _text(value: Any) -> str:
    """A string that can be written as UTF-8: half a surrogate pair becomes `?`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("a text is no string")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _read_version(value: Any) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("a version is no number")
    return value
