"""The scenarios that clients are measured in, and the least time that any client needs for them.

A is a token bucket, in three dialects; B caps the calls in progress; C is A where refused calls spend quota, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.peers.script import AT_ONCE
from tagspace_lab.policy.bounds import Change, Demand, Quota, Supply, lower_bound
from tagspace_lab.twin.scenario import LimitStep, Provider, Scenario, load_scenario
from tagspace_lab.twin.spaces import GeneratedSpace

__all__ = ["CHALLENGES", "LONG", "SPACE", "Challenge", "find_challenge"]

CALLS, MANY_CALLS = 100, 1_000
SPACE = GeneratedSpace("peers", MANY_CALLS)
"""The pages that our own client asks about; the others say hi."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """`calls` calls in `scenario`. A slow one mostly waits, so that several clients can be measured at once."""

    name: str
    title: str
    scenario: Scenario
    calls: int = CALLS
    is_slow: bool = False

    @property
    def rate_per_min(self) -> float | None:
        """The true limit, for a client that has to be told one."""
        return self.scenario.provider.limits.requests_per_min

    @property
    def bound_s(self) -> float:
        """From the first request to the last answer at least, with as many calls at once as clients may make."""
        return lower_bound(_demand(self.scenario.provider, self.calls), _supply(self.scenario.provider)).seconds

    @property
    def time_out_s(self) -> float:
        """What is not done then counts as undone."""
        return max(75.0, 3 * self.bound_s + 30)


def find_challenge(name: str) -> Challenge:
    """The challenge of that name; raises KeyError if there is none."""
    return {challenge.name: challenge for challenge in (*CHALLENGES, *LONG)}[name]


def _demand(provider: Provider, calls: int) -> Demand:
    latency, output = provider.latency, provider.output
    written_s = (output.tokens_per_call + output.tokens_per_page) / latency.output_tokens_per_s
    mean_s = latency.first_token_s * math.exp(latency.first_token_sigma**2 / 2) + written_s
    shortest_s = latency.first_token_s * math.exp(-2 * latency.first_token_sigma)
    slots = _concurrency(provider)
    # Calls that all take the same time come in rounds, and the last round is as long as any.
    busy_s = mean_s * (calls if latency.first_token_sigma else math.ceil(calls / slots) * slots)
    return Demand({"requests": calls}, busy_s, shortest_s, mean_s)


def _supply(provider: Provider) -> Supply:
    """Windows are taken to start with the first request. Token limits are too wide to matter here."""
    limits = provider.limits
    window_s = None if limits.window == "bucket" else limits.window_s
    rate, burst = limits.requests_per_min, limits.burst_requests or 1.0
    quotas = (Quota("requests", rate, burst, window_s),) if rate else ()
    steps = [event for event in provider.events if isinstance(event, LimitStep)]
    changes = (Change(step.at_s, step.until_s or math.inf, step.factor) for step in steps)
    return Supply(quotas, _concurrency(provider), tuple(changes))


def _concurrency(provider: Provider) -> int:
    return min(AT_ONCE, provider.limits.concurrency_cap or AT_ONCE)


def _change(shipped: str, *, headers: str | None = None, latency_s: float | None = None, **limits: Any) -> Scenario:
    """A shipped scenario with other limits."""
    scenario = load_scenario(shipped)
    provider = scenario.provider
    tables: dict[str, Any] = {"limits": provider.limits.model_copy(update=limits)}
    if headers is not None:
        tables["headers"] = headers
    if latency_s is not None:
        tables["latency"] = provider.latency.model_copy(update={"first_token_s": latency_s})
    return scenario.model_copy(update={"provider": provider.model_copy(update=tables)})


CHALLENGES = (
    Challenge(
        "A-headers",
        "bucket, honest headers",
        _change("blind-bucket", headers="openai", retry_after="exact", tokens_per_min=10_000_000.0),
    ),
    Challenge("A", "bucket, Retry-After", _change("blind-bucket", retry_after="exact")),
    Challenge("A-blind", "bucket, no hint", load_scenario("blind-bucket")),
    Challenge(
        "B",
        "8 at once, no hint",
        _change("blind-bucket", latency_s=0.5, requests_per_min=None, burst_requests=None, concurrency_cap=8),
    ),
    Challenge("C", "as A, refusals count", _change("blind-bucket", retry_after="exact", rejected_count=True)),
    # Not the minutes of the clock: everybody's first minute is to be a whole one.
    Challenge("gateway", "60 a window", _change("gateway-fixed-window", aligned=False), is_slow=True),
    Challenge("halving", "rate halves, then doubles", load_scenario("halving"), is_slow=True),
)

LONG = tuple(
    replace(challenge, name=f"{challenge.name}-1000", calls=MANY_CALLS)
    for challenge in CHALLENGES
    if not challenge.is_slow
)
"""The fast ones again, ten times as long: what a client learns at the start weighs less."""
