"""What the provider's headers state of its quotas, carried forward from the last response.

A stated quota only caps. What was sent since the call that brought it left is taken off, so that
calls still on their way are counted; a quota that refills bit by bit (a bucket) is told from one that
refills all at once (a window) by how its reset instant moves while it is used.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math
from collections import deque

from tagspace_lab.policy.limits.protocol import Start
from tagspace_lab.records import Cost, Quota, RateLimit

__all__ = ["StatedQuotas"]

_LONGEST_WAIT_S = 61.0
"""A header can hold a call up for one window of a minute, not for ever: some of them lie."""


class StatedQuotas:
    """The quotas that responses state, keyed as in :class:`~tagspace_lab.records.RateLimit`."""

    def __init__(self) -> None:
        self._quotas: dict[str, _StatedQuota] = {}

    def on_start(self, start: Start) -> None:
        for unit, quota in self._quotas.items():
            quota.sent.append((start.at_s, _units(start.cost, unit)))

    def on_response(self, now_s: float, sent_s: float, rate_limit: RateLimit) -> None:
        for unit, stated in rate_limit.quotas.items():
            if stated.remaining is not None:
                self._quotas.setdefault(unit, _StatedQuota()).update(now_s, sent_s, stated)

    def ready_at(self, now_s: float, cost: Cost) -> float:
        """The earliest time at which every stated quota has room for a call of `cost`."""
        return max((quota.ready_at(now_s, _units(cost, unit)) for unit, quota in self._quotas.items()), default=now_s)


class _StatedQuota:
    def __init__(self) -> None:
        self.sent: deque[tuple[float, float]] = deque()
        self._limit = math.inf
        self._remaining = math.inf
        self._reset_at_s = math.inf
        self._stated_s = 0.0
        self._is_window = False

    def update(self, now_s: float, sent_s: float, stated: Quota) -> None:
        """Take over a newer statement: what was sent before its call left is in it already."""
        remaining, limit = stated.remaining or 0.0, stated.limit or self._limit
        if sent_s < self._stated_s and remaining > self._remaining:
            return
        reset_at_s = now_s + stated.reset_s if stated.reset_s else math.inf
        used = self._remaining - remaining
        if used > 0 and math.isfinite(reset_at_s) and math.isfinite(self._reset_at_s) and math.isfinite(limit):
            self._is_window = reset_at_s - self._reset_at_s < 0.3 * used * 60 / limit
        while self.sent and self.sent[0][0] <= sent_s:
            self.sent.popleft()
        self._limit, self._remaining = limit, remaining
        self._reset_at_s, self._stated_s = reset_at_s, now_s

    def ready_at(self, now_s: float, units: float) -> float:
        needed = min(units, self._limit) + sum(sent for _, sent in self.sent) - self._remaining
        if needed <= 0 or now_s >= self._reset_at_s:
            return now_s
        refill_per_s = self._refill_per_s()
        ready_s = self._reset_at_s if self._is_window or not refill_per_s else self._stated_s + needed / refill_per_s
        return min(max(now_s, ready_s), self._reset_at_s, self._stated_s + _LONGEST_WAIT_S)

    def _refill_per_s(self) -> float:
        """Units a second: its limit spread over a minute, or less if it takes longer to be whole again."""
        missing, left_s = self._limit - self._remaining, self._reset_at_s - self._stated_s
        if not math.isfinite(self._limit):
            return 0.0
        return min(self._limit / 60, missing / left_s) if missing > 0 and left_s > 0 else self._limit / 60


def _units(cost: Cost, unit: str) -> float:
    match unit:
        case "tokens":
            return cost.tokens
        case "input_tokens":
            return cost.input_tokens
        case "output_tokens":
            return cost.output_tokens
        case _:
            return 1.0
