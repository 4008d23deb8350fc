"""Random, plausible rate-limit regimes: the weather in which a throttle has to prove itself.

A regime is one provider with its limits, latencies and events, and the calls that one or two clients make of
it. Regime number n is the same everywhere and for ever: all of it is drawn from a hash of n, in the order that
stands here, so that a draw put in between makes other regimes of all.

The shares below are judgement: kinds of limits, windows and Retry-After are those of the vendors' documents, how
often each is met is a guess, because nobody publishes the real mix.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from tagspace_lab.twin.schema import Event, Latency, Limits, LimitStep, Outage, Output, Provider, Tenants

__all__ = ["CEILING", "FIRST_CONCURRENCY", "Regime", "draw_regime"]

FIRST_CONCURRENCY, CEILING = 3, 10
"""Where every client's window starts, and the most calls that it may have in flight."""

# Shares of each family, of what its Retry-After claims, of how it counts, and of what happens on the way.
_FAMILIES = {"openai": 0.28, "anthropic": 0.2, "azure": 0.1, "gateway": 0.16, "blind": 0.16, "self-hosted": 0.1}
_CLAIMS = {
    "openai": {"exact": 0.8, "late": 0.05, "missing": 0.15},
    "anthropic": {"exact": 0.9, "missing": 0.1},
    "azure": {"exact": 0.8, "late": 0.2},
    "gateway": {"exact": 0.2, "window": 0.35, "missing": 0.3, "late": 0.05, "wrong": 0.1},
    "blind": {"exact": 0.35, "window": 0.1, "missing": 0.45, "wrong": 0.1},
    "self-hosted": {"missing": 0.8, "exact": 0.2},
}
_WINDOWS = {
    "openai": {"bucket": 0.85, "sliding": 0.15},
    "anthropic": {"bucket": 1.0},
    "azure": {"fixed": 0.5, "sliding": 0.3, "bucket": 0.2},
    "gateway": {"fixed": 0.65, "sliding": 0.2, "bucket": 0.15},
    "blind": {"bucket": 0.6, "fixed": 0.2, "sliding": 0.2},
    "self-hosted": {"bucket": 1.0},
}
_EVENTS = {"none": 0.7, "halving": 0.1, "doubling": 0.08, "outage": 0.07, "tenants": 0.05}
_OUTAGE_S = 60.0
_SHARED = 0.1
_REJECTED_COUNT = {"openai": 0.4, "gateway": 0.4, "blind": 0.25}


@dataclass(frozen=True, slots=True)
class Regime:
    """One provider, and `calls` calls of `clients` clients together, of `tokens` each, all there at the start."""

    number: int
    family: str
    event: str
    provider: Provider
    calls: int
    tokens: tuple[int, ...]
    clients: int

    @property
    def kind(self) -> str:
        """What sets it apart, in words."""
        limits = self.provider.limits
        parts = [self.family, limits.window if limits.requests_per_min or limits.tokens_per_min else "", self.event]
        parts += ["cap"] * bool(limits.concurrency_cap) + ["shared"] * (self.clients > 1)
        return " ".join(part for part in parts if part and part != "none")


def draw_regime(number: int) -> Regime:
    """Regime number `number`, from 0 on.

    50 to 500 calls of 200 tokens or more, lognormal around 300 to 4,000; 6 to 60,000 requests a minute; a first
    token after 0.3 to 3 s, and 40 to 200 more a second. Any call fits into the limits, even when they halve.
    """
    rng = random.Random(f"regime {number}")  # noqa: S311 - a simulation
    family, event = _choose(rng, _FAMILIES), _choose(rng, _EVENTS)
    calls = round(_spread(rng, 50, 500))
    usual_tokens = _spread(rng, 300, 4_000)
    tokens = tuple(max(200, round(usual_tokens * rng.lognormvariate(0, 0.4))) for _ in range(calls))
    latency = _draw_latency(rng)
    limits = _draw_limits(rng, family, tokens)
    output = Output(tokens_per_page=rng.choice((0.0, 25.0, 60.0)), tokens_per_call=10.0)
    provider = Provider.model_validate(
        {
            "headers": "none" if family in ("blind", "self-hosted") else family,
            "chars_per_token": rng.uniform(3.6, 4.4),
            "max_context_tokens": 1_000_000,
            "limits": limits,
            "latency": latency,
            "output": output,
            "events": _draw_events(rng, event, _expected_s(limits, latency, calls, sum(tokens))),
        }
    )
    return Regime(number, family, event, provider, calls, tokens, 1 + (rng.random() < _SHARED))


