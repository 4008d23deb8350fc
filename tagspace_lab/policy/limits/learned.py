"""Learns how many calls may be in flight and how fast they may start, from what is refused and what is not.

Four things hold a call back, each with its own reason, and the latest of them counts:

- the *window*: calls in flight. It grows while it is full and nothing is refused (doubling at first,
  by one a round trip after the first refusal), and is cut below a concurrency cap once one shows.
- the *pace*: requests and tokens a second, from what refusals and acceptances prove (`intervals.py`).
- the *stated quotas* of the provider's headers (`stated.py`); they cap, and never overrule a refusal.
- the *gate*: after a refusal nobody starts until Retry-After has passed, or a short wait that doubles
  with every refusal in a row; then one call goes alone, and the others follow when it was not refused.

One decrease for one congestion event: a refusal of a call that was sent before the last decrease
teaches nothing more. A run that is told rates (`TAG_SPACE_REQUESTS_PER_MIN`, `_TOKENS_PER_MIN`) starts at
their pace. A refusal that names what is used up teaches only that limit.
Above the pace it probes sparingly, at intervals that double when they fail.
"""

from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits.intervals import CapInterval, RateInterval
from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.stated import StatedQuotas
from tagspace_lab.records import Cost, Outcome, RateLimit, Reply
from tagspace_lab.settings import Settings

__all__ = ["Learned"]

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 8.0
_FIRST_GRACE_S = 0.5
_PROBE_S = 20.0
_PROBE_FACTOR = 1.2
_IDLE_S = 5.0
_LONGEST_EXPECTED_GAP_S = 5.0
"""What a run was told of the rates is not believed beyond it: a wrong number costs a little time, not days."""


