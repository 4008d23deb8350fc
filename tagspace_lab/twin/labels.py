"""The labels that were written to a simulated Confluence, and what its server makes of their names.

The server splits names on spaces and commas and answers 200 (`new abc, whatever` becomes three labels),
lower-cases them, and refuses other punctuation; who wrote must compare what came back with what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tagspace_lab.twin.noise import draw

__all__ = ["LabelShelf", "split_labels"]

_MAX_CHARS = 255
_FORBIDDEN = frozenset(":;.?&[]()#^*@!'\"`")
_SEPARATORS = re.compile(r"[\s,]+")


class LabelShelf:
    """Labels by page, in the order in which they were added. Memory grows with what is written."""

    def __init__(self) -> None:
        self._by_page: dict[str, dict[str, str]] = {}

    def add(self, page_id: str, labels: Iterable[tuple[str, str]]) -> None:
        """Add (name, prefix) pairs; what is there stays as it is."""
        shelf = self._by_page.setdefault(page_id, {})
        for name, prefix in labels:
            shelf.setdefault(name, prefix)

    def remove(self, page_id: str, name: str) -> None:
        """Take a label away, if it is there."""
        self._by_page.get(page_id, {}).pop(name, None)

    def names(self, page_id: str) -> tuple[str, ...]:
        """The names alone."""
        return tuple(self._by_page.get(page_id, ()))

    def read(self, page_id: str) -> list[dict[str, str]]:
        """The labels as the v1 interface shows them."""
        return [
            {"prefix": prefix, "name": name, "id": _label_id(name), "label": name}
            for name, prefix in self._by_page.get(page_id, {}).items()
        ]


def split_labels(body: Any) -> list[tuple[str, str]]:
    """The (name, prefix) pairs that the server reads out of a request: one object or a list of them.

    Raises ValueError for anything else and for names that it refuses.
    """
    items = body if isinstance(body, list) else [body]
    if not items or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items):
        raise ValueError("labels must be an object with a name, or a list of such objects")
    labels = []
    for item in items:
        names = [name.lower() for name in _SEPARATORS.split(item["name"]) if name]
        if not names or any(len(name) > _MAX_CHARS or _FORBIDDEN & set(name) for name in names):
            raise ValueError(
                f"label name {item['name'][:_MAX_CHARS]!r} is empty, too long or has a forbidden character"
            )
        labels += [(name, str(item.get("prefix") or "global")) for name in names]
    return labels


def _label_id(name: str) -> str:
    return str(int.from_bytes(draw("label", name, size=4), "big"))
