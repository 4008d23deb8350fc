"""What a run tells at INFO: one marked line for each thing that holds a call up, and two at its end.

    [ROUTER]    where a run starts, what became of a batch that was split, a provider that takes no more calls
    [429]       a provider refused a call
    [THROTTLE]  window or pace changed: after a refusal at all, else by more than a fifth since the last line
    [BACKOFF]   a call stays away for a while, or a provider's gate closed for everybody
    [FALLBACK]  a call goes to the fallback provider
    [CACHE], [OPTIMIZATION_SUMMARY]
                what the run came to, as key=value; the latter on the logger `tag_space_performance`

Times are seconds since the run began. A line holds numbers and our own words only: never a page's text, a key or
what a provider wrote. Where nobody listens at INFO, as in a study, nothing is counted or worded.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from logging import INFO
from typing import TYPE_CHECKING

from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.records import Attempt, Outcome, Reply, Status

if TYPE_CHECKING:
    from tagspace_lab.pipeline.pipeline import RunResult

__all__ = ["Marks", "tell_end"]

_THROTTLE = logging.getLogger("tagspace_lab.pipeline.throttle")
_ROUTER = logging.getLogger("tagspace_lab.pipeline.router")
_CACHE = logging.getLogger("tagspace_lab.pipeline.cache")
_SUMMARY = logging.getLogger("tag_space_performance")
_WORTH_A_LINE = 0.2
_MOST_OF_A_NAME = 80


class Marks:
    """One run's lines, and what it has to remember for them."""

    def __init__(self) -> None:
        self._refusals = 0
        self._told: dict[str, tuple[float, float]] = {}  # window and pace, by provider
        self._gates_s: dict[str, float] = {}

    def on_start(self, task_id: str, providers: Sequence[str]) -> None:
        """A run begins with the first of `providers`."""
        if _ROUTER.isEnabledFor(INFO):
            others = ", ".join(providers[1:]) or "none"
            _ROUTER.info("[ROUTER] 0.000 s: run %s starts with %s, fallback: %s", _name(task_id), providers[0], others)

    def on_split(self, at_s: float, call: int, pages: int, halves: Sequence[int], why: str) -> None:
        """A call of `pages` is made again in calls of so many pages as `halves` says."""
        if _ROUTER.isEnabledFor(INFO):
            sizes = " and ".join(map(str, halves))
            _ROUTER.info(
                "[ROUTER] %.3f s: call %d of %d pages is asked again with %s: %s", at_s, call, pages, sizes, why
            )

    def on_close(self, at_s: float, provider: str, reply: Reply) -> None:
        """A provider takes no more calls in this run."""
        if _ROUTER.isEnabledFor(INFO):
            _ROUTER.info(
                "[ROUTER] %.3f s: %s is closed for this run: %s, HTTP %d", at_s, provider, reply.outcome, reply.status
            )

    def on_attempt(self, attempt: Attempt, reply: Reply, throttle: Throttle, now_s: float) -> None:
        """An attempt ended, and its throttle has learned from it. `now_s`: by the event loop's clock."""
        is_refused = attempt.outcome is Outcome.RATE_LIMITED
        self._refusals += is_refused
        if is_refused and _ROUTER.isEnabledFor(INFO):
            self._tell_refusal(attempt, reply.rate_limit.cause)
        if _THROTTLE.isEnabledFor(INFO):
            self._tell_change(attempt, throttle, least=0.0 if is_refused else _WORTH_A_LINE)
            self._tell_gate(attempt, throttle.limiter.cooling_until_s, now_s)

    def on_delay(self, at_s: float, provider: str, call: int, delay_s: float) -> None:
        """A call stays away from a provider on its own account."""
        if _ROUTER.isEnabledFor(INFO):
            _ROUTER.info("[BACKOFF] %.3f s: call %d stays away from %s for %.3f s", at_s, call, provider, delay_s)

    def on_fallback(self, at_s: float, provider: str, call: int, why: str) -> None:
        """A call queues at the fallback provider."""
        if _ROUTER.isEnabledFor(INFO):
            _ROUTER.info("[FALLBACK] %.3f s: call %d goes to %s: %s", at_s, call, provider, why)

    def _tell_refusal(self, attempt: Attempt, cause: str) -> None:
        asked_s = attempt.retry_after_s
        _ROUTER.info(
            "[429] %.3f s: %s refused call %d (try %d), named %s, Retry-After %s, refusals so far: %d",
            attempt.ended_s,
            attempt.provider,
            attempt.call,
            attempt.number,
            cause or "nothing",
            "none" if asked_s is None else f"{asked_s:.3f} s",
            self._refusals,
        )

    def _tell_change(self, attempt: Attempt, throttle: Throttle, least: float) -> None:
        window, pace_per_s = self._told.setdefault(attempt.provider, (attempt.window, attempt.pace_per_s))
        new = throttle.limiter.window, throttle.limiter.pace_per_s
        if max(_change(window, new[0]), _change(pace_per_s, new[1])) <= least:
            return
        self._told[attempt.provider] = new
        _THROTTLE.info(
            "[THROTTLE] %.3f s: %s: window %.4g -> %.4g calls, pace %s -> %s, in flight %d, queued %d",
            attempt.ended_s,
            attempt.provider,
            window,
            new[0],
            _word(pace_per_s),
            _word(new[1]),
            throttle.in_flight,
            throttle.queued,
        )

    def _tell_gate(self, attempt: Attempt, until_s: float, now_s: float) -> None:
        if until_s > max(now_s, self._gates_s.get(attempt.provider, 0.0)):
            self._gates_s[attempt.provider] = until_s
            _THROTTLE.info(
                "[BACKOFF] %.3f s: nothing starts at %s for %.3f s", attempt.ended_s, attempt.provider, until_s - now_s
            )


def tell_end(result: RunResult) -> None:
    """The two lines of a run that has ended."""
    if not (_SUMMARY.isEnabledFor(INFO) or _CACHE.isEnabledFor(INFO)):
        return
    cache, metrics, task_id = result.cache_stats, result.concurrency_metrics, _name(result.task_id)
    processed = sum(tagging.status is not Status.STOPPED for tagging in result.results)
    _CACHE.info(
        "[CACHE] task=%s hits=%d misses=%d hit_rate=%.4f size=%d evictions=%d",
        *(task_id, cache.hits, cache.misses, cache.hit_rate, cache.size, cache.evictions),
    )
    _SUMMARY.info(
        "[OPTIMIZATION_SUMMARY] task=%s processed=%d errors=%d hit_rate=%.4f rate_limit_errors=%d fallbacks=%d "
        "ai_calls=%d attempts=%d retries=%d mean_concurrency=%.2f makespan_s=%.3f",
        *(task_id, processed, result.errors, cache.hit_rate, metrics.rate_limit_errors, metrics.fallbacks),
        *(metrics.total_ai_calls, metrics.attempts, metrics.retries, metrics.mean_concurrency, result.makespan_s),
    )


def _name(task_id: str) -> str:
    """A caller's name for a run, as one word."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", task_id)[:_MOST_OF_A_NAME] or "-"


def _change(old: float, new: float) -> float:
    """The share by which a number changed; inf from or to none."""
    if old == new:
        return 0.0
    return abs(new - old) / old if old and math.isfinite(old) else math.inf


def _word(pace_per_s: float) -> str:
    return f"{pace_per_s:.4g} calls/s" if math.isfinite(pace_per_s) else "none"