def _draw_latency(rng: random.Random) -> Latency:
    """From steady to heavy-tailed; in half of all regimes calls are slower the more of them are in progress."""
    return Latency(
        first_token_s=_spread(rng, 0.3, 3.0),
        first_token_sigma=rng.choice((0.0, 0.3, 0.5, 0.8)),
        output_tokens_per_s=_spread(rng, 40, 200),
        load_factor=rng.choice((0.0, 0.0, 0.5, 1.0)),
        load_reference=float(CEILING),
        slot_sigma=rng.choice((0.0, 0.0, 0.2)),
        reject_s=_spread(rng, 0.005, 0.1),
    )


def _draw_limits(rng: random.Random, family: str, tokens: tuple[int, ...]) -> Limits:
    cap = round(_spread(rng, 2, 64)) if family == "self-hosted" or rng.random() < 0.12 else None
    limits: dict[str, Any] = {"concurrency_cap": cap, "retry_after": _choose(rng, _CLAIMS[family])}
    if family != "self-hosted":
        limits |= _draw_request_limits(rng, family, limits["retry_after"])
        if rng.random() < 0.6:
            limits |= _draw_token_limits(rng, family, tokens, limits)
    return Limits.model_validate(limits)


def _draw_request_limits(rng: random.Random, family: str, claim: str) -> dict[str, Any]:
    """Requests a minute and how they are counted: a window of 1, 10 or 60 s holds two requests at least."""
    window = _choose(rng, _WINDOWS[family])
    per_min = _spread(rng, 6, 60_000)
    window_s = 60.0 if window == "bucket" else rng.choice((1.0, 10.0, 60.0, 60.0))
    if per_min * window_s < 120:
        window_s = 60.0
    quota = max(1, round(per_min * window_s / 60))
    limits: dict[str, Any] = {
        "requests_per_min": quota * 60 / window_s,
        "window": window,
        "window_s": window_s,
        "aligned": rng.random() < 0.6,
        # Only who counts by windows claims one.
        "retry_after": "missing" if window == "bucket" and claim == "window" else claim,
        "rejected_count": rng.random() < _REJECTED_COUNT.get(family, 0.0),
        "reserve_max_tokens": family in ("openai", "azure") and rng.random() < 0.5,
    }
    if window == "bucket":
        limits["burst_requests"] = max(1.0, float(round(_spread(rng, 1, quota))))
    return limits


def _draw_token_limits(
    rng: random.Random, family: str, tokens: tuple[int, ...], limits: dict[str, Any]
) -> dict[str, Any]:
    """A token limit that is met between a fifth and five times as fast as that of the requests; any call fits."""
    mean, room = sum(tokens) / len(tokens) + 200, 3 * (max(tokens) + 400)
    per_min = limits["requests_per_min"] * mean * _spread(rng, 0.2, 5)
    per_min = float(max(round(per_min), round(room * 60 / limits["window_s"])))
    drawn: dict[str, Any] = {}
    if limits["window"] == "bucket":
        drawn["burst_tokens"] = float(round(_spread(rng, room, max(room, per_min))))
    if family != "anthropic":
        return drawn | {"tokens_per_min": per_min}
    return drawn | {"input_tokens_per_min": per_min, "output_tokens_per_min": float(round(per_min / 3))}


def _expected_s(limits: Limits, latency: Latency, calls: int, tokens: int) -> float:
    """About how many seconds the run will take, to place an event in its middle."""
    rates = [calls / per_min for per_min in [limits.requests_per_min] if per_min]
    rates += [tokens / per_min for per_min in (limits.tokens_per_min, limits.input_tokens_per_min) if per_min]
    slots = min(CEILING, limits.concurrency_cap or CEILING)
    return max(60 * max(rates, default=0.0), calls * 1.3 * latency.first_token_s / slots)


def _draw_events(rng: random.Random, event: str, expected_s: float) -> tuple[Event, ...]:
    """One change about the middle of the run, or other tenants all along."""
    at_s = expected_s * rng.uniform(0.3, 0.6)
    match event:
        case "halving":
            return (LimitStep(kind="limits", at_s=at_s, factor=0.5),)
        case "doubling":
            return (LimitStep(kind="limits", at_s=at_s, factor=2.0),)
        case "outage":
            asked_s = rng.choice((None, None, 10.0))
            return (Outage(kind="outage", at_s=at_s, until_s=at_s + _OUTAGE_S, retry_after_s=asked_s),)
        case "tenants":
            return (Tenants(kind="tenants", at_s=0.0, share=rng.uniform(0.1, 0.5)),)
    return ()


def _choose(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def _spread(rng: random.Random, low: float, high: float) -> float:
    """Every order of magnitude is as likely as the next."""
    return low * math.exp(rng.random() * math.log(high / low))
