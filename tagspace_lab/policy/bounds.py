"""The physical lower bound of a run: no client, however clever, is faster than this.

A run has to get `calls` calls with their tokens admitted, and to sit through their latencies. The bound
is the latest of: the time until the request quota has let the last call in, the same for each token
quota, the time that the provider needs to serve all calls with as many at once as are allowed, and
the longest single call. The last call admitted by a quota still has to be served, for at least the
shortest latency.

Source: a token bucket with capacity B and rate r admits at most B + r * t by time t; a window of length
w with quota q admits q in each; work conservation for the latencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

__all__ = ["Bound", "Change", "Demand", "Quota", "Supply", "lower_bound", "useful_concurrency"]


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit. Bucket: `burst` at once, then `per_min`. Windows (`window_s` set): `per_min` * window_s / 60 in each.

    `phase_s`: how much of the first window has passed when the run begins.
    """

    unit: str
    per_min: float
    burst: float = 0.0
    window_s: float | None = None
    phase_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """From `at_s` until `until_s` every rate is multiplied by `factor`; 0 is an outage."""

    at_s: float
    until_s: float
    factor: float


@dataclass(frozen=True, slots=True)
class Supply:
    """What the world allows: quotas, calls at once, and how both change with time."""

    quotas: tuple[Quota, ...]
    concurrency: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a run needs: units by quota (`requests`, `tokens`, ...), and the latencies of its calls, in s."""

    units: dict[str, float]
    busy_s: float
    shortest_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Bound:
    """`seconds` that the run takes at least, and what binds it."""

    seconds: float
    binds: str


def lower_bound(demand: Demand, supply: Supply) -> Bound:
    """The largest of the single bounds; 0 s where nothing has to be asked."""
    if demand.units.get("requests", 0) <= 0:
        return Bound(0.0, "nothing to ask")
    bounds = [Bound(demand.longest_s, "longest call"), Bound(_time_to_serve(demand, supply), "concurrency")]
    for quota in supply.quotas:
        admitted_s = _time_to_admit(demand.units.get(quota.unit, 0.0), quota, supply.changes)
        bounds.append(Bound(admitted_s + demand.shortest_s, quota.unit.replace("_", " ")))
    return max(bounds, key=lambda bound: bound.seconds)


def useful_concurrency(latency_s: float, units_per_call: dict[str, float], quotas: Sequence[Quota]) -> float:
    """C* = L * min over quotas of calls a second (Little's law): more calls at once only queue or are refused."""
    per_s = (quota.per_min / 60 / units for quota in quotas if (units := units_per_call.get(quota.unit)))
    return latency_s * min(per_s, default=math.inf)


def _time_to_serve(demand: Demand, supply: Supply) -> float:
    """All slots busy from the start on; what an outage finds in progress goes on, for `longest_s` at most."""
    pauses = [
        replace(change, at_s=min(change.at_s + demand.longest_s, change.until_s))
        for change in supply.changes
        if change.factor == 0
    ]
    return _time_to_supply(demand.busy_s, supply.concurrency, 0.0, pauses)


def _time_to_admit(units: float, quota: Quota, changes: Sequence[Change]) -> float:
    if quota.window_s is None:
        return _time_to_supply(units, quota.per_min / 60, quota.burst, changes)
    # Every window counts as one at the best of times: what outages and lower limits cost is left out.
    best = max(1.0, *(_factor(changes, at_s) for at_s in _instants(changes)))
    per_window = quota.per_min * quota.window_s / 60 * best
    return max(0.0, (math.ceil(units / per_window - 1e-9) - 1) * quota.window_s - quota.phase_s)


def _time_to_supply(need: float, per_s: float, burst: float, changes: Sequence[Change]) -> float:
    """When a bucket that is emptied as it fills has given `need`; in an outage it only fills. inf: never."""
    if need <= 0 or math.isinf(per_s):
        return 0.0
    level = burst * max(1.0, _factor(changes, 0.0))
    for from_s, until_s in pairwise([*_instants(changes), math.inf]):
        factor = _factor(changes, from_s)
        gained = per_s * factor * (until_s - from_s)
        if any(change.factor == 0 and change.at_s <= from_s < change.until_s for change in changes):
            level = min(max(level, burst * max(1.0, factor)), level + gained)
        elif need <= level + gained:
            return from_s + max(0.0, need - level) / (per_s * factor)
        else:
            need, level = need - level - gained, 0.0
    return math.inf


def _instants(changes: Sequence[Change]) -> list[float]:
    """When anything changes, from 0 on."""
    return sorted({0.0, *(instant for change in changes for instant in (change.at_s, change.until_s))} - {math.inf})


def _factor(changes: Sequence[Change], at_s: float) -> float:
    """What rates are multiplied by, outages aside."""
    return math.prod(change.factor for change in changes if change.factor and change.at_s <= at_s < change.until_s)
