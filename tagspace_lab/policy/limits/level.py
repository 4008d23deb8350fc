"""What is left of one limit now: carried forward by what is sent, put right by what headers state.

A statement is believed to within its rounding. Whether it speaks of the instant at which the request arrived or of that
of the response is not documented anywhere: what both would mean is believed, and what lies between them is left alone.
A limit that refills bit by bit (a bucket) is told from one that refills all at once (a window) by how the instant at
which it is whole again moves while it is used.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math

from tagspace_lab.policy.limits.history import History
from tagspace_lab.records import Quota

__all__ = ["LONG_HOLD_S", "Level"]

LONG_HOLD_S = 8.0
"""After a hold of so long, what has gathered meanwhile is spent at once: a window may have begun."""
_LONGEST_RESET_S = 61.0
"""A header can hold calls up for one window of a minute, not for ever: some of them lie."""
_TELLING_S = 4.0
"""So far a bucket's reset must have moved to be told from a window's, beyond what is rounded."""
_WINDOW_SHARE = 0.3
_ROUNDED = 1000
"""Token remainders that are multiples of it are taken for rounded (Anthropic's are)."""
_MARGIN = 1.02
"""Room that is wanted for tokens over those that are expected: estimates are a little off, and a wait costs less."""


class Level:
    """Units that are left, believed to be `units` at `at_s`, refilled at the rate that the caller gives."""

    def __init__(self) -> None:
        self.units, self.at_s = math.inf, 0.0
        self.limit = math.inf  # as stated, a minute
        self.is_window = False
        self.is_believed = True
        """Whether a statement may raise the level. Not after a refusal of what it said there was room for."""
        self.is_refuted = False  # a refusal came although refilling should have made room
        self._capacity = 0.0
        self._reset_at_s = math.inf
        self._seen = 0.0, -math.inf  # what had been sent, and when the limit was to be whole, at an earlier statement

    @property
    def stated_per_s(self) -> float:
        """The stated limit a second; inf where none is stated."""
        return self.limit / 60

    @property
    def is_filling(self) -> bool:
        """Whether headers tell of a bucket, which fills all the time."""
        return math.isfinite(self.limit) and not self.is_window and math.isfinite(self._reset_at_s)

    def at(self, now_s: float, rate: float, largest: float) -> float:
        """The level at `now_s`: beyond the largest call nothing gathers, unless headers told of more room."""
        if self.is_window and self._reset_at_s < math.inf:
            return self.units if now_s < self._reset_at_s else max(self.units, self.limit)
        gained = self.units + rate * (now_s - self.at_s)
        return max(self.units, min(gained, max(largest, self._capacity)))

    def ready_at(self, now_s: float, units: float, rate: float, largest: float) -> float:
        """When there is room for `units`."""
        if self.is_window and now_s < self._reset_at_s < math.inf:
            return now_s if self.units >= min(units, self.limit) else self._reset_at_s
        units = min(units, max(self.limit, 1))
        wanted = units if units == 1 else _MARGIN * units
        if self.at(now_s, rate, largest) >= wanted - 1e-9:
            return now_s
        return max(now_s, self.at_s + (wanted - self.units) / rate)

    def set(self, units: float, at_s: float) -> None:
        self.units, self.at_s = units, at_s

    def empty(self, now_s: float) -> None:
        """A refusal: there was less than the call needed."""
        self.is_refuted = math.isfinite(self.limit) and not self.is_window
        self.set(0.0, now_s)

    def restate(self, limit: float, sent: float) -> bool:
        """The limit as it is stated now. True if it has changed."""
        has_changed = math.isfinite(self.limit) and limit != self.limit
        if has_changed:
            self._seen, self._capacity = (sent, -math.inf), 0.0
        self.limit = limit
        return has_changed

    def correct(
        self, now_s: float, at_s: float, stated: Quota, history: History, sent: float, rate: float, burst: float
    ) -> None:
        """A response to a call that started at `at_s`, when `sent` units had been sent, states what remains."""
        remaining = stated.remaining or 0.0
        self._see_window(now_s, stated, history.sent)
        if self.is_refuted and not stated.reset_s:
            self.is_believed = False
        low, high = self._bounds(now_s, at_s, stated, history, sent)
        granule = _ROUNDED if remaining % _ROUNDED == 0 and self.limit > 10 * _ROUNDED else 1
        level = low if math.isinf(rate) else self.at(now_s, rate, history.largest)
        is_plenty = remaining > LONG_HOLD_S * self.stated_per_s
        if level > high + granule:
            level = high + granule / 2
        elif level < low - granule + 1 and (self.is_believed or is_plenty):
            level = low - (granule - 1) / 2
        self.set(level, now_s)
        if stated.reset_s and not self.is_window:
            room = remaining + self.stated_per_s * stated.reset_s
            self._capacity = min(room, burst, self._capacity or math.inf)

    def _bounds(self, now_s: float, at_s: float, stated: Quota, history: History, sent: float) -> tuple[float, float]:
        """What is left if the statement speaks of the request's arrival, and if it does of the response: in order."""
        remaining = stated.remaining or 0.0
        rate = 0.0 if self.is_window or math.isinf(self.limit) else self.stated_per_s
        arrival = remaining + rate * (now_s - at_s) - (history.sent - sent)
        response = remaining - history.owed
        if stated.reset_s and not self.is_window and remaining < 1:  # it may owe
            response = min(response, self._capacity + rate - rate * stated.reset_s)
        return min(arrival, response), max(arrival, response)

    def _see_window(self, now_s: float, stated: Quota, sent: float) -> None:
        """A window's reset stays where it is while the quota is used; a bucket's moves on by what is used."""
        if not stated.reset_s or math.isinf(self.limit):
            self._reset_at_s = math.inf
            return
        reset_at_s = now_s + min(stated.reset_s, _LONGEST_RESET_S)
        sent_before, former_s = self._seen
        moves_s = (sent - sent_before) / self.stated_per_s
        if self.is_window and now_s < self._reset_at_s and (stated.remaining or 0) > self.units + 1:
            self.is_window = False
        if now_s < former_s and moves_s >= _TELLING_S:
            self.is_window = reset_at_s - former_s < _WINDOW_SHARE * moves_s
        if now_s >= former_s or moves_s >= _TELLING_S:
            self._seen = sent, reset_at_s
        self._reset_at_s = reset_at_s
