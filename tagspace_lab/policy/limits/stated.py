"""What the provider's headers state of its quotas, carried forward from the last response.

A stated quota only caps. What the statement cannot know yet is taken off: calls that were sent after
it, and the output of those in progress, which many providers charge at their end. Whether a response
states the quota of its own instant or that of its request's arrival is not documented anywhere; the
former is believed until a refusal contradicts it, then calls sent since the arrival are taken off too.
A quota that refills bit by bit (a bucket) is told from one that refills all at once (a window) by how
its reset instant moves while it is used.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math

from tagspace_lab.policy.limits.protocol import Start
from tagspace_lab.records import Cost, Outcome, Quota, Reply

__all__ = ["StatedQuotas"]

_LONGEST_WAIT_S = 61.0
"""A header can hold a call up for one window of a minute, not for ever: some of them lie."""
_SCALE_DECAY = 0.995
"""Estimates are scaled by the worst ratio seen, which fades so slowly. Too much costs a delay once, not throughput."""


class StatedQuotas:
    """The quotas that responses state, keyed as in :class:`~tagspace_lab.records.RateLimit`."""

    def __init__(self) -> None:
        self._quotas: dict[str, _StatedQuota] = {}
        self._in_flight: dict[int, Start] = {}
        self._states_arrival = False
        self._scale = 1.0  # the provider's count of input tokens over the estimate

    def on_start(self, start: Start) -> None:
        self._in_flight[id(start)] = start

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        """A call ended; what it was told replaces what was known, unless that is newer."""
        self._in_flight.pop(id(start), None)
        refused = reply.outcome is Outcome.RATE_LIMITED
        self._states_arrival |= refused and bool(self._quotas)
        if reply.used.input_tokens and start.cost.input_tokens:
            ratio = reply.used.input_tokens / start.cost.input_tokens
            self._scale = max(1.0, ratio, self._scale * _SCALE_DECAY)
        knows_until_s = start.at_s if self._states_arrival and not refused else now_s
        for unit, quota in self._quotas.items():
            if not refused and unit not in reply.rate_limit.quotas:  # a failure that says nothing
                quota.charge(self._unknown(start, unit, quota.knows_until_s))
        for unit, stated in reply.rate_limit.quotas.items():
            if stated.remaining is not None:
                self._quotas.setdefault(unit, _StatedQuota()).update(now_s, knows_until_s, stated)

    def ready_at(self, now_s: float, cost: Cost) -> float:
        """The earliest time at which every stated quota has room for a call of `cost`."""
        ready_s = now_s
        for unit, quota in self._quotas.items():
            unknown = sum(self._unknown(start, unit, quota.knows_until_s) for start in self._in_flight.values())
            ready_s = max(ready_s, quota.ready_at(now_s, self._units(cost, unit), unknown))
        return ready_s

    def _unknown(self, start: Start, unit: str, knows_until_s: float) -> float:
        """What a call in progress will still take of a quota whose statement knows of calls until then."""
        if start.at_s >= knows_until_s:
            return self._units(start.cost, unit)
        return start.cost.output_tokens if unit in ("tokens", "output_tokens") else 0.0

    def _units(self, cost: Cost, unit: str) -> float:
        match unit:
            case "tokens":
                return cost.input_tokens * self._scale + cost.output_tokens
            case "input_tokens":
                return cost.input_tokens * self._scale
            case "output_tokens":
                return cost.output_tokens
            case _:
                return 1.0


class _StatedQuota:
    def __init__(self) -> None:
        self.knows_until_s = -math.inf
        self._stated_s = -math.inf
        self._limit = math.inf
        self._remaining = math.inf
        self._reset_at_s = math.inf
        self._reset_s = 0.0  # from the statement until the quota is whole
        self._is_window = False

    def update(self, now_s: float, knows_until_s: float, stated: Quota) -> None:
        remaining, limit = stated.remaining or 0.0, stated.limit or self._limit
        if knows_until_s < self.knows_until_s:
            self._remaining = min(self._remaining, remaining)
            return
        reset_at_s = now_s + stated.reset_s if stated.reset_s else math.inf
        used = self._remaining - remaining
        if used > 0 and math.isfinite(reset_at_s) and math.isfinite(self._reset_at_s) and math.isfinite(limit):
            self._is_window = reset_at_s - self._reset_at_s < 0.3 * used * 60 / limit
        self._limit, self._remaining = limit, remaining
        self.knows_until_s, self._stated_s = knows_until_s, now_s
        self._reset_at_s, self._reset_s = reset_at_s, stated.reset_s or 0.0

    def charge(self, units: float) -> None:
        self._remaining -= units

    def ready_at(self, now_s: float, units: float, unknown: float) -> float:
        """When there is room for `units` beside the `unknown` ones that the statement does not count."""
        needed = min(units, self._limit) + unknown - self._remaining
        if needed <= 0 or now_s >= self._reset_at_s:
            return now_s
        refill_per_s = self._refill_per_s()
        ready_s = self._reset_at_s if self._is_window or not refill_per_s else self._stated_s + needed / refill_per_s
        return min(max(now_s, ready_s), self._reset_at_s, max(now_s, self._stated_s + _LONGEST_WAIT_S))

    def _refill_per_s(self) -> float:
        """Units a second: its limit spread over a minute, or less if it takes longer to be whole again."""
        if not math.isfinite(self._limit):
            return 0.0
        missing = self._limit - self._remaining
        return min(self._limit / 60, missing / self._reset_s) if missing > 0 and self._reset_s else self._limit / 60
