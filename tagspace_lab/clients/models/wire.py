"""One request to a provider, and whatever comes back as a Reply: nothing here retries, raises or believes much.

A body is read up to a bound, an error's up to a smaller one; redirects are not followed, so that a key goes to
nobody else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import to_json

from tagspace_lab.clients.models.concessions import COMPLAINTS
from tagspace_lab.clients.models.events import merge_events
from tagspace_lab.policy.headers import is_exhausted, read_rate_limit
from tagspace_lab.records import Cost, Outcome, RateLimit, Reply

__all__ = ["Content", "Question", "ask", "count", "first", "get", "strip_thoughts"]

_LARGEST_ANSWER = 2**24
_LARGEST_ERROR = 2**18
_LARGEST_COUNT = 10**9
_LARGEST_COMPLAINT = 4_000
_CODE = re.compile(r"[A-Za-z_]{1,80}|\d{1,5}")
"""Whatever else stands where an error's code belongs may be a quotation."""
_STATUS = re.compile(r"[45][0-9]{2}")
_NO_MONEY = "credit balance is too low"
"""Anthropic's words for it, in a 400."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a 200 holds. `remark` says in our own words why there may be less than was asked for."""

    text: str
    used: Cost = field(default_factory=Cost)
    cached_tokens: int = 0
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and how to understand what comes back.

    `read` takes any JSON document. `concede` takes the status and the lower-case words of a complaint, and names
    what the next request will leave out; empty if nothing.
    """

    url: httpx.URL
    headers: dict[str, str]
    body: dict[str, Any]
    read: Callable[[Any], Content]
    concede: Callable[[int, str], str]


async def ask(http: httpx.AsyncClient, question: Question, timeout_s: float, wall_clock: Callable[[], float]) -> Reply:
    """Send it once. `wall_clock` gives seconds since the epoch, for dates in headers."""
    headers = {name.encode(): value.encode() for name, value in question.headers.items()}
    headers[b"content-type"] = b"application/json"
    host = question.url.host  # what of an address may be shown: the rest may hold a secret
    try:
        request = http.build_request(
            "POST", question.url, headers=headers, content=to_json(question.body), timeout=None
        )
        # httpx's own timeouts never fire over ASGITransport.
        async with asyncio.timeout(timeout_s):
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                content = await _read_body(response)
            finally:
                await response.aclose()
    except TimeoutError:
        return Reply(Outcome.TIMED_OUT, message=f"no answer within {timeout_s:g} s")
    except (httpx.HTTPError, OSError) as error:
        advice = " (check the base URL and the network)" if isinstance(error, httpx.ConnectError) else ""
        return Reply(Outcome.UNREACHABLE, message=f"{type(error).__name__} at {host}{advice}")
    return _read_response(response, content, wall_clock(), question)


async def _read_body(response: httpx.Response) -> bytes | None:
    """The body; None if it is larger than any that makes sense."""
    room = _LARGEST_ANSWER if response.is_success else _LARGEST_ERROR
    chunks = []
    async for chunk in response.aiter_bytes():
        room -= len(chunk)
        if room < 0:
            return None
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _read_response(response: httpx.Response, content: bytes | None, wall_s: float, question: Question) -> Reply:
    document = _load(content)
    headers = dict(response.headers.items())  # a look-up in httpx.Headers goes through all of them
    status = response.status_code
    if response.is_success:
        if content is None:
            return Reply(Outcome.REFUSED, status, message=f"the answer is larger than {_LARGEST_ANSWER >> 20} MiB")
        if (status := _hidden_status(document) or status) == response.status_code:
            return _read_answer(status, document, read_rate_limit(headers, wall_s=wall_s), question.read)
    limits = read_rate_limit(headers, document, wall_s=wall_s)
    complaint = (content or b"")[:_LARGEST_COMPLAINT].decode("utf-8", "replace").lower()
    if status in COMPLAINTS and (part := question.concede(status, complaint)):
        words = f"HTTP {status}: the server does not take {part}, which is left out from now on"
        return Reply(Outcome.ADAPTED, status, message=words, rate_limit=limits)
    outcome = Outcome.EXHAUSTED if status == 400 and _NO_MONEY in complaint else _outcome(status, document)
    return Reply(outcome, status, message=_message(outcome, status, document, question.url), rate_limit=limits)


def _read_answer(status: int, document: Any, limits: RateLimit, read: Callable[[Any], Content]) -> Reply:
    content = read(document)
    remark = content.remark if document is not None else "the body is not JSON (is the base URL that of an API?)"
    return Reply(Outcome.OK, status, content.text, remark, content.used, content.cached_tokens, limits)


def _load(content: bytes | None) -> Any:
    try:
        return json.loads(content or b"")
    except (ValueError, RecursionError):
        return merge_events(content or b"")


def _hidden_status(document: Any) -> int:
    """The status of an error that a gateway hands on inside a 200; 0 if there is none, 500 if it has no status."""
    error = get(document, "error")
    if not error or get(document, "choices") or get(document, "content"):
        return 0
    code = get(error, "code")
    code = int(code) if isinstance(code, str) and _STATUS.fullmatch(code) else code
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _outcome(status: int, document: Any) -> Outcome:
    if status == 429:
        return Outcome.EXHAUSTED if is_exhausted(document) else Outcome.RATE_LIMITED
    if status == 402:
        return Outcome.EXHAUSTED
    return Outcome.OVERLOADED if status >= 500 or status == 408 else Outcome.REFUSED


def _message(outcome: Outcome, status: int, document: Any, url: httpx.URL) -> str:
    """Status and the vendor's code of the error; never its prose, which may quote the request or the key."""
    error = get(document, "error")
    code = next((str(found) for name in ("code", "type", "status") if (found := get(error, name))), "")
    words = f"HTTP {status} {code}" if _CODE.fullmatch(code) and code != str(status) else f"HTTP {status}"
    if outcome is Outcome.EXHAUSTED:
        return f"{words} (the account at {url.host} has used up its money or its quota)"
    if 300 <= status < 400:
        return f"{words} ({url.host} redirects, and the key is not sent on: give the address that it redirects to)"
    if status in (401, 403):
        return f"{words} ({url.host} does not take the key: is it right, and meant for this address and model?)"
    if status == 404:
        return f"{words} ({url.host} has no such model, or the base URL is wrong: does a /v1 belong at its end?)"
    return words


def strip_thoughts(text: str) -> str:
    """`text` without the thoughts that some models put before their answer; nothing if they never end."""
    start = text.lstrip()[:8].lower()
    if start.startswith(("{", "[")):
        return text
    _, end, answer = text.rpartition("</think>")
    if end:
        return answer
    return "" if start.startswith("<think>") else text


def get(value: Any, name: str) -> Any:
    """`value[name]` of an object; None of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def first(value: Any) -> Any:
    """The first of a list; None of anything else."""
    return value[0] if isinstance(value, list) and value else None


def count(value: Any, name: str) -> int:
    """A number of tokens; 0 where there is none that can be believed."""
    number = get(value, name)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return number if is_number and 0 <= number <= _LARGEST_COUNT else 0
