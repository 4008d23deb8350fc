"""How providers word their limits: the headers of every response and the sentence of a refusal.

Forms are the vendors': OpenAI's Go durations, Anthropic's RFC 3339 instants, Azure's misleading zeros, a
gateway's epoch milliseconds. `epoch_s` is the wall clock's time, in seconds since 1970, at `now_s` = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil, inf

from tagspace_lab.twin.quotas import CONCURRENCY, OUTAGE, Gauge, Verdict

__all__ = ["go_duration", "rate_limit_headers", "refusal_headers", "refusal_message", "rfc3339"]

_NEVER_S = 3600.0
"""What a header says of a limit that will never be whole again."""


def rate_limit_headers(dialect: str, gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    """The headers that state the limits on any response; `wall_s` is the wall clock's time."""
    return _HEADERS[dialect](gauges, wall_s)


def refusal_headers(dialect: str, verdict: Verdict) -> dict[str, str]:
    """What a refusal adds: Retry-After in whole seconds, rounded up, in its dialect's company."""
    if verdict.claim_s is None:
        return {}
    headers = {"retry-after": str(ceil(verdict.claim_s - 1e-6))}
    if dialect == "openai":
        headers["retry-after-ms"] = str(ceil(verdict.claim_s * 1000 - 1e-3))
    if dialect == "azure":
        headers |= {"retry-after-ms": "0", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0"}
    return headers


def refusal_message(dialect: str, verdict: Verdict, model: str) -> str:
    """The sentence in the body of a refusal."""
    if verdict.limit == OUTAGE:
        return "The server is overloaded or not ready yet."
    if verdict.limit == CONCURRENCY:
        return "Too many concurrent requests."
    words = _WORDS[verdict.limit]
    match dialect:
        case "openai":
            return _openai_sentence(verdict, model, words)
        case "anthropic":
            return f"This request would exceed your organization's rate limit of {_stated(verdict)} {words[0]}."
        case "azure":
            seconds = ceil(verdict.claim_s or 1)
            return (
                "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded "
                f"{'call' if verdict.limit == 'requests' else 'token'} rate limit of your current pricing tier. "
                f"Please retry after {seconds} second{'' if seconds == 1 else 's'}."
            )
        case _:
            return "API rate limit exceeded"


_WORDS = {
    "requests": ("requests per minute", "RPM"),
    "tokens": ("tokens per minute", "TPM"),
    "input_tokens": ("input tokens per minute", "ITPM"),
    "output_tokens": ("output tokens per minute", "OTPM"),
}


def _openai_sentence(verdict: Verdict, model: str, words: tuple[str, str]) -> str:
    where = f"for {model} in organization org-twin on {words[0]} ({words[1]})"
    if verdict.gauge is None:
        return f"Rate limit reached {where}."
    limit, requested = _stated(verdict), ceil(verdict.requested)
    if verdict.wait_s == inf:
        return f"Request too large {where}: Limit {limit}, Requested {requested}."
    used = max(0, ceil(verdict.gauge.limit - verdict.gauge.remaining))
    hint = f" Please try again in {go_duration(verdict.wait_s)}." if verdict.wait_s is not None else ""
    return f"Rate limit reached {where}: Limit {limit}, Used {used}, Requested {requested}.{hint}"


def _stated(verdict: Verdict) -> int:
    return int(verdict.gauge.limit) if verdict.gauge else 0


def go_duration(seconds: float) -> str:
    """Seconds the way Go prints them, rounded up to milliseconds: `408ms`, `6.51s`, `6m0s`."""
    milliseconds = ceil(min(seconds, _NEVER_S) * 1000 - 1e-3)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "")
    return f"{head}{rest / 1000:g}s"


def rfc3339(wall_s: float) -> str:
    """An instant in UTC to the second, as in `2026-11-23T10:00:00Z`."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _openai_headers(gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    headers = _limit_and_remaining("x-ratelimit", gauges, "requests", "tokens")
    for name in ("requests", "tokens"):
        if name in gauges:
            headers[f"x-ratelimit-reset-{name}"] = go_duration(gauges[name].reset_s)
    return headers


def _azure_headers(gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    return _limit_and_remaining("x-ratelimit", gauges, "requests", "tokens")


def _limit_and_remaining(prefix: str, gauges: Mapping[str, Gauge], *names: str) -> dict[str, str]:
    headers = {}
    for name in names:
        if name in gauges:
            headers[f"{prefix}-limit-{name}"] = str(int(gauges[name].limit))
            headers[f"{prefix}-remaining-{name}"] = str(_whole(gauges[name].remaining))
    return headers


def _anthropic_headers(gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    """`tokens` repeats the token limit of which the smallest part is left."""
    tokens = [gauge for name, gauge in gauges.items() if name != "requests"]
    shown = dict(gauges)
    if tokens:
        shown["tokens"] = min(tokens, key=lambda gauge: gauge.remaining / gauge.limit)
    headers = {}
    for name, gauge in shown.items():
        prefix = f"anthropic-ratelimit-{name.replace('_', '-')}"
        remaining = _whole(gauge.remaining)
        headers[f"{prefix}-limit"] = str(int(gauge.limit))
        headers[f"{prefix}-remaining"] = str(remaining if name == "requests" else round(remaining, -3))
        headers[f"{prefix}-reset"] = rfc3339(ceil(wall_s + min(gauge.reset_s, _NEVER_S)))
    return headers


def _gateway_headers(gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    """A gateway speaks of one limit only: requests, or the first that there is."""
    gauge = gauges.get("requests") or next(iter(gauges.values()), None)
    if gauge is None:
        return {}
    return {
        "x-ratelimit-limit": str(int(gauge.limit)),
        "x-ratelimit-remaining": str(_whole(gauge.remaining)),
        "x-ratelimit-reset": str(ceil((wall_s + min(gauge.reset_s, _NEVER_S)) * 1000)),
    }


def _no_headers(gauges: Mapping[str, Gauge], wall_s: float) -> dict[str, str]:
    return {}


def _whole(remaining: float) -> int:
    return max(0, int(remaining + 1e-6))


_HEADERS: dict[str, Callable[[Mapping[str, Gauge], float], dict[str, str]]] = {
    "openai": _openai_headers,
    "anthropic": _anthropic_headers,
    "azure": _azure_headers,
    "gateway": _gateway_headers,
    "none": _no_headers,
}
