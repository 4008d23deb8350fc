"""What accepted and refused calls prove about one hidden limit: an interval, not a guess.

A refusal is an anchor: at that instant t0 the provider's bucket held less than the call needed. While
the bucket has not filled up since, with n units let in after t0,

    an acceptance at t of u units proves   rate >= (n - u) / (t - t0)    (n counts the accepted call)
    a refusal     at t of u units proves   rate <  (n + u) / (t - t0)

(for the latter the time in which nobody was sent is left out: the bucket may have overflowed then)
so the interval closes with 1 / (t - t0), and refusals grow only with the logarithm of the run. As the
bucket is equally empty at two refusals, n / (t - t0) is the likeliest rate; the pace lies half a call
above it, so that it is corrected by refusals and never starves.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["CapInterval", "RateInterval"]

_SEARCH_GROWTH = 1.25
"""Before a second refusal has bounded the rate, each start is followed by the next this much sooner."""
_SEARCH_GAP_S = 0.2
"""The longest gap at which that search starts."""
_CREEP = 1.01
"""Within what is proven, each start that is not refused is followed by the next this much sooner."""
_CROWD = 3
_CROWD_UNITS = 6
"""Three refusals within six calls: the limit is not what it was, and older anchors tell of the past."""
_SLACK = 1.02


@dataclass(slots=True)
class _Anchor:
    """A refusal: when it became known, and what had been let in, and for how long nobody was, by then."""

    at_s: float
    sent: float
    held_s: float


class RateInterval:
    """One rate, in units (calls or tokens) a second: proven between `low` and `high`, paced at `pace`."""

    def __init__(self, expected: float = math.inf) -> None:
        self.low, self.high, self.pace = 0.0, math.inf, expected
        self.disproved = 0
        """How often the interval turned empty: this is not what is limited, or the limit has changed."""
        self._searching = False
        self._sent = 0.0  # units sent and not refused so far, ever
        self._anchors: deque[_Anchor] = deque()
        self._held_s = 0.0  # how long nobody was let in, ever
        self._accepted = 0.0  # units sent since the first anchor and known to be accepted
        self._accepted_until_s = 0.0

    @property
    def is_known(self) -> bool:
        """Whether two refusals have bounded the rate."""
        return math.isfinite(self.high) and not self._searching

    def on_start(self, units: float) -> None:
        self._sent += units
        growth = _SEARCH_GROWTH if self._searching else _CREEP
        self.pace = min(self.high, self.pace * growth)

    def on_accepted(self, sent_s: float, units: float) -> None:
        if not self._anchors or sent_s <= self._anchors[0].at_s:
            return
        self._accepted += units
        self._accepted_until_s = max(self._accepted_until_s, sent_s)
        self.low = max(self.low, (self._accepted - units) / (self._accepted_until_s - self._anchors[0].at_s))
        if self.low > self.high * _SLACK:
            self._forget()

    def on_repeated(self, sent_s: float, units: float) -> None:
        """A refusal that belongs to a congestion already noted: the units were not let in."""
        self._sent -= units
        for anchor in self._anchors:
            if anchor.at_s >= sent_s:
                anchor.sent -= units

    def on_refused(self, now_s: float, units: float, wait_s: float, *, may_overflow: bool = False) -> None:
        """A new congestion. `wait_s`: how long everybody now waits, in which a small bucket
        may overflow; the first search starts at that pace."""
        self._sent -= units
        if self._anchors and self._sent <= self._anchors[-1].sent:
            self._anchors.clear()  # nothing was let in since: an outage, in which no rate shows
        self._drop_past(units)
        if self._anchors:
            self._narrow(now_s, units)
        elif math.isinf(self.pace) and wait_s > 0:
            self.pace, self._searching = units / min(wait_s, _SEARCH_GAP_S), True
        self._anchors.append(_Anchor(now_s, self._sent, self._held_s))
        if len(self._anchors) == 1:
            self._accepted, self._accepted_until_s = 0.0, now_s
        self._held_s += wait_s if may_overflow else 0.0

    def lose_anchors(self) -> None:
        """The bucket may have filled up since (a long hold, an idle spell): the next refusal anchors anew."""
        self._anchors.clear()
        self._accepted = self._accepted_until_s = self.low = 0.0

    def raise_pace(self, factor: float) -> None:
        """Probe above what was proven; the next refusal says whether the limit has risen."""
        self.high *= factor
        self.pace *= factor

    def _narrow(self, now_s: float, units: float) -> None:
        anchor = self._anchors[0]
        elapsed_s, let_in = now_s - anchor.at_s, max(0.0, self._sent - anchor.sent)
        paced_s = elapsed_s - (self._held_s - anchor.held_s)
        if paced_s > 0:
            self.high = min(self.high, (let_in + units) / paced_s)
            self.pace = min(self.high, (let_in + 0.5 * units) / elapsed_s)
            self._searching = False

    def _drop_past(self, units: float) -> None:
        """A crowd of refusals: keep only its own anchors, and believe nothing that was proven before."""
        anchors = self._anchors
        if len(anchors) >= _CROWD - 1 and self._sent - anchors[1 - _CROWD].sent <= _CROWD_UNITS * units:
            while len(anchors) > _CROWD - 1:
                anchors.popleft()
            self.low, self.high = 0.0, math.inf
            self._accepted, self._accepted_until_s = 0.0, anchors[0].at_s

    def _forget(self) -> None:
        self.disproved += 1
        self.lose_anchors()
        self.high = self.pace = math.inf
        self._searching = False


class CapInterval:
    """A cap on calls in flight: accepted with `low` of them, refused with `high` + 1."""

    def __init__(self) -> None:
        self.low = 0
        self.high = math.inf

    def on_accepted(self, in_flight: int) -> None:
        self.low = max(self.low, in_flight)
        if self.low > self.high:
            self.high = math.inf

    def on_refused(self, in_flight: int) -> None:
        """`in_flight` counts the refused call."""
        self.high = min(self.high, in_flight - 1)
        if self.high < max(self.low, 1):
            self.low, self.high = 0, math.inf

    def raise_high(self) -> None:
        """Probe: allow one call more; the next refusal says whether the cap has risen."""
        self.high += 1
