"""The oracle: a limiter that knows the provider's limits and starts every call at the first instant it is let in.

The physical bound is not always attainable: calls come in whole numbers, tokens that were written are
charged when a call ends. What a greedy client with perfect knowledge makes of a provider is the fairer yardstick.
It is not the optimum: it takes the calls in their order and leaves no room for a large one that comes later. It
is refused only where a call ends, and is charged for its output, in the very instant of an admission.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tagspace_lab.policy.limits import Limiter, Start
from tagspace_lab.records import Cost, Outcome, Reply

__all__ = ["Oracle"]

_ARRIVAL_S = 1e-6
"""A call is counted when it arrives, in the instant in which it starts, but after the next one was thought of."""
_LOOK_AGAIN_S = 0.01
"""Where another client holds all slots, no event of one's own tells when one is free."""


class Oracle(Limiter):
    """Asks the twin itself: `wait_s(cost)` gives the seconds until a call is let in, None if a slot must end first.

    Clients of one provider share one oracle, so that no two of them start a call on the same token; `ceiling`
    is the most calls that each may have in flight.
    """

    def __init__(self, wait_s: Callable[[Cost], float | None], ceiling: int) -> None:
        self._wait_s, self._ceiling = wait_s, ceiling
        self._not_before_s = 0.0

    @property
    def window(self) -> float:
        return self._ceiling

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        if in_flight >= self._ceiling:
            return math.inf
        if now_s < self._not_before_s:
            return self._not_before_s
        wait_s = self._wait_s(cost)
        if wait_s is None or wait_s == math.inf:
            return math.inf if in_flight else now_s + _LOOK_AGAIN_S
        return now_s + wait_s

    def on_start(self, start: Start) -> None:
        self._not_before_s = start.at_s + _ARRIVAL_S

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome is not Outcome.OK:
            self._not_before_s = now_s + _LOOK_AGAIN_S