class Learned(Limiter):
    """The default limiter: window, request rate and token rate learned together."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = float(settings.ai_concurrency)
        self._max_window = settings.max_ai_concurrency
        self._rng = rng
        self._requests = RateInterval(_per_s(settings.requests_per_min))
        self._tokens = RateInterval(_per_s(settings.tokens_per_min))
        self._cap = CapInterval()
        self._stated = StatedQuotas()
        self._next_s = 0.0  # the pace's next turn
        self._gate_s = 0.0
        self._started_s = 0.0
        self._refusals = 0  # in a row
        self._cut_s = -math.inf
        self._has_been_refused = False
        self._named = ""  # what a refusal last said was used up
        self._grace_s = _FIRST_GRACE_S  # a call that has not been refused for so long was accepted
        self._probe: Start | None = None  # the one call that goes first after a gate
        self._probe_pace_s, self._raised_s = _PROBE_S, 0.0

    @property
    def window(self) -> float:
        return min(self._window, self._cap.high, self._max_window)

    @property
    def cooling_until_s(self) -> float:
        return self._gate_s

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        if in_flight >= max(1, int(self.window)):
            return math.inf
        opens_s = max(now_s, self._gate_s, self._next_s)
        if self._probe is not None:
            opens_s = max(opens_s, self._probe.at_s + self._grace_s)
        return max(opens_s, self._stated.ready_at(now_s, cost))

    def on_start(self, start: Start) -> None:
        self._probe_above(start.at_s)
        self._probe = start if self._refusals and self._probe is None else None
        if self._probe is None:
            self._refusals = 0
        if start.in_flight == 1 and start.at_s - self._started_s > _IDLE_S:
            self._lose_anchors()
        self._started_s = start.at_s
        self._next_s = max(start.at_s, self._next_s) + self._gap_s(start.cost)
        self._requests.on_start(1)
        self._tokens.on_start(start.cost.tokens)
        self._stated.on_start(start)

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if start is self._probe:
            self._probe = None
        self._stated.on_end(now_s, start, reply)
        match reply.outcome:
            case Outcome.OK:
                self._on_accepted(start)
            case Outcome.RATE_LIMITED:
                self._on_refused(now_s, start, reply)
            case Outcome.OVERLOADED:
                self._gate_s = max(self._gate_s, now_s + self._wait_s(start, reply))

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        """Nothing of its own: the gate holds every call."""
        return 0.0

    def _on_accepted(self, start: Start) -> None:
        self._requests.on_accepted(start.at_s, 1)
        self._tokens.on_accepted(start.at_s, start.cost.tokens)
        self._cap.on_accepted(start.in_flight)
        if start.at_s > self._cut_s:
            self._refusals = 0
        was_used = start.in_flight >= (self.window if self._has_been_refused else self.window / 2)
        if was_used and self._window < self._max_window:
            self._window += 1 / self._window if self._has_been_refused else 1.0

    def _on_refused(self, now_s: float, start: Start, reply: Reply) -> None:
        self._grace_s = min(2.0, max(2 * (now_s - start.at_s), 0.05))
        if start.at_s <= self._cut_s:
            self._requests.on_repeated(start.at_s, 1)
            self._tokens.on_repeated(start.at_s, start.cost.tokens)
            return
        self._cut_s = now_s
        self._has_been_refused = True
        self._refusals += 1
        self._settle_probe(now_s)
        wait_s = self._wait_s(start, reply)
        self._blame(now_s, start, reply.rate_limit, wait_s)
        self._gate_s = max(self._gate_s, now_s + wait_s)

    def _blame(self, now_s: float, start: Start, said: RateLimit, wait_s: float) -> None:
        """Let those limits learn that may be the cause: the one that the refusal names, or all that explain it."""
        if said.cause == "concurrency":
            self._cap.on_refused(start.in_flight)
            return
        self._named = said.cause or self._named
        if not (self._named or self._requests.is_known):
            self._cap.on_refused(start.in_flight)
        held = said.retry_after_s is not None
        self._requests.on_refused(now_s, 1, wait_s, may_overflow=held)
        self._tokens.on_refused(now_s, start.cost.tokens, wait_s, may_overflow=held)

    def _wait_s(self, start: Start, reply: Reply) -> float:
        """What the provider asks for and a little jitter more, or a wait that doubles with every refusal in a row."""
        asked_s = reply.rate_limit.retry_after_s
        if asked_s is not None:
            return asked_s + min(1.0, 0.1 * asked_s) * self._rng.random()
        gap_s = self._gap_s(start.cost)
        first_s = gap_s if self._requests.is_known and gap_s else max(_FIRST_WAIT_S, self._grace_s)
        return max(gap_s, min(_LONGEST_WAIT_S, first_s * 2.0 ** min(self._refusals - 1, 20)))

    def _gap_s(self, cost: Cost) -> float:
        """Seconds from one start to the next, at the pace of whatever it is that is limited."""
        if not self._has_been_refused:  # what an earlier run has learned of either
            gap_s = max(1 / self._requests.pace, cost.tokens / self._tokens.pace)
            return min(gap_s, _LONGEST_EXPECTED_GAP_S)
        if self._limits_tokens:
            return cost.tokens / self._tokens.pace
        return 1 / self._requests.pace

    @property
    def _limits_tokens(self) -> bool:
        """Whether tokens are what is limited: said in a refusal, or because requests were disproved more often."""
        if self._named:
            return self._named != "requests"
        return self._requests.disproved > self._tokens.disproved

    def _lose_anchors(self) -> None:
        self._requests.lose_anchors()
        self._tokens.lose_anchors()

    def _probe_above(self, now_s: float) -> None:
        """After a quiet spell, allow a little more than was proven: limits rise, and first estimates are low."""
        if self._has_been_refused and now_s - max(self._cut_s, self._raised_s) > self._probe_pace_s:
            self._raised_s = now_s
            self._requests.raise_pace(_PROBE_FACTOR)
            self._tokens.raise_pace(_PROBE_FACTOR)
            self._cap.raise_high()

    def _settle_probe(self, now_s: float) -> None:
        failed = self._raised_s > 0 and now_s - self._raised_s < self._probe_pace_s
        self._probe_pace_s = min(600.0, self._probe_pace_s * 2) if failed else _PROBE_S


def _per_s(per_min: float | None) -> float:
    return math.inf if per_min is None else per_min / 60
