"""A space held in a list, and requests as a client would send them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tagspace_lab.records import Page


@dataclass(frozen=True)
class ListSpace:
    """Pages 1000, 1001, ... with one to three labels of ten."""

    pages: int = 60
    name: str = "Listed"
    key: str = "LIST"
    last_day: int = 0
    content_hash: str = "listed"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return tuple(f"topic-{number}" for number in range(10))

    def __len__(self) -> int:
        return self.pages

    def page(self, index: int, day: int = 0) -> Page:
        if not 0 <= index < self.pages:
            raise IndexError(index)
        page_id = str(1000 + index)
        body = f"<p>Page {index} & its text on day {day}</p>"
        return Page(page_id, f"Title {index}", body, day + 1, self.gold(page_id))

    def index_of(self, page_id: str) -> int:
        if not page_id.isdecimal() or not 1000 <= int(page_id) < 1000 + self.pages:
            raise KeyError(page_id)
        return int(page_id) - 1000

    def gold(self, page_id: str) -> tuple[str, ...]:
        index = self.index_of(page_id)
        return tuple(f"topic-{(index + step) % 10}" for step in range(1 + index % 3))


@dataclass(frozen=True)
class Caller:
    """Builds clients of an app and the requests of both vendors."""

    system: str = "Tag pages."

    def connect(self, app: Starlette, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://twin", timeout=None, **options)

    def prompt(self, page_ids: Sequence[str], text: str = "Some text") -> str:
        pages = [{"id": page_id, "title": f"Title of {page_id}", "text": text} for page_id in page_ids]
        return f"Tag these {len(pages)} pages.\n{json.dumps(pages, ensure_ascii=False)}"

    def chat(self, page_ids: Sequence[str] = ("1000",), **more: Any) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.prompt(page_ids)},
        ]
        return {
            "url": "/v1/chat/completions",
            "headers": {"authorization": "Bearer key"},
            "json": {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 500, "temperature": 0} | more,
        }

    def message(self, page_ids: Sequence[str] = ("1000",), **more: Any) -> dict[str, Any]:
        content = {
            "model": "claude-3-5-haiku",
            "max_tokens": 500,
            "system": [{"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": self.prompt(page_ids)}],
            "tools": [{"name": "tag_pages", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "tag_pages"},
        }
        headers = {"x-api-key": "key", "anthropic-version": "2023-06-01"}
        return {"url": "/v1/messages", "headers": headers, "json": content | more}


@pytest.fixture
def space() -> ListSpace:
    return ListSpace()


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def specs() -> Path:
    """The vendors' documents, which lie beside the checkout or nowhere."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
    if not folder.is_dir():
        pytest.skip("the vendors' documents are not at ../shared/specs")
    return folder
