"""What a response says of the provider's limits: headers and 429 bodies of every dialect -> RateLimit.

Dialects, from the vendors' rate-limit pages: `x-ratelimit-*` with Go durations (OpenAI), bare
seconds or zeros that mean "not stated" (Azure), epoch milliseconds (gateways); `anthropic-ratelimit-*` with
RFC 3339 instants; the IETF draft's `RateLimit` and `RateLimit-Policy`; Google's RetryInfo in the body.
What makes no sense (negative, not a number, other digits than ASCII's, a limit of 0, a wait of a day, a reset in a
year) is treated as not stated.

No clock here: the wall clock's time arrives as `wall_s`, seconds since the epoch. Where a response's `Date` is far
from it, dates are read by the server's clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from tagspace_lab.records import Quota, RateLimit

__all__ = ["MAX_WAIT_S", "is_exhausted", "read_rate_limit"]

MAX_WAIT_S = 3600.0
"""Longer waits than this are not believed."""

_LONGEST_RESET_S = 32 * 86_400.0
"""A quota of a month is whole again by then."""
_CLOCK_SLACK_S = 5.0
"""Clocks that differ by less are the same: the Date header is cut to whole seconds, and some time on its way."""
_LARGEST_NUMBER = 1e12
"""No quota is as large; some are told as "unlimited" by a number that is."""
_MOST_STRINGS = 100
"""Strings of a body that are looked at: an error needs no more, and a hostile one could hold a million."""

_EXHAUSTED = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
}
_LONGEST_VALUE = 64
"""Characters. Every number and every form of a time is shorter; what is longer may be meant to exhaust a parser."""
_NUMBER = re.compile(r"\s*\+?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?\s*")
_GO_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|us|µs|ns|s)")
_GO_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TRY_AGAIN = re.compile(r"try again in ((?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:h|ms|m|s)){1,4})")
_CAUSE = re.compile(
    r"\b(?:(input token|output token|token|request|call)s?"
    r"(?: per (?:minute|min|second|sec|day)| rate limit)|(concurren))"
)
_TOO_LARGE = re.compile(r"\brequest too large\b")
_LIMIT_AND_REQUESTED = re.compile(r"\blimit:? ([0-9][0-9,]{0,20})\b.{0,100}?\brequested:? ([0-9][0-9,]{0,20})")
_IETF_PART = re.compile(r";\s*([a-z]+)=([0-9]+)")
_Said = list[tuple[str, str]]
"""(name, string) pairs of a body."""
_VENDOR = re.compile(
    r"(?:x|anthropic)-ratelimit-(?:(limit|remaining|reset)-)?(requests|tokens|input-tokens|output-tokens)?"
    r"-?(limit|remaining|reset)?$"
)


def read_rate_limit(headers: Mapping[str, str], body: Any = None, *, wall_s: float) -> RateLimit:
    """The limits that a response states. `headers` has lower-case names; `body` is its JSON, if it has any."""
    wall_s = _server_s(headers, wall_s)
    stated: dict[str, dict[str, float]] = {}
    for name, value in headers.items():
        if (found := _vendor_field(name)) is not None:
            unit, part = found
            number = _seconds(value, wall_s) if part == "reset" else _number(value)
            if number is not None:
                stated.setdefault(unit, {})[part] = number
    for unit, part, number in _ietf_fields(headers):
        stated.setdefault(unit, {}).setdefault(part, number)
    quotas = {unit: quota for unit, parts in stated.items() if (quota := _quota(parts)) is not None}
    said = _strings(body) if body is not None else []
    return RateLimit(quotas, _retry_after_s(headers, said, wall_s), _cause(said), _is_oversized(said))


def is_exhausted(body: Any) -> bool:
    """Whether a 429 says that money or a day's quota is used up, so that waiting a while does not help."""
    return any(
        value in _EXHAUSTED or (name == "quotaId" and "PerDay" in value)
        for name, value in _strings(body)
        if name in {"type", "code", "error_code", "quotaId"}
    )


@lru_cache(1_000)
def _vendor_field(name: str) -> tuple[str, str] | None:
    """('requests', 'limit') of `x-ratelimit-limit-requests` and of `anthropic-ratelimit-requests-limit`."""
    if "-ratelimit-" not in name or (match := _VENDOR.match(name)) is None:
        return None
    before, unit, after = match.groups()
    if (before is None) == (after is None):
        return None
    return (unit or "requests").replace("-", "_"), before or after


