"""Attempts into the numbers that a run is judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tagspace_lab.records import Attempt, Outcome

__all__ = ["ConcurrencyMetrics", "in_flight_steps", "mean_in_flight", "summarise_attempts"]


@dataclass(frozen=True, slots=True)
class ConcurrencyMetrics:
    """What a run asked of its providers.

    `total_ai_calls` counts prompts, each once however often it was tried; `attempts` counts requests.
    `retries` are attempts after the first of their prompt, `fallbacks` are attempts at the fallback
    provider. Concurrency is calls in flight; the mean is over the time in which any were.
    """

    total_ai_calls: int
    attempts: int
    rate_limit_errors: int
    retries: int
    fallbacks: int
    peak_concurrency: int
    mean_concurrency: float


def summarise_attempts(attempts: Sequence[Attempt], fallbacks: int) -> ConcurrencyMetrics:
    """The metrics of one run's attempts."""
    return ConcurrencyMetrics(
        total_ai_calls=len({attempt.call for attempt in attempts}),
        attempts=len(attempts),
        rate_limit_errors=sum(attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts),
        retries=sum(attempt.number > 1 for attempt in attempts),
        fallbacks=fallbacks,
        peak_concurrency=max((count for _, count in in_flight_steps(attempts)), default=0),
        mean_concurrency=mean_in_flight(attempts),
    )


def in_flight_steps(attempts: Sequence[Attempt]) -> Iterator[tuple[float, int]]:
    """(time in s, calls in flight from then on), at every change; an end counts before a start at the same time.

    A call that took no time was in flight at no time.
    """
    lasting = [attempt for attempt in attempts if attempt.ended_s > attempt.started_s]
    changes = [(attempt.started_s, 1) for attempt in lasting] + [(attempt.ended_s, -1) for attempt in lasting]
    count = 0
    for at_s, change in sorted(changes):
        count += change
        yield at_s, count


def mean_in_flight(attempts: Sequence[Attempt], from_s: float = 0.0, until_s: float = float("inf")) -> float:
    """Mean calls in flight over the part of [from_s, until_s] in which there were any; 0.0 if there were none."""
    busy_s = total_s = last_s = 0.0
    count = 0
    for at_s, after in in_flight_steps(attempts):
        if count:
            span_s = max(0.0, min(at_s, until_s) - max(last_s, from_s))
            busy_s += span_s
            total_s += span_s * count
        last_s, count = at_s, after
    return total_s / busy_s if busy_s else 0.0
