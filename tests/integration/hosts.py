"""A host's own objects, as strangers write them: a wiki, agents of several habits, and their errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Wiki:
    """`count` pages under the ids 1, 2, ...; `broken` ones cannot be read."""

    count: int = 15
    broken: tuple[str, ...] = ()
    labels: dict[str, list[str]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    written: list[tuple[Any, list[str]]] = field(default_factory=list)
    words: str = "text"

    @property
    def ids(self) -> list[str]:
        return [str(number + 1) for number in range(self.count)]

    async def get_page(self, page_id: Any) -> dict[str, Any]:
        self.asked.append(page_id)
        if str(page_id) in self.broken:
            raise LookupError(f"no page {page_id} with the token SECRET")
        return {"id": page_id, "title": f"Page {page_id}", "body": f"<p>{self.words} {page_id}</p>", "version": 1}


@dataclass
class FullWiki(Wiki):
    """One that lists, reads labels and writes them, too."""

    async def list_pages(self, space_key: str) -> list[dict[str, Any]]:
        return [{"id": page_id, "title": f"Page {page_id}"} for page_id in self.ids]

    async def get_labels(self, page_id: Any) -> list[dict[str, str]]:
        return [{"name": label} for label in self.labels.get(str(page_id), [])]

    async def add_labels(self, page_id: Any, labels: list[str]) -> None:
        self.written.append((page_id, labels))
        self.labels.setdefault(str(page_id), []).extend(labels)


def ids_of(prompt: str) -> list[str]:
    return re.findall(r'"id": "(\d+)"', prompt)


def by_id(prompt: str) -> str:
    """Fenced JSON, a dict from page id to tags, with words around it."""
    return "Sure!\n```json\n" + json.dumps({page_id: ["Alpha", "Beta"] for page_id in ids_of(prompt)}) + "\n```"


@dataclass
class Agent:
    """Answers what `say(prompt)` gives, or raises it; `fail_first` errors come before."""

    say: Callable[[str], Any] = by_id
    fail_first: list[BaseException] = field(default_factory=list)
    latency_s: float = 0.0
    prompts: list[str] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def generate(self, prompt: str) -> str:
        self.prompts.append(prompt)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.in_flight -= 1
        if self.fail_first:
            raise self.fail_first.pop(0)
        said = self.say(prompt)
        if isinstance(said, BaseException):
            raise said
        return said  # type: ignore[no-any-return]  # an agent may say anything


class RateLimitError(Exception):
    """As a vendor's SDK raises it."""

    def __init__(self, retry_after: str = "") -> None:
        super().__init__("Error code: 429 - quoting SECRET")
        self.status_code = 429
        self.response = type("Response", (), {"headers": {"Retry-After": retry_after} if retry_after else {}})()
