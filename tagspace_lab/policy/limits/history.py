"""The calls that one limit has seen, and the rate that a row of refusals and acceptances proves.

A refusal is an *anchor*: at that instant t0 the provider's bucket held less than the call needed. With n units let in
after t0 and before t,

    an acceptance at t             proves   rate >= (n - u) / (t - t0)
    a refusal     at t of u units  proves   rate <  (n + u) / (t - t0)

so an interval closes with 1 / (t - t0), and refusals grow with the logarithm of the run. As the bucket is equally
empty at two refusals, n / (t - t0) is the likeliest rate. All this holds while the bucket does not run over. It does
when calls are held back by something else; so the bucket is *replayed* between two anchors, with no more in it than
its burst.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Call", "History"]

_REMEMBERED = 256
"""Calls that are replayed at most: what was before them is forgotten."""
_DOUBLINGS, _HALVINGS = 12, 16
"""Steps of the search for a rate: up to 4,096 times the lowest that is possible, and to 5 digits."""


@dataclass(slots=True)
class Call:
    """A call sent at `at_s`: it takes `units`, `later` of them at its end; `before` units had been sent before it."""

    at_s: float
    units: float
    later: float
    before: float


class History:
    """What was sent and not refused: `sent` units in all, `largest` in one call."""

    def __init__(self) -> None:
        self.sent = self.largest = 0.0
        self._log: deque[Call] = deque(maxlen=_REMEMBERED)
        self._in_flight: dict[int, Call] = {}

    @property
    def owed(self) -> float:
        """Units that calls in flight will take only when they end."""
        return sum(call.later for call in self._in_flight.values())

    @property
    def begins_s(self) -> float:
        """When the oldest call that is remembered was sent."""
        return self._log[0].at_s

    def start(self, key: int, at_s: float, units: float, later: float) -> None:
        call = Call(at_s, units, later, self.sent)
        self._in_flight[key] = call
        self._log.append(call)
        self.sent += units
        self.largest = max(self.largest, units)

    def settle(self, key: int, used: float | None) -> tuple[Call, float]:
        """A call was let in, and took `used` units (None: what was expected). Gives it, and what it took more."""
        call = self._in_flight.pop(key)
        more = 0.0 if used is None else used - call.units
        call.units += more
        self.sent += more
        return call, more

    def take_back(self, key: int, anchors: list[Call]) -> tuple[Call, float]:
        """A call was refused: whatever was counted after it counts that much less. Gives it, and its units."""
        call = self._in_flight.pop(key)
        units, call.units = call.units, 0.0
        self.sent -= units
        for other in (*self._in_flight.values(), *anchors):
            if other.before > call.before:
                other.before -= units
        return call, units

    def solve(self, first: Call, last: Call, more: float, burst: float) -> float:
        """The rate at which a bucket of `burst`, empty at `first`, holds `more` at `last` after all it gave between."""
        calls = [call for call in self._log if first.at_s < call.at_s < last.at_s and call.units]
        span_s = last.at_s - first.at_s
        low = (sum(call.units for call in calls) + more) / span_s
        if _replay(calls, first.at_s, last.at_s, low, burst) >= more - 1e-9:
            return low
        high = low
        for _ in range(_DOUBLINGS):
            high *= 2
            if _replay(calls, first.at_s, last.at_s, high, burst) >= more:
                break
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if _replay(calls, first.at_s, last.at_s, middle, burst) < more:
                low = middle
            else:
                high = middle
        return high

    def latest_per_s(self, until: Call, burst: float) -> float:
        """How fast the last `burst` before a call was let in, which is all that a sliding window remembers."""
        let_in = 0.0
        for call in reversed(self._log):
            if call.at_s < until.at_s and call.units:
                let_in += call.units
                if let_in >= burst - 1e-9:
                    return let_in / (until.at_s - call.at_s)
        return 0.0


def _replay(calls: list[Call], from_s: float, until_s: float, rate: float, burst: float) -> float:
    """What a bucket that was empty at `from_s` holds at `until_s`."""
    level, at_s = 0.0, from_s
    for call in calls:
        level, at_s = min(burst, level + rate * (call.at_s - at_s)) - call.units, call.at_s
    return min(burst, level + rate * (until_s - at_s))
