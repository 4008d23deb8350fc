"""How much a call needs of a limit, for every limit that there may be.

A limit is a *meter* and a *quota*: a call is let in if what the meter shows together with the call is no more than the
quota. What a meter shows follows from the calls that were let in, whatever the quota is: of a bucket it is how far
it is below full (so the quota is its burst), of a window what was taken within it. One structure is tried with many
rates at once: arrays have a column for each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import floor, inf

import numpy as np

from tagspace_lab.lab.calibration.decisions import Decisions, Floats

__all__ = ["Shape", "Usage", "Watch", "read_meter"]

_SETTLE, _OBSERVE, _ADMIT, _REFUSE = range(4)
"""What happens, in the order in which it does where it happens at once."""
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Shape:
    """How a limit is enforced: `bucket`, `fixed` or `sliding`; `window_s` of a window. `is_aligned`: with the clock."""

    kind: str
    window_s: float = 60.0
    is_aligned: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls take of one unit: `amount` on arrival, `later` when they end, and `fine` when they are refused."""

    amount: Floats
    later: Floats
    fine: float = 0.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What a meter showed, calls x rates: `need` at each arrival, with the call; `shown` at each end, and `reset_s`."""

    need: Floats
    shown: Floats
    reset_s: Floats


def read_meter(decisions: Decisions, usage: Usage, shape: Shape, per_s: Floats) -> Watch:
    """Let the recorded calls pass the meter; `per_s` are a bucket's rates, and a window has one column only.

    Where limits have changed, calls are counted as larger or smaller instead: a meter that is full or empty stays so.
    """
    count, columns = len(decisions), len(per_s) if shape.kind == "bucket" else 1
    need, shown, reset_s = (np.zeros((count, columns)) for _ in range(3))
    scale = decisions.scale
    meters: dict[int, _Bucket | _Fixed | _Sliding] = {}
    for world, at_s, what, index in _events(decisions):
        if world not in meters:
            meters[world] = _make(shape, per_s, decisions.began_wall_s[world])
        meter = meters[world]
        meter.turn(at_s)
        if what == _SETTLE:
            meter.take(at_s, float(usage.later[index] / scale[index]))
        elif what == _OBSERVE:
            shown[index], reset_s[index] = meter.shown, meter.reset_s(at_s)
        else:
            amount = float(usage.amount[index] / scale[index])
            need[index] = meter.shown + amount
            meter.take(at_s, amount if what == _ADMIT else usage.fine / float(scale[index]))
    return Watch(need, shown, reset_s)


def _events(decisions: Decisions) -> list[tuple[int, float, int, int]]:
    """(world, time, what, call), in order."""
    events = []
    rows = zip(decisions.world, decisions.at_s, decisions.ended_s, decisions.is_refused, strict=True)
    for index, (world, at_s, ended_s, is_refused) in enumerate(rows):
        events.append((int(world), float(at_s), _REFUSE if is_refused else _ADMIT, index))
        if not is_refused:
            events.append((int(world), float(ended_s), _SETTLE, index))
        events.append((int(world), float(ended_s), _OBSERVE, index))
    return sorted(events)


def _make(shape: Shape, per_s: Floats, began_wall_s: float) -> _Bucket | _Fixed | _Sliding:
    if shape.kind == "bucket":
        return _Bucket(per_s)
    if shape.kind == "sliding":
        return _Sliding(shape.window_s)
    return _Fixed(shape.window_s, began_wall_s if shape.is_aligned else None)


class _Bucket:
    """Shows what is missing to a full bucket, for many rates."""

    def __init__(self, per_s: Floats) -> None:
        self._per_s, self._at_s = per_s, 0.0
        self.shown = np.zeros(len(per_s))

    def turn(self, at_s: float) -> None:
        if at_s > self._at_s:
            self.shown = np.maximum(self.shown - self._per_s * (at_s - self._at_s), 0.0)
            self._at_s = at_s

    def take(self, at_s: float, amount: float) -> None:
        if amount:
            self.shown = self.shown + amount

    def reset_s(self, at_s: float) -> Floats:
        waits: Floats = self.shown / self._per_s
        return waits


class _Fixed:
    """Shows what was taken in this window, which begins with the clock's or with its first call."""

    def __init__(self, window_s: float, began_wall_s: float | None) -> None:
        self._window_s, self._phase_s = window_s, None if began_wall_s is None else began_wall_s % window_s
        self._end_s = -inf
        self.shown = 0.0

    def turn(self, at_s: float) -> None:
        if at_s + _SLACK < self._end_s:
            return
        self.shown, self._end_s = 0.0, -inf
        if self._phase_s is not None:
            number = floor((at_s + self._phase_s + _SLACK) / self._window_s)
            self._end_s = (number + 1) * self._window_s - self._phase_s

    def take(self, at_s: float, amount: float) -> None:
        if amount and self._end_s == -inf:
            self._end_s = at_s + self._window_s
        self.shown += amount

    def reset_s(self, at_s: float) -> float:
        return max(0.0, self._end_s - at_s) if self.shown else 0.0


class _Sliding:
    """Shows what was taken within the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._taken: deque[tuple[float, float]] = deque()
        self.shown = 0.0

    def turn(self, at_s: float) -> None:
        while self._taken and self._taken[0][0] + self._window_s <= at_s + _SLACK:
            self.shown -= self._taken.popleft()[1]
        if not self._taken:
            self.shown = 0.0

    def take(self, at_s: float, amount: float) -> None:
        if amount:
            self._taken.append((at_s, amount))
            self.shown += amount

    def reset_s(self, at_s: float) -> float:
        return self._taken[-1][0] + self._window_s - at_s if self._taken else 0.0
