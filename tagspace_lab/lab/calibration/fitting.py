"""Fits one limit of one shape to what was let in, refused and stated.

Every statement that the limit contradicts costs one: a call let in that needed more than the quota, a refused one that
needed less, a header that says another remainder. What costs least is taken, and of a range that costs the same the
roundest rate.
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
_JITTER = 0.1
"""Of a request: calls arrive a little later than they are sent."""
_LOW, _HIGH = 0.25, 40.0
"""Rates that are tried, as multiples of the mean rate of what was let in."""
_MORE_THAN_STATED = 0.03
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
        costs = _costs(decisions, watch, shape, own, others, stated, grid)
        low, high = _flat_range(costs)
        grid = np.geomspace(grid[max(0, low - 1)], grid[min(len(grid) - 1, high + 1)], _COLUMNS)
    watch = read_meter(decisions, usage, shape, grid)
    costs = _costs(decisions, watch, shape, own, others, stated, grid)
    low, high = _flat_range(costs)
    bounds = (float(grid[low]), float(grid[high]))
    chosen = roundest(bounds[0] * 60, bounds[1] * 60) / 60
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
    quota, (least, most) = _quota(decisions, need, watch.shown[:, 0], own, others, stated)
    cost = float(_costs(decisions, watch, shape, own, others, stated, per_s, free=False)[0])
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
        explained=(own | others) & (need > quota + 1e-6),
        waits_s=np.maximum(waits_s, 0.0),
        is_quota_seen=bool((own | others).any()) or _tells_quota(stated),
        is_stated=stated is not None and bool(np.isfinite(stated.limit)) and shape.kind == "bucket" and bounds is None,
    )


def _costs(
    decisions: Decisions,
    watch: Watch,
    shape: Shape,
    own: Mask,
    others: Mask,
    stated: Stated | None,
    per_s: Floats,
    *,
    free: bool = True,
) -> Floats:
    """Of every column. `free`: refusals that need not be this limit's count too, if it does not explain them."""
    costs = np.zeros(watch.need.shape[1])
    admitted = ~decisions.is_refused
    for column in range(len(costs)):
        need, shown = watch.need[:, column], watch.shown[:, column]
        quota, _ = _quota(decisions, need, shown, own, others, stated)
        costs[column] = (need[admitted] > quota + 1e-6).sum() + (need[own] <= quota + 1e-6).sum()
        if free:
            costs[column] += (need[others] <= quota + 1e-6).sum()
        if stated is not None:
            costs[column] += _contradictions(stated, shown, watch.reset_s[:, column], quota)
            if shape.kind != "bucket":
                costs[column] += _misses_limit(stated, shape, quota)
    return costs


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


def _quota(
    decisions: Decisions, need: Floats, shown: Floats, own: Mask, others: Mask, stated: Stated | None
) -> tuple[float, tuple[float, float]]:
    """The quota that contradicts least, and the range of those that contradict as little."""
    if stated is not None and _tells_quota(stated):
        least, most, likeliest = _stated_range((stated.remaining + shown)[stated.remaining > 0], stated.grain)
        return _rounded(least, most, likeliest), (least, most)
    if stated is not None and np.isfinite(stated.limit) and not (own | others).any():
        whole = max(stated.limit, float(need[~decisions.is_refused].max(initial=0.0)))
        return whole, (whole, whole)
    let_in = np.sort(need[~decisions.is_refused])
    turned = np.sort(need[own | others])
    candidates = np.unique(np.concatenate([let_in, turned, [0.0]]))
    wrong = len(let_in) - np.searchsorted(let_in, candidates + 1e-9, "right")
    wrong = wrong + np.searchsorted(turned, candidates + 1e-9, "right")
    place = int(np.argmin(wrong))
    last = place
    while last + 1 < len(candidates) and wrong[last + 1] == wrong[place]:
        last += 1
    least = float(candidates[place])
    most = float(candidates[last + 1]) if last + 1 < len(candidates) else 2 * least
    return _rounded(least - _JITTER, most - 1e-6 * max(1.0, most) + _JITTER), (least, most)


def _tells_quota(stated: Stated | None) -> bool:
    return stated is not None and int((stated.remaining > 0).sum()) >= _FEWEST_REMAINDERS


def _stated_range(whole: Floats, grain: float) -> tuple[float, float, float]:
    """The quota by what is left and what was taken: whole numbers are rounded down, thousands to the nearest."""
    if grain > 1:
        middle = float(np.median(whole))
        return middle - grain / 4, middle + grain / 4, middle
    least, most = float(np.quantile(whole, 0.95)) - 0.01, float(np.quantile(whole, 0.05)) + 1.0
    return least, max(least + 0.02, most), least + 0.01


def _rounded(low: float, high: float, middle: float | None = None) -> float:
    return roundest(max(low, 1e-9), max(high, 1e-9), middle=middle)


def _flat_range(costs: Floats) -> tuple[int, int]:
    """First and last column of the widest run of columns that cost least."""
    best = costs <= costs.min() + 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], best.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    widest = int(np.argmax(ends - starts))
    return int(starts[widest]), int(ends[widest]) - 1
