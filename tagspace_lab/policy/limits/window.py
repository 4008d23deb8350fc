"""How many calls may be in flight: found from below, by what was let in, and from above, by what was refused.

A refusal comes at once, where an answer takes seconds. So a call that was not refused within the *grace* (twice the
time of the last refusal) counts as let in. Up to what was let in before, calls start together; above that one more at a
time, a step apart, so that a refusal comes in time to stop all but a few. A cap that has refused is probed by one call
above it, at intervals that double when it is refused; once one is let in, the next follow at once.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math

from tagspace_lab.policy.limits.protocol import Start

__all__ = ["Window"]

_STEP_S = 0.025
_FIRST_GRACE_S, _SHORTEST_GRACE_S, _LONGEST_GRACE_S = 0.2, 0.05, 2.0
_FIRST_PROBE_S, _LONGEST_PROBE_S = 10.0, 40.0
_QUICK_PROBE_S = 2.0
"""The first interval where the cap is in doubt: it has moved, or nobody said that it was one."""


class Window:
    """Slots: `first` at the start, `ceiling` at most, and at most `cap`, one less than were refused."""

    def __init__(self, first: int, ceiling: int) -> None:
        self._first, self._ceiling = first, ceiling
        self.cap = math.inf
        self.let_in = 0  # the most calls in flight with which one was let in
        self.grace_s = _FIRST_GRACE_S
        self._started_s = -math.inf
        self._reached = 0  # the most calls in flight that were tried
        self._waiting: dict[int, Start] = {}  # calls not known to be let in, oldest first
        self._is_named = True  # the last refusal said that it was a cap
        self._probe: Start | None = None  # the last call above the cap
        self._is_probing = False  # and nobody knows yet what becomes of it
        self._probe_pace_s, self._probe_due_s = _FIRST_PROBE_S, 0.0

    @property
    def size(self) -> float:
        """Calls that may be in flight, the next step included."""
        return min(max(self._first, self._reached + 1), self.cap, self._ceiling)

    def opens_at(self, now_s: float, in_flight: int) -> float:
        """When there is a slot: now, a step after the last start, when a probe is due, or inf: when a call ends."""
        self._believe(now_s)
        if in_flight >= self._ceiling:
            return math.inf
        if in_flight >= self.cap:
            return self._probe_at(now_s)
        if in_flight < max(self._first, self.let_in):
            return now_s
        return max(now_s, self._started_s + _STEP_S)

    def on_start(self, start: Start) -> None:
        """A call starts."""
        self._started_s = start.at_s
        self._reached = max(self._reached, start.in_flight)
        self._waiting[id(start)] = start
        if start.in_flight > self.cap:
            self._probe, self._is_probing = start, True

    def on_end(self, start: Start, *, was_let_in: bool) -> None:
        """A call ended; whether it was let in is not known of one that failed."""
        self._waiting.pop(id(start), None)
        if was_let_in:
            self._grow(start)
        if start is self._probe:
            self._is_probing = False

    def on_refused(self, now_s: float, start: Start) -> None:
        """A refusal of any kind: it tells how soon refusals come."""
        self.grace_s = min(_LONGEST_GRACE_S, max(2 * (now_s - start.at_s), _SHORTEST_GRACE_S))

    def on_full(self, now_s: float, start: Start, *, is_first: bool, is_named: bool) -> None:
        """A refusal for too many calls in flight, `start` among them; `is_named`: it said so, and is no guess."""
        self._is_named = is_named
        if is_first:
            is_sure = is_named and start.in_flight > self.let_in
            again_s = min(_LONGEST_PROBE_S, 2 * self._probe_pace_s)
            first_s = _FIRST_PROBE_S if is_sure else _QUICK_PROBE_S
            self._probe_pace_s = again_s if start is self._probe else first_s
            self._probe_due_s = now_s + self._probe_pace_s
        self.cap = min(self.cap, max(1, start.in_flight - 1))
        self._reached = min(self._reached, start.in_flight - 1)
        if self.cap < self.let_in:
            self.let_in = 0

    def _probe_at(self, now_s: float) -> float:
        if self._is_probing and self._probe is not None:
            return self._probe.at_s + self.grace_s
        return max(now_s, self._probe_due_s)

    def _believe(self, now_s: float) -> None:
        """Calls that have not been refused by now were let in."""
        for key, start in list(self._waiting.items()):
            if start.at_s + self.grace_s > now_s:
                return
            del self._waiting[key]
            self._grow(start)

    def _grow(self, start: Start) -> None:
        self.let_in = max(self.let_in, start.in_flight)
        if start.in_flight > self.cap:  # a guess is refuted by it, a cap has risen
            self.cap = start.in_flight if self._is_named else math.inf
        if start is self._probe and self._is_probing:
            self._is_probing, self._probe_due_s = False, 0.0
            self._probe_pace_s = _QUICK_PROBE_S