def _ietf_fields(headers: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """`RateLimit: "name";r=50;t=30` and `RateLimit-Policy: "name";q=100;w=60` (IETF draft 11)."""
    names = {"r": "remaining", "t": "reset", "q": "limit"}
    for header in ("ratelimit", "ratelimit-policy"):
        for key, value in _IETF_PART.findall(headers.get(header, "").split(",")[0]):
            if key in names and (number := _number(value)) is not None:
                yield "requests", names[key], number


def _quota(parts: dict[str, float]) -> Quota | None:
    limit = parts.get("limit")
    if limit is not None and limit <= 0:
        return None
    remaining = parts.get("remaining")
    if remaining == 0 and parts.get("reset") == 0:
        remaining = None  # used up and yet whole at once: a gateway's zeros
    if remaining is not None and limit is not None:
        remaining = min(remaining, limit)
    if limit is None and remaining is None:
        return None
    return Quota(limit, remaining, parts.get("reset"))


def _retry_after_s(headers: Mapping[str, str], said: _Said, wall_s: float) -> float | None:
    """The wait that a response asks for: the finest statement that makes sense, in seconds."""
    milliseconds = _number(headers.get("retry-after-ms"))
    candidates = (
        milliseconds / 1000 if milliseconds is not None else None,
        _seconds(headers.get("retry-after"), wall_s),
        *(_seconds(value, wall_s) for name, value in said if name == "retryDelay"),
        *(_seconds(found[1], wall_s) for _, value in said if (found := _TRY_AGAIN.search(value))),
    )
    return next((wait_s for wait_s in candidates if wait_s is not None and 0 < wait_s <= MAX_WAIT_S), None)


def _cause(said: _Said) -> str:
    """The quota that an error's prose says is used up."""
    for _, value in said:
        if match := _CAUSE.search(value.lower()):
            return "concurrency" if match[2] else f"{match[1].replace(' ', '_')}s".replace("calls", "requests")
    return ""


def _is_oversized(said: _Said) -> bool:
    """Whether an error's prose says that the request alone is more than a limit lets in (OpenAI, Groq, Azure)."""
    for _, value in said:
        words = value.lower()
        if _TOO_LARGE.search(words):
            return True
        if match := _LIMIT_AND_REQUESTED.search(words):
            limit, requested = (int(number.replace(",", "")) for number in match.groups())
            return requested > limit > 0
    return False


def _number(value: str | None) -> float | None:
    """A number of 0 or more as ASCII writes it; None of anything else, and of what is too large to be meant."""
    if not value or len(value) > _LONGEST_VALUE or not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if number <= _LARGEST_NUMBER else None


def _seconds(value: str | None, wall_s: float) -> float | None:
    """Seconds from now: of a number (epoch seconds or milliseconds if huge), a Go duration, or a date."""
    if not value or len(value) > _LONGEST_VALUE:
        return None
    seconds: float | None
    if _NUMBER.fullmatch(value):
        number = float(value)
        number = number / 1000 if number > 1e11 else number
        seconds = max(0.0, number - wall_s) if number > 1e8 else number
    elif value[0].isdigit() and "-" not in value:
        seconds = _go_duration_s(value)
    else:
        seconds = _date_s(value, wall_s)
    return seconds if seconds is not None and seconds <= _LONGEST_RESET_S else None


def _go_duration_s(value: str) -> float | None:
    parts = _GO_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _GO_UNIT_S[unit] for number, unit in parts)


def _server_s(headers: Mapping[str, str], wall_s: float) -> float:
    """The time by the clock in which the dates of a response are told: the server's, where it is far from ours."""
    stated_s = _seconds_since_epoch(headers.get("date", ""))
    return wall_s if stated_s is None or abs(stated_s - wall_s) <= _CLOCK_SLACK_S else stated_s


def _date_s(value: str, wall_s: float) -> float | None:
    stated_s = _seconds_since_epoch(value)
    return None if stated_s is None else max(0.0, stated_s - wall_s)


def _seconds_since_epoch(value: str) -> float | None:
    if not value or len(value) > _LONGEST_VALUE:
        return None
    try:
        return _instant(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _instant(value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = parsedate_to_datetime(value)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _strings(body: Any) -> _Said:
    """The first (name, string) pairs of a JSON body, a few levels deep: vendors nest their errors differently."""
    return list(islice(_walk(body), _MOST_STRINGS))


def _walk(body: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(body, dict) and depth < 6:
        for name, value in body.items():
            if isinstance(value, str):
                yield str(name), value[:1000]
            else:
                yield from _walk(value, depth + 1)
    elif isinstance(body, list) and depth < 6:
        for value in body[:20]:
            yield from _walk(value, depth + 1)
