"""One limit of one kind: token bucket, fixed window or sliding window, with the exact time of the next admission.

No clock here: time arrives as `now_s`, in seconds since the start of the run, and never goes back. All
arithmetic forgives a microsecond, because a caller who comes back exactly when told may find that
adding the wait to the time rounded it down.
"""

from __future__ import annotations

from collections import deque
from math import floor, inf
from typing import Protocol

from tagspace_lab.twin.supply import Piece, Supply

__all__ = ["Bucket", "FixedWindow", "Meter", "SlidingWindow"]

_SLACK = 1e-6
"""Seconds, and units of what is counted."""
_HORIZON = 10_000
"""So many changes are looked at before an admission counts as never."""


class Meter(Protocol):
    """A limit on something that is counted: requests or tokens."""

    def remaining(self, now_s: float) -> float:
        """What is left now; negative when a settled call took more than there was."""
        ...

    def reset_s(self, now_s: float) -> float:
        """Seconds until all of the limit is there again, if nothing is taken."""
        ...

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` would be admitted, if nothing else is taken: 0 for now, inf for never."""
        ...

    def take(self, amount: float, now_s: float) -> None:
        """Take `amount`, whether it is there or not."""
        ...

    def punish(self, now_s: float) -> None:
        """Take 1 for a call that was refused, even if nothing is left; a bucket owes no more than it holds."""
        ...


class Bucket:
    """A token bucket: fills at `rate_per_s` up to `capacity`, and is full at the start."""

    def __init__(self, rate_per_s: float, capacity: float, supply: Supply) -> None:
        self._rate_per_s, self._capacity, self._supply = rate_per_s, capacity, supply
        self._at_s = 0.0
        self._level = self.capacity(0.0)

    def capacity(self, now_s: float) -> float:
        """How much it can hold: one request at least, however far the limit has fallen."""
        return self._scaled(self._supply.piece(now_s))

    def remaining(self, now_s: float) -> float:
        self._refill(now_s)
        return self._level

    def reset_s(self, now_s: float) -> float:
        return self.wait_s(self.capacity(now_s), now_s)

    def wait_s(self, amount: float, now_s: float) -> float:
        self._refill(now_s)
        level, at_s = self._level, now_s
        for _ in range(_HORIZON):
            piece = self._supply.piece(at_s)
            capacity, rate_per_s = self._scaled(piece), self._rate_per_s * piece.share
            level = min(level, capacity)
            missing = amount - level - rate_per_s * _SLACK
            if missing <= 0:
                return at_s - now_s
            fills_s = at_s + (amount - level) / rate_per_s
            if amount <= capacity and fills_s <= piece.end_s:
                return fills_s - now_s
            if piece.end_s == inf:
                return inf
            level, at_s = level + rate_per_s * (piece.end_s - at_s), piece.end_s
        return inf

    def take(self, amount: float, now_s: float) -> None:
        self._refill(now_s)
        self._level -= amount

    def punish(self, now_s: float) -> None:
        self._refill(now_s)
        self._level = max(self._level - 1.0, min(self._level, -self.capacity(now_s)))

    def _scaled(self, piece: Piece) -> float:
        return max(1.0, self._capacity * piece.scale)

    def _refill(self, now_s: float) -> None:
        while self._at_s < now_s:
            piece = self._supply.piece(self._at_s)
            end_s = min(now_s, piece.end_s)
            gained = self._rate_per_s * piece.share * (end_s - self._at_s)
            self._level, self._at_s = min(self._scaled(piece), self._level + gained), end_s


class FixedWindow:
    """A quota that is whole again when the next window begins.

    `phase_s` aligns windows with an outside clock: they begin whenever now_s + phase_s is a multiple of
    `window_s`. With `phase_s` None a window begins with the first request after the last one ended.
    """

    def __init__(self, quota: float, window_s: float, supply: Supply, *, phase_s: float | None = 0.0) -> None:
        self._quota, self._window_s, self._supply, self._phase_s = quota, window_s, supply, phase_s
        self._end_s = -inf
        self._used = 0.0

    def remaining(self, now_s: float) -> float:
        self._turn(now_s)
        return self._quota * self._supply.piece(now_s).share - self._used

    def reset_s(self, now_s: float) -> float:
        self._turn(now_s)
        return max(0.0, self._end_s - now_s) if self._used else 0.0

    def wait_s(self, amount: float, now_s: float) -> float:
        self._turn(now_s)
        at_s, used, end_s = now_s, self._used, self._end_s
        for _ in range(_HORIZON):
            piece = self._supply.piece(at_s)
            if used + amount <= self._quota * piece.share + _SLACK:
                return at_s - now_s
            if used == 0.0 and piece.end_s == inf:
                return inf
            at_s = min(piece.end_s, end_s) if end_s > at_s else piece.end_s
            used = used if at_s < end_s else 0.0
        return inf

    def take(self, amount: float, now_s: float) -> None:
        self._turn(now_s)
        if self._phase_s is None and self._end_s == -inf:
            self._end_s = now_s + self._window_s
        self._used += amount

    def punish(self, now_s: float) -> None:
        self.take(1.0, now_s)

    def _turn(self, now_s: float) -> None:
        """Begin a new window if the last one has ended."""
        if now_s + _SLACK < self._end_s:
            return
        self._used, self._end_s = 0.0, -inf
        if self._phase_s is not None:
            number = floor((now_s + self._phase_s + _SLACK) / self._window_s)
            self._end_s = (number + 1) * self._window_s - self._phase_s


class SlidingWindow:
    """A quota over the last `window_s` seconds; memory grows with what was taken within them."""

    def __init__(self, quota: float, window_s: float, supply: Supply) -> None:
        self._quota, self._window_s, self._supply = quota, window_s, supply
        self._taken: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def remaining(self, now_s: float) -> float:
        self._expire(now_s)
        return self._quota * self._supply.piece(now_s).share - self._used

    def reset_s(self, now_s: float) -> float:
        self._expire(now_s)
        return self._taken[-1][0] + self._window_s - now_s if self._taken else 0.0

    def wait_s(self, amount: float, now_s: float) -> float:
        self._expire(now_s)
        at_s, used, ahead = now_s, self._used, iter(self._taken)
        taken_s, freed = next(ahead, (inf, 0.0))
        for _ in range(_HORIZON + len(self._taken)):
            piece = self._supply.piece(at_s)
            if used + amount <= self._quota * piece.share + _SLACK:
                return at_s - now_s
            at_s = min(taken_s + self._window_s, piece.end_s)
            if at_s == inf:
                return inf
            if taken_s + self._window_s <= at_s:
                used -= freed
                taken_s, freed = next(ahead, (inf, 0.0))
        return inf

    def take(self, amount: float, now_s: float) -> None:
        self._expire(now_s)
        self._taken.append((now_s, amount))
        self._used += amount

    def punish(self, now_s: float) -> None:
        self.take(1.0, now_s)

    def _expire(self, now_s: float) -> None:
        while self._taken and self._taken[0][0] + self._window_s <= now_s + _SLACK:
            self._used -= self._taken.popleft()[1]
        if not self._taken:
            self._used = 0.0
