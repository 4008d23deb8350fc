"""OpenAI-compatible chat completions: OpenAI, Azure, vLLM, Ollama, and gateways that speak it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx

from tagspace_lab.clients.models.addresses import find_endpoint, is_azure
from tagspace_lab.clients.models.concessions import Concessions, Part
from tagspace_lab.clients.models.wire import Content, Question, ask, count, first, get, strip_thoughts
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Cost, Reply

__all__ = ["OpenAIModel"]

_PATH = "/chat/completions"
_FORMAT = re.compile(r"response[_ ]?format|json[_ ]?(?:schema|object|mode)|structured[_ ]output|guided|grammar")
_LIMIT = re.compile(
    r"(?s)(?=.*max_completion_tokens)"  # unless it is too large: then `max_tokens` would be, too
    r".*(?:unknown|unsupported|unrecogni[sz]ed|unexpected|extra |not (?:supported|permitted|allowed)|does not support)"
)
_ONLY_STREAMS = re.compile(
    r"only support\w* stream|\bstream\w*[^.]{0,30}(?:required|must be|enable)|(?:must|enable|set)\b[^.]{0,30}\bstream"
)
_ONE_PIECE = "an answer in one piece"
_PARTS = (
    Part("json_schema", _FORMAT),
    Part("json_object", _FORMAT),
    Part("max_completion_tokens", _LIMIT),
    Part("temperature", re.compile("temperature")),
    Part(_ONE_PIECE, _ONLY_STREAMS),
)
_REMARKS = {
    "length": "the answer was cut off at its longest",
    "content_filter": "the provider's filter withheld the answer",
}


@dataclass(frozen=True, slots=True)
class OpenAIModel:
    """`POST {base_url}/chat/completions` with a JSON-schema answer.

    `base_url` is what the vendor's SDK takes, mostly with `/v1` at its end: `https://api.openai.com/v1`,
    `http://localhost:11434/v1`. Of Azure either `https://NAME.openai.azure.com/openai/v1` or
    `.../openai/deployments/NAME?api-version=...`; its key goes into `api-key`, an Entra token into `authorization`.
    Without an `api_key` there is no such header. What the server does not take of a request, the next one goes
    without: the JSON schema, then any JSON form, `max_completion_tokens`, `temperature`. Raises SettingsError for a
    base URL that is no address.

    Source: the vendor's OpenAPI document. `wall_clock` gives seconds since the epoch, for dates in headers.
    """

    http: httpx.AsyncClient
    base_url: str
    name: str
    api_key: str
    timeout_s: float
    wall_clock: Callable[[], float]
    concessions: Concessions = field(default_factory=lambda: Concessions(_PARTS))

    def __post_init__(self) -> None:
        find_endpoint(self.base_url, _PATH)

    async def send(self, prompt: Prompt) -> Reply:
        url, left_out = find_endpoint(self.base_url, _PATH), self.concessions.left_out
        concede = partial(self.concessions.learn, left_out=left_out)
        question = Question(url, self._headers(url), self._word(prompt, left_out), _read, concede)
        return await ask(self.http, question, self.timeout_s, self.wall_clock)

    def _headers(self, url: httpx.URL) -> dict[str, str]:
        if not self.api_key:
            return {}
        is_token = self.api_key.startswith("eyJ")  # a JSON Web Token
        return (
            {"api-key": self.api_key} if is_azure(url) and not is_token else {"authorization": f"Bearer {self.api_key}"}
        )

    def _word(self, prompt: Prompt, left_out: frozenset[str]) -> dict[str, Any]:
        limit = "max_tokens" if "max_completion_tokens" in left_out else "max_completion_tokens"
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            limit: prompt.max_output_tokens,
        }
        if "temperature" not in left_out:
            body["temperature"] = 0
        if "json_schema" not in left_out:
            schema = {"name": "labels", "strict": True, "schema": prompt.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif "json_object" not in left_out:
            body["response_format"] = {"type": "json_object"}
        if _ONE_PIECE in left_out:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r} at {find_endpoint(self.base_url, _PATH).host})"


def _read(document: Any) -> Content:
    choice = first(get(document, "choices"))
    message = get(choice, "message")
    usage = get(document, "usage")
    text = strip_thoughts(_text(get(message, "content"))) or _arguments(message)
    reason = get(choice, "finish_reason")
    remark = _REMARKS.get(reason, "") if isinstance(reason, str) else ""
    if not text and get(message, "refusal"):
        remark = "the model refused to answer"
    used = Cost(count(usage, "prompt_tokens"), count(usage, "completion_tokens"))
    cached = min(count(get(usage, "prompt_tokens_details"), "cached_tokens"), used.input_tokens)
    return Content(text, used, cached, remark)


def _text(content: Any) -> str:
    """A message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, list):
        return "".join(text for part in content if isinstance(text := get(part, "text"), str))
    return content if isinstance(content, str) else ""


def _arguments(message: Any) -> str:
    """The answer of a server that makes a tool call of what it was asked."""
    arguments = get(get(first(get(message, "tool_calls")), "function"), "arguments")
    return arguments if isinstance(arguments, str) else ""
