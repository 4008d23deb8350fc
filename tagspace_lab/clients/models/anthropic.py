"""Anthropic messages, answered in the form of a tool call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
from pydantic_core import to_json

from tagspace_lab.clients.models.addresses import find_endpoint
from tagspace_lab.clients.models.concessions import Concessions, Part
from tagspace_lab.clients.models.wire import Content, Question, ask, count, get, strip_thoughts
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Cost, Reply

__all__ = ["AnthropicModel"]

_PATH, _VERSION = "/messages", "/v1"
_TOOL = "tag_pages"
_PARTS = (
    Part("cache_control", re.compile(r"cache_control|prompt caching")),
    Part("temperature", re.compile(r"temperature")),
    Part("tools", re.compile(r"tool_choice|\btools?\b|input_schema")),
)
_REMARKS = {
    "max_tokens": "the answer was cut off at its longest",
    "model_context_window_exceeded": "the answer was cut off where the model's context ends",
    "refusal": "the model refused to answer",
}


@dataclass(frozen=True, slots=True)
class AnthropicModel:
    """`POST {base_url}/v1/messages` with a tool-shaped answer; the fixed part of the prompt is marked for caching.

    `base_url` is what the vendor's SDK takes, without `/v1`; with it is understood, too. Input tokens are all that
    the model read: fresh, written to the prompt cache, and read from it. What a server does not take of a request
    (`cache_control`, `temperature`, tools), the next one goes without. Raises SettingsError for a base URL that is no
    address.
    """

    http: httpx.AsyncClient
    base_url: str
    name: str
    api_key: str
    timeout_s: float
    wall_clock: Callable[[], float]
    concessions: Concessions = field(default_factory=lambda: Concessions(_PARTS))

    def __post_init__(self) -> None:
        find_endpoint(self.base_url, _PATH, _VERSION)

    async def send(self, prompt: Prompt) -> Reply:
        url, left_out = find_endpoint(self.base_url, _PATH, _VERSION), self.concessions.left_out
        headers = {"anthropic-version": "2023-06-01"} | ({"x-api-key": self.api_key} if self.api_key else {})
        concede = partial(self.concessions.learn, left_out=left_out)
        question = Question(url, headers, self._word(prompt, left_out), _read, concede)
        return await ask(self.http, question, self.timeout_s, self.wall_clock)

    def _word(self, prompt: Prompt, left_out: frozenset[str]) -> dict[str, Any]:
        system: dict[str, Any] = {"type": "text", "text": prompt.system}
        if "cache_control" not in left_out:
            system["cache_control"] = {"type": "ephemeral"}
        body: dict[str, Any] = {
            "model": self.name,
            "max_tokens": prompt.max_output_tokens,
            "system": [system],
            "messages": [{"role": "user", "content": prompt.user}],
        }
        if "temperature" not in left_out:
            body["temperature"] = 0
        if "tools" not in left_out:
            body["tools"] = [{"name": _TOOL, "description": "Give the labels.", "input_schema": prompt.schema}]
            body["tool_choice"] = {"type": "tool", "name": _TOOL}
        return body

    def __repr__(self) -> str:
        return f"AnthropicModel({self.name!r} at {find_endpoint(self.base_url, _PATH, _VERSION).host})"


def _read(document: Any) -> Content:
    blocks = get(document, "content")
    blocks = blocks if isinstance(blocks, list) else []
    usage, reason = get(document, "usage"), get(document, "stop_reason")
    cached = count(usage, "cache_read_input_tokens")
    created = count(usage, "cache_creation_input_tokens")
    used = Cost(count(usage, "input_tokens") + created + cached, count(usage, "output_tokens"))
    remark = _REMARKS.get(reason, "") if isinstance(reason, str) else ""
    return Content(_text(blocks), used, cached, remark)


def _text(blocks: list[Any]) -> str:
    """The tool call as JSON; without one, the text."""
    for block in blocks:
        if get(block, "type") == "tool_use" and (given := get(block, "input")) is not None:
            return given if isinstance(given, str) else _dump(given)
    return strip_thoughts("".join(text for block in blocks if isinstance(text := get(block, "text"), str)))


def _dump(given: Any) -> str:
    try:
        return to_json(given).decode()
    except (ValueError, RecursionError):  # nested too deeply, or half a surrogate pair: not what was asked for
        return ""
