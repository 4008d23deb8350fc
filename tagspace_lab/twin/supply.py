"""How much of its stated limits a provider has to give, and when that changes: limit steps, other tenants, outages.

No clock here: time arrives as `now_s`, in seconds since the start of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf, prod

from tagspace_lab.twin.noise import uniform
from tagspace_lab.twin.schema import Event, LimitStep, Outage, Tenants

__all__ = ["SLOT_S", "Piece", "Supply"]

SLOT_S = 10.0
"""Other tenants' appetite, and the server's weather, stay the same for so long."""

_MOST_TAKEN = 0.98


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time [start_s, end_s) in which nothing changes.

    `scale` multiplies the stated limits; `left` is the share of them that other tenants leave.
    """

    start_s: float
    end_s: float
    scale: float = 1.0
    left: float = 1.0

    @property
    def share(self) -> float:
        return self.scale * self.left


class Supply:
    """The events of a provider as a function of time, piecewise constant."""

    def __init__(self, events: Sequence[Event] = (), *, seed: int = 0, name: str = "provider") -> None:
        self._steps = [event for event in events if isinstance(event, LimitStep)]
        self._tenants = [event for event in events if isinstance(event, Tenants)]
        self._outages = [event for event in events if isinstance(event, Outage)]
        self._edges_s = sorted({edge for event in self._steps + self._tenants for edge in _span(event)} - {inf})
        self._key = (seed, name, "tenants")
        self._piece = self._make_piece(0.0)

    def piece(self, now_s: float) -> Piece:
        """The piece that `now_s` (0 or later) lies in."""
        if not self._piece.start_s <= now_s < self._piece.end_s:
            self._piece = self._make_piece(now_s)
        return self._piece

    def outage(self, now_s: float) -> Outage | None:
        """The outage that is on, if any."""
        return next((event for event in self._outages if _is_on(event, now_s)), None)

    def _make_piece(self, now_s: float) -> Piece:
        edges_s = self._edges_s
        if any(_is_on(event, now_s) for event in self._tenants):
            slot = floor(now_s / SLOT_S)
            edges_s = [*edges_s, slot * SLOT_S, (slot + 1) * SLOT_S]
        return Piece(
            start_s=max((edge for edge in edges_s if edge <= now_s), default=0.0),
            end_s=min((edge for edge in edges_s if edge > now_s), default=inf),
            scale=prod(event.factor for event in self._steps if _is_on(event, now_s)),
            left=1.0 - self._taken(now_s),
        )

    def _taken(self, now_s: float) -> float:
        """The share that others take: uniform between 0 and twice the stated share, new in every slot."""
        shares = [
            2.0 * event.share * uniform(*self._key, number, floor(now_s / SLOT_S))
            for number, event in enumerate(self._tenants)
            if _is_on(event, now_s)
        ]
        return min(_MOST_TAKEN, sum(shares))


def _span(event: Event) -> tuple[float, float]:
    return event.at_s, inf if event.until_s is None else event.until_s


def _is_on(event: Event, now_s: float) -> bool:
    start_s, end_s = _span(event)
    return start_s <= now_s < end_s
