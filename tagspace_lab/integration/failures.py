"""What a host's agent raised, as the reply of a provider: whatever client is behind it, and however it words a 429."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tagspace_lab.policy.headers import MAX_WAIT_S, is_exhausted, read_rate_limit
from tagspace_lab.records import Outcome, RateLimit, Reply

__all__ = ["read_failure"]

_RATE_LIMITED = re.compile(r"\b429\b|rate.?limit|too.?many.?requests|throttl|resource.?exhausted", re.IGNORECASE)
_TIMED_OUT = re.compile(r"time.?out|timed.?out|deadline.?exceeded", re.IGNORECASE)
_UNREACHABLE = re.compile(r"connect|network|unreachable|protocol.?error", re.IGNORECASE)
_OVERLOADED = re.compile(r"overload|unavailable|server.?error|bad.?gateway|\b5\d\d\b", re.IGNORECASE)
_CODE = re.compile(r"[a-z_]{8,60}")
_MOST_CAUSES = 5
_MOST_CHARS = 2_000


def read_failure(error: BaseException) -> Reply:
    """The reply that stands for `error`: status, headers and words are looked for in it and in what caused it.

    What nothing is known of counts as REFUSED with status 0. The message names the error's kind and status, never
    its words: they may quote a page or a key.
    """
    causes = list(_causes(error))
    status = next((found for cause in causes if (found := _status(cause))), 0)
    words = " ".join(f"{type(cause).__name__}: {cause}"[:_MOST_CHARS] for cause in causes)
    outcome = _outcome(status, words, causes)
    limits = _limits(causes, words) if outcome is Outcome.RATE_LIMITED else RateLimit()
    name = type(error).__name__
    return Reply(outcome, status, message=f"HTTP {status} ({name})" if status else name, rate_limit=limits)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it was raised from, as far as a few steps."""
    following: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if following is None:
            return
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _status(error: BaseException) -> int:
    response = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("status_code", "status", "http_status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, str) and value.isdecimal() and len(value) == 3:
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 300 <= value < 600:
                return int(value)
    return 0


def _outcome(status: int, words: str, causes: list[BaseException]) -> Outcome:
    bodies = [_body(cause) for cause in causes]
    is_spent = any(map(is_exhausted, bodies)) or any(is_exhausted({"code": code}) for code in _CODE.findall(words))
    if status == 402 or (is_spent and status in (0, 403, 429)):
        return Outcome.EXHAUSTED
    if status:
        if status == 429:
            return Outcome.RATE_LIMITED
        return Outcome.OVERLOADED if status >= 500 or status == 408 else Outcome.REFUSED
    if _RATE_LIMITED.search(words):
        return Outcome.RATE_LIMITED
    if any(isinstance(cause, TimeoutError) for cause in causes) or _TIMED_OUT.search(words):
        return Outcome.TIMED_OUT
    if any(isinstance(cause, OSError) for cause in causes) or _UNREACHABLE.search(words):
        return Outcome.UNREACHABLE
    return Outcome.OVERLOADED if _OVERLOADED.search(words) else Outcome.REFUSED


def _limits(causes: list[BaseException], words: str) -> RateLimit:
    for cause in causes:
        headers, body = _headers(cause), _body(cause)
        if headers or body is not None:
            return read_rate_limit(headers, body or {"message": words}, wall_s=time.time())
    return read_rate_limit({}, {"message": words}, wall_s=time.time())


def _headers(error: BaseException) -> dict[str, str]:
    """Headers by lower-case name; a `retry_after` that the error has of itself counts as one."""
    found: dict[str, str] = {}
    for holder in (error, getattr(error, "response", None)):
        headers = getattr(holder, "headers", None)
        if isinstance(headers, Mapping):
            found |= {str(name).lower(): str(value) for name, value in headers.items()}
    asked_s = getattr(error, "retry_after", None)
    if isinstance(asked_s, int | float) and 0 < asked_s <= MAX_WAIT_S:
        found.setdefault("retry-after", str(asked_s))
    return found


def _body(error: BaseException) -> Any:
    body = getattr(error, "body", None)
    return body if isinstance(body, dict | list) else None
