"""Fits one limit of one shape to what was let in, refused and stated.

Every statement that the limit contradicts costs one: a call let in that needed more than the quota, a refused one that
needed less, a header that says another remainder. Calls arrive a little later than they are sent, some later than
others, so that a decision costs less than one if it would be none a few milliseconds earlier or later. What costs least
is taken, and of a range that costs the same the roundest rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagspace_lab.lab.calibration.decisions import Decisions, Floats
from tagspace_lab.lab.calibration.findings import roundest
from tagspace_lab.lab.calibration.meters import Shape, Usage, Watch, read_meter

__all__ = ["LimitFit", "Stated", "fit_cap", "fit_limit"]

Mask = NDArray[np.bool_]

_COLUMNS, _ZOOMS = 180, 3
_FEWEST_REMAINDERS = 3
_JITTER_S = 0.01
"""By which a call may arrive later or earlier than its neighbours do; a decision that takes more is a whole miss."""
_SLACK = 1e-6
_PLACE = 0.25
"""Where a rate is looked for between the bounds that decisions leave it: 0 is the lower one."""
_DOUBT = 0.5
"""Costs this near to the least are as good."""
_LOW, _HIGH = 0.25, 40.0
"""Rates that are tried, as multiples of the mean rate of what was let in."""
_MORE_THAN_STATED = 0.1
"""A stated rate is believed unless another one explains this share of all statements more."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What headers say of one unit, nan where they do not: `limit` of it, and for every call what was left, and reset.

    `grain` is what remainders are rounded to, `reset_grain_s` what resets are.
    """

    limit: float
    remaining: Floats
    reset_s: Floats
    grain: float = 1.0
    reset_grain_s: float = 0.1


@dataclass(frozen=True, slots=True)
class LimitFit:
    """One limit. `quota` is a bucket's burst, or what a window holds. `explained`: the refusals that it accounts for.

    `cost` counts the statements against it, refusals that it does not explain apart. `waits_s`: how long each refused
    call would have had to wait.
    """

    unit: str
    shape: Shape
    usage: Usage
    per_min: float
    per_min_range: tuple[float, float]
    quota: float
    quota_range: tuple[float, float]
    cost: float
    explained: Mask
    waits_s: Floats
    is_stated: bool = False
    is_quota_seen: bool = True


def fit_limit(
    decisions: Decisions, unit: str, usage: Usage, shape: Shape, own: Mask, others: Mask, stated: Stated | None
) -> LimitFit | None:
    """The limit that explains most. `own` refusals must be this limit's, `others` may be. None if nothing tells.

    Refusals that are in neither are another limit's: they are no evidence.
    """
    if not (own | others).any() and stated is None:
        return None
    if shape.kind != "bucket":
        return _fit_column(decisions, unit, usage, shape, own, others, stated, np.ones(1))
    grid = _first_grid(decisions, usage, stated)
    for _ in range(_ZOOMS):
        watch = read_meter(decisions, usage, shape, grid)
        costs = _costs(decisions, usage, watch, shape, own | others, stated, grid)
        low, high = _flat_range(costs)
        grid = np.geomspace(grid[max(0, low - 1)], grid[min(len(grid) - 1, high + 1)], _COLUMNS)
    watch = read_meter(decisions, usage, shape, grid)
    costs = _costs(decisions, usage, watch, shape, own | others, stated, grid)
    low, high = _flat_range(costs)
    bounds = (float(grid[low]), float(grid[high]))
    # A client that keeps just below the limit bounds it closely from below, and by a few refusals from above.
    likeliest = bounds[0] ** (1 - _PLACE) * bounds[1] ** _PLACE
    chosen = roundest(bounds[0] * 60, bounds[1] * 60, middle=likeliest * 60) / 60
    fit = _fit_column(decisions, unit, usage, shape, own, others, stated, np.array([chosen]), bounds)
    if stated is None or not np.isfinite(stated.limit):
        return fit
    told = _fit_column(decisions, unit, usage, shape, own, others, stated, np.array([stated.limit / 60]))
    statements = len(decisions) + int(np.isfinite(stated.remaining).sum())
    return told if told.cost <= fit.cost + max(2.0, _MORE_THAN_STATED * statements) else fit


def fit_cap(decisions: Decisions, own: Mask, others: Mask) -> LimitFit | None:
    """The cap of calls at once that explains most."""
    need = decisions.others + 1
    admitted = ~decisions.is_refused
    if not (own | others).any() or not admitted.any():
        return None
    quotas = np.unique(need[admitted])
    costs = [
        (need[admitted] > quota).sum() + (need[own] <= quota).sum() + (need[others] <= quota).sum() for quota in quotas
    ]
    quota = float(quotas[int(np.argmin(costs))])
    explained = (own | others) & (need > quota)
    cost = float((need[admitted] > quota).sum() + (need[own] <= quota).sum())
    lowest = float(need[explained].min()) - 1 if explained.any() else quota
    return LimitFit(
        unit="concurrency",
        shape=Shape("cap"),
        usage=Usage(np.ones(len(need)), np.zeros(len(need))),
        per_min=quota,
        per_min_range=(quota, max(quota, lowest)),
        quota=quota,
        quota_range=(quota, max(quota, lowest)),
        cost=cost,
        explained=explained,
        waits_s=np.full(len(need), np.nan),
    )


def _first_grid(decisions: Decisions, usage: Usage, stated: Stated | None) -> Floats:
    admitted = ~decisions.is_refused
    span_s = sum(
        max(1e-3, float(np.ptp(decisions.at_s[admitted & (decisions.world == world)])))
        for world in np.unique(decisions.world[admitted])
    )
    mean = float((usage.amount + usage.later)[admitted].sum()) / max(span_s, 1e-3)
    low, high = mean * _LOW, mean * _HIGH
    if stated is not None and np.isfinite(stated.limit):
        low, high = min(low, stated.limit / 120), max(high, stated.limit / 30)
    return np.geomspace(max(low, 1e-9), max(high, 1e-6, 2 * low), _COLUMNS)


def _fit_column(
    decisions: Decisions,
    unit: str,
    usage: Usage,
    shape: Shape,
    own: Mask,
    others: Mask,
    stated: Stated | None,
    per_s: Floats,
    bounds: tuple[float, float] | None = None,
) -> LimitFit:
    watch = read_meter(decisions, usage, shape, per_s)
    need = watch.need[:, 0]
    column = _Column.read(decisions, usage, watch, 0, shape, own | others, stated, per_s)
    _, least, most, likeliest = column.quota()
    quota = roundest(max(least, 1e-9), max(most, 1e-9), middle=likeliest)
    explained = (own | others) & (need > quota - column.room + _SLACK)
    cost = _Column.read(decisions, usage, watch, 0, shape, own | explained, stated, per_s).cost(quota)
    if shape.kind == "bucket":
        rate = float(per_s[0])
        low, high = bounds or (rate, rate)
        waits_s = (need - quota) / rate
    else:
        rate, low, high = (value / shape.window_s for value in (quota, least, most))
        waits_s = watch.reset_s[:, 0] + decisions.ended_s - decisions.at_s
    return LimitFit(
        unit,
        shape,
        usage,
        per_min=rate * 60,
        per_min_range=(low * 60, high * 60),
        quota=quota,
        quota_range=(least, most),
        cost=cost,
        explained=explained,
        waits_s=np.maximum(waits_s, 0.0),
        is_quota_seen=bool((own | others).any()) or _tells_quota(stated),
        is_stated=stated is not None and bool(np.isfinite(stated.limit)) and shape.kind == "bucket" and bounds is None,
    )


def _costs(
    decisions: Decisions, usage: Usage, watch: Watch, shape: Shape, turned: Mask, stated: Stated | None, per_s: Floats
) -> Floats:
    """Of every column, at its best quota."""
    columns = (
        _Column.read(decisions, usage, watch, place, shape, turned, stated, per_s)
        for place in range(watch.need.shape[1])
    )
    return np.array([column.cost(column.quota()[0]) for column in columns])


@dataclass(frozen=True, slots=True)
class _Column:
    """One meter: what the calls needed that were let in and turned away, sorted, and what headers could have shown.

    `room` is what a bucket gains while a call may be on its way; a window gains nothing before it ends.
    """

    let_in: Floats
    turned: Floats
    shown: Floats
    reset_s: Floats
    room: float
    shape: Shape
    stated: Stated | None

    @classmethod
    def read(
        cls,
        decisions: Decisions,
        usage: Usage,
        watch: Watch,
        place: int,
        shape: Shape,
        turned: Mask,
        stated: Stated | None,
        per_s: Floats,
    ) -> _Column:
        need, shown = watch.need[:, place], watch.shown[:, place]
        room = float(per_s[place]) * _JITTER_S if shape.kind == "bucket" else 0.0
        # A bucket that is full will not be fuller a moment later.
        is_full = need <= usage.amount / decisions.scale + _SLACK
        refused = (need - 2 * _SLACK - np.where(is_full, room, 0.0))[turned]
        return cls(
            np.sort(need[~decisions.is_refused]), np.sort(refused), shown, watch.reset_s[:, place], room, shape, stated
        )

    def quota(self) -> tuple[float, float, float, float | None]:
        """The quota that contradicts least, the range of those that contradict as little, and the likeliest of these.

        Remainders tell it, unless they contradict each other and refusals can tell it, too. Then none is likeliest.
        """
        stated = self.stated
        if stated is not None and _tells_quota(stated):
            least, most, likeliest = _stated_range((stated.remaining + self.shown)[stated.remaining > 0], stated.grain)
            if least < most or not len(self.turned):
                return likeliest, least, max(least + 0.02, most), likeliest
        highest = float(self.let_in[-1]) if len(self.let_in) else 0.0
        if stated is not None and np.isfinite(stated.limit) and not len(self.turned):
            whole = max(stated.limit, highest)
            return whole, whole, whole, None
        candidates = np.unique(np.concatenate([self.let_in, self.turned, [0.0]]))
        misses = self.misses(candidates)
        first = last = int(np.argmin(misses))
        while last + 1 < len(candidates) and misses[last + 1] <= misses[first] + _DOUBT:
            last += 1
        least, most = float(candidates[first]), float(candidates[last])
        if most >= highest and not (self.turned >= most).any():
            most = 2 * most
        return least, least - self.room / 2, most + self.room / 2, None

    def misses(self, quotas: Floats) -> Floats:
        """How many decisions each quota contradicts: those that it does by less than `room` count in part."""
        return _beyond(self.let_in, quotas, self.room) + _beyond(-self.turned[::-1], -quotas, self.room)

    def cost(self, quota: float) -> float:
        cost = float(self.misses(np.array([quota]))[0])
        if self.stated is not None:
            cost += _contradictions(self.stated, self.shown, self.reset_s, quota)
            if self.shape.kind != "bucket":
                cost += _misses_limit(self.stated, self.shape, quota)
        return cost


def _beyond(values: Floats, bars: Floats, room: float) -> Floats:
    """How many of the sorted `values` are above each bar: those that are by less than `room` count in part."""
    first = np.searchsorted(values, bars + _SLACK, "right")
    whole = np.searchsorted(values, bars + _SLACK + room, "right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    part = (sums[whole] - sums[first] - bars * (whole - first)) / max(room, _SLACK)
    above: Floats = len(values) - whole + part
    return above


def _misses_limit(stated: Stated, shape: Shape, quota: float) -> float:
    """A window's quota is what the limit allows in it, or the limit itself: if it is neither, all headers are wrong."""
    if not np.isfinite(stated.limit):
        return 0.0
    wanted = (stated.limit * shape.window_s / 60, stated.limit)
    is_near = any(each >= 1 and abs(quota - each) <= 0.5 + 0.02 * each for each in wanted)
    return 0.0 if is_near else float(len(stated.remaining))


