"""What the throttle and the router tell at INFO: one marked line for each thing that holds a call up.

    [429]       a provider refused a call
    [THROTTLE]  window or pace changed: after a refusal at all, else by more than a fifth since the last line
    [BACKOFF]   a call stays away for a while, or a provider's gate closed for everybody
    [FALLBACK]  a call goes to the fallback provider

Times are seconds since the run began. A line holds numbers and our own words only: never a page's text, a key or
what a provider wrote.
"""

from __future__ import annotations

import logging
import math
from logging import INFO

from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.records import Attempt, Outcome, Reply

__all__ = ["Marks"]

_THROTTLE = logging.getLogger("tagspace_lab.pipeline.throttle")
_ROUTER = logging.getLogger("tagspace_lab.pipeline.router")
_WORTH_A_LINE = 0.2


class Marks:
    """One run's lines, and what it has to remember for them."""

    def __init__(self) -> None:
        self._refusals = 0
        self._told: dict[str, tuple[float, float]] = {}  # window and pace, by provider
        self._gates_s: dict[str, float] = {}

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


def _change(old: float, new: float) -> float:
    """The share by which a number changed; inf from or to none."""
    if old == new:
        return 0.0
    return abs(new - old) / old if old and math.isfinite(old) else math.inf


def _word(pace_per_s: float) -> str:
    return f"{pace_per_s:.4g} calls/s" if math.isfinite(pace_per_s) else "none"
