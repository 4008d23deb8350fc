"""Model providers over HTTP: OpenAI-compatible chat completions and Anthropic messages.

A client turns a :class:`Prompt` into one request and whatever comes back into a :class:`Reply`; it never
retries and never raises for what a server or a network does. Keys travel in a header and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from pydantic_core import to_json

from tagspace_lab.clients.http import parse_url
from tagspace_lab.policy.headers import is_exhausted, read_rate_limit
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Cost, Outcome, Reply

__all__ = ["AnthropicModel", "Model", "OpenAIModel"]

_CODE = re.compile(r"[A-Za-z_]{1,80}|\d{1,5}")
"""Whatever else stands where an error's code belongs may be a quotation."""


class Model(Protocol):
    """One model at one provider."""

    @property
    def name(self) -> str:
        """The model's name, as it enters cache keys."""

    async def send(self, prompt: Prompt) -> Reply:
        """Ask once."""


@dataclass(frozen=True, slots=True)
class OpenAIModel:
    """`POST {base_url}/chat/completions` with a JSON-schema answer.

    Source: the vendor's OpenAPI document. `wall_clock` gives seconds since the epoch, for dates in headers.
    """

    http: httpx.AsyncClient
    base_url: str
    name: str
    api_key: str
    timeout_s: float
    wall_clock: Callable[[], float]

    async def send(self, prompt: Prompt) -> Reply:
        body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "max_completion_tokens": prompt.max_output_tokens,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "labels", "strict": True, "schema": prompt.schema},
            },
        }
        headers = {"authorization": f"Bearer {self.api_key}"}
        url = f"{self.base_url}/chat/completions"
        return await _ask(self.http, url, headers, body, self.timeout_s, self.wall_clock, _read_openai)

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r} at {_host(self.base_url)})"


@dataclass(frozen=True, slots=True)
class AnthropicModel:
    """`POST {base_url}/messages` with a tool-shaped answer; the fixed part of the prompt is marked for caching."""

    http: httpx.AsyncClient
    base_url: str
    name: str
    api_key: str
    timeout_s: float
    wall_clock: Callable[[], float]

    async def send(self, prompt: Prompt) -> Reply:
        body = {
            "model": self.name,
            "max_tokens": prompt.max_output_tokens,
            "temperature": 0,
            "system": [{"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": prompt.user}],
            "tools": [{"name": "tag_pages", "description": "Give the labels.", "input_schema": prompt.schema}],
            "tool_choice": {"type": "tool", "name": "tag_pages"},
        }
        headers = {"x-api-key": self.api_key, "anthropic-version": "2023-06-01"}
        url = f"{self.base_url}/messages"
        return await _ask(self.http, url, headers, body, self.timeout_s, self.wall_clock, _read_anthropic)

    def __repr__(self) -> str:
        return f"AnthropicModel({self.name!r} at {_host(self.base_url)})"


@dataclass(frozen=True, slots=True)
class _Content:
    text: str
    used: Cost
    cached_tokens: int


async def _ask(
    http: httpx.AsyncClient,
    url: str,
    headers: dict[str, str],
    body: dict[str, Any],
    timeout_s: float,
    wall_clock: Callable[[], float],
    read: Callable[[Any], _Content],
) -> Reply:
    headers["content-type"] = "application/json"
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    content = to_json(body)
    try:
        # httpx's own timeouts never fire over ASGITransport.
        async with asyncio.timeout(timeout_s):
            response = await http.post(
                parse_url(url), headers=encoded, content=content, timeout=None, follow_redirects=False
            )
    except TimeoutError:
        return Reply(Outcome.TIMED_OUT, message=f"no answer within {timeout_s:g} s")
    except (httpx.HTTPError, OSError) as error:
        return Reply(Outcome.UNREACHABLE, message=f"{type(error).__name__} at {_host(url)}")
    return _read_response(response, wall_clock(), read)


def _read_response(response: httpx.Response, wall_s: float, read: Callable[[Any], _Content]) -> Reply:
    try:
        document = response.json()
    except (ValueError, RecursionError):
        document = None
    headers = dict(response.headers.items())  # a look-up in httpx.Headers goes through all of them
    limits = read_rate_limit(headers, None if response.is_success else document, wall_s=wall_s)
    if response.is_success:
        content = read(document)
        return Reply(Outcome.OK, response.status_code, content.text, "", content.used, content.cached_tokens, limits)
    outcome = _outcome(response.status_code, document)
    return Reply(outcome, response.status_code, "", _message(response.status_code, document), rate_limit=limits)


def _outcome(status: int, document: Any) -> Outcome:
    if status == 429:
        return Outcome.EXHAUSTED if is_exhausted(document) else Outcome.RATE_LIMITED
    if status == 402:
        return Outcome.EXHAUSTED
    return Outcome.OVERLOADED if status >= 500 or status == 408 else Outcome.REFUSED


def _message(status: int, document: Any) -> str:
    """Status and the vendor's code of the error; never its prose, which may quote the request or the key."""
    error = _get(document, "error")
    code = next((str(found) for name in ("code", "type", "status") if (found := _get(error, name))), "")
    return f"HTTP {status} {code}" if _CODE.fullmatch(code) else f"HTTP {status}"


def _host(url: str) -> str:
    """What of an address may be shown: the rest may hold a secret."""
    return httpx.URL(url).host


def _read_openai(document: Any) -> _Content:
    choice = _first(_get(document, "choices"))
    usage = _get(document, "usage")
    text = _get(_get(choice, "message"), "content")
    used = Cost(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    cached = _count(_get(usage, "prompt_tokens_details"), "cached_tokens")
    return _Content(text if isinstance(text, str) else "", used, cached)


def _read_anthropic(document: Any) -> _Content:
    usage = _get(document, "usage")
    blocks = _get(document, "content")
    tool = next(
        (
            _get(block, "input")
            for block in (blocks if isinstance(blocks, list) else ())
            if _get(block, "type") == "tool_use"
        ),
        None,
    )
    text = json.dumps(tool, ensure_ascii=False) if tool is not None else str(_get(_first(blocks), "text") or "")
    cached = _count(usage, "cache_read_input_tokens")
    used = Cost(
        _count(usage, "input_tokens") + _count(usage, "cache_creation_input_tokens") + cached,
        _count(usage, "output_tokens"),
    )
    return _Content(text, used, cached)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _count(value: Any, name: str) -> int:
    number = _get(value, name)
    return number if isinstance(number, int) and number >= 0 else 0
