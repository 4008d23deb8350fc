"""The two wire formats: what a request must hold, what an answer and an error look like.

Follows the vendors' documents for `POST /v1/chat/completions` and `POST /v1/messages`, without streaming.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["AnthropicWire", "Ask", "OpenAIWire", "Usage", "VendorError", "Wire", "find_pages"]


class VendorError(Exception):
    """Any answer but a 200. `kind`, the body's `type`, and `code` appear where the vendor's format has them."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.code, self.param = message, status, kind, code, param


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, read. `prefix` is the fixed part that prompt caches know; `chars` counts all that the model reads."""

    model: str
    prefix: str
    prompt: str
    chars: int
    max_tokens: int | None = None
    tool: str | None = None
    is_cacheable: bool = True
    wants_json: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `cached_tokens` are part of `input_tokens`, read from the prompt cache."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    created_tokens: int = 0


class Wire(Protocol):
    """One vendor's format."""

    counts_cached: bool
    """Whether tokens read from the prompt cache count towards the limits."""
    cache_step: int
    """Cached tokens come in multiples of it."""
    overload_status: int
    """How the vendor words a server error."""

    def read(self, headers: Mapping[str, str], body: bytes) -> Ask:
        """The request; raises VendorError where the vendor would refuse it."""
        ...

    def answer(self, ask: Ask, text: str, usage: Usage, call_id: str, created_s: int, is_cut: bool) -> dict[str, Any]:
        """The body of a 200; `is_cut` says that max_tokens ended it."""
        ...

    def error(self, error: VendorError) -> dict[str, Any]:
        """The body of any other status."""
        ...


class OpenAIWire:
    """`POST /v1/chat/completions`."""

    counts_cached = True
    cache_step = 128
    overload_status = 500

    def read(self, headers: Mapping[str, str], body: bytes) -> Ask:
        if not headers.get("authorization", "").startswith("Bearer ") and "api-key" not in headers:
            raise VendorError("You didn't provide an API key.", status=401)
        content = _load(body)
        if not isinstance(content.get("model"), str) or not content["model"]:
            raise VendorError("you must provide a model parameter")
        messages = _messages(content, "Missing required parameter: 'messages'.")
        max_tokens = _max_tokens(content, "max_completion_tokens") or _max_tokens(content, "max_tokens")
        prefix = "".join(_text(item.get("content")) for item in messages if item.get("role") in ("system", "developer"))
        texts = [_text(item.get("content")) for item in messages]
        form, choice = content.get("response_format"), content.get("tool_choice")
        chars = sum(map(len, texts)) + _weigh(form) + _weigh(content.get("tools"))
        function = choice.get("function") if isinstance(choice, dict) else None
        tool = str(function["name"]) if isinstance(function, dict) and function.get("name") else None
        wants_json = isinstance(form, dict) and form.get("type") in ("json_schema", "json_object")
        return Ask(content["model"], prefix, _last(messages), chars, max_tokens, tool, wants_json=wants_json)

    def answer(self, ask: Ask, text: str, usage: Usage, call_id: str, created_s: int, is_cut: bool) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if ask.tool:
            function = {"name": ask.tool, "arguments": json.dumps(_tool_input(text), ensure_ascii=False)}
            message |= {
                "content": None,
                "tool_calls": [{"id": f"call_{call_id}", "type": "function", "function": function}],
            }
        reason = "length" if is_cut else "stop"
        return {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion",
            "created": created_s,
            "model": ask.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
            },
        }

    def error(self, error: VendorError) -> dict[str, Any]:
        kind = error.kind or ("server_error" if error.status >= 500 else "invalid_request_error")
        return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


_ANTHROPIC_KINDS = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


class AnthropicWire:
    """`POST /v1/messages`."""

    counts_cached = False
    cache_step = 1
    overload_status = 529

    def read(self, headers: Mapping[str, str], body: bytes) -> Ask:
        if not headers.get("x-api-key") and not headers.get("authorization", "").startswith("Bearer "):
            raise VendorError("x-api-key header is required", status=401)
        if not headers.get("anthropic-version"):
            raise VendorError("anthropic-version: header is required")
        content = _load(body)
        if not isinstance(content.get("model"), str) or not content["model"]:
            raise VendorError("model: Field required")
        max_tokens = _max_tokens(content, "max_tokens")
        if max_tokens is None:
            raise VendorError("max_tokens: Field required")
        messages = _messages(content, "messages: Field required")
        system, choice = content.get("system"), content.get("tool_choice")
        texts = [_text(system), *(_text(item.get("content")) for item in messages)]
        chars = sum(map(len, texts)) + _weigh(content.get("tools"))
        marked = any("cache_control" in block for block in _blocks(system))
        tool = str(choice["name"]) if isinstance(choice, dict) and choice.get("name") else None
        return Ask(content["model"], texts[0], _last(messages), chars, max_tokens, tool, marked)

    def answer(self, ask: Ask, text: str, usage: Usage, call_id: str, created_s: int, is_cut: bool) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": text}
        if ask.tool:
            block = {"type": "tool_use", "id": f"toolu_{call_id}", "name": ask.tool, "input": _tool_input(text)}
        return {
            "id": f"msg_{call_id}",
            "type": "message",
            "role": "assistant",
            "model": ask.model,
            "content": [block],
            "stop_reason": "max_tokens" if is_cut else "tool_use" if ask.tool else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input_tokens - usage.cached_tokens - usage.created_tokens,
                "cache_read_input_tokens": usage.cached_tokens,
                "cache_creation_input_tokens": usage.created_tokens,
                "output_tokens": usage.output_tokens,
            },
        }

    def error(self, error: VendorError) -> dict[str, Any]:
        kind = _ANTHROPIC_KINDS.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}


def find_pages(prompt: str) -> list[str] | None:
    """The ids of the pages in the JSON array after a prompt's first line; None if it holds no such array."""
    try:
        pages = json.loads(prompt.partition("\n")[2])
        return [str(page["id"]) for page in pages] if isinstance(pages, list) and pages else None
    except (ValueError, TypeError, KeyError):
        return None


def _load(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise VendorError("We could not parse the JSON body of your request.") from error
    if not isinstance(content, dict):
        raise VendorError("The body of the request must be a JSON object.")
    if content.get("stream"):
        raise VendorError("This simulated provider does not stream: leave out 'stream'.", param="stream")
    return content


def _messages(content: dict[str, Any], complaint: str) -> list[dict[str, Any]]:
    messages = content.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise VendorError(complaint, code="missing_required_parameter", param="messages")
    return messages


def _max_tokens(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    if value is not None and (not isinstance(value, int) or value < 1):
        raise VendorError(f"{name}: {value!r} is not an integer of 1 or more", code="invalid_value", param=name)
    return value


def _text(content: Any) -> str:
    """The text of a message's content, which is a string or a list of blocks."""
    return content if isinstance(content, str) else "".join(str(block.get("text", "")) for block in _blocks(content))


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _last(messages: list[dict[str, Any]]) -> str:
    return next((_text(item.get("content")) for item in reversed(messages) if item.get("role") == "user"), "")


def _weigh(schema: Any) -> int:
    return len(json.dumps(schema, separators=(",", ":"))) if schema else 0


def _tool_input(text: str) -> dict[str, Any]:
    """A tool's input is always an object; broken JSON arrives as a string inside it."""
    try:
        loaded = json.loads(text)
        return loaded if isinstance(loaded, dict) else {"pages": loaded}
    except ValueError:
        return {"pages": text}