def _contradictions(stated: Stated, shown: Floats, reset_s: Floats, quota: float) -> float:
    """How many headers say something else."""
    left = stated.remaining + shown - quota
    wrong = (np.abs(left[stated.remaining > 0]) > 1.5 * stated.grain).sum()
    late = stated.reset_s - reset_s
    late = late[np.isfinite(late) & (stated.reset_s > 0)]
    if len(late):
        wrong += (np.abs(late - np.median(late)) > stated.reset_grain_s).sum()
    return float(wrong)


def _tells_quota(stated: Stated | None) -> bool:
    return stated is not None and int((stated.remaining > 0).sum()) >= _FEWEST_REMAINDERS


def _stated_range(whole: Floats, grain: float) -> tuple[float, float, float]:
    """The quota by what is left and what was taken: whole numbers are rounded down, thousands to the nearest."""
    if grain > 1:
        middle = float(np.median(whole))
        return middle - grain / 4, middle + grain / 4, middle
    least, most = float(np.quantile(whole, 0.95)) - 0.01, float(np.quantile(whole, 0.05)) + 1.0
    return least, most, least + 0.01


def _flat_range(costs: Floats) -> tuple[int, int]:
    """First and last column of the widest run of columns that cost least."""
    best = costs <= costs.min() + _DOUBT
    edges = np.flatnonzero(np.diff(np.concatenate([[0], best.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    widest = int(np.argmax(ends - starts))
    return int(starts[widest]), int(ends[widest]) - 1
