"""The two types that every limiter and the throttle share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tagspace_lab.records import Cost, Reply

__all__ = ["Limiter", "Start"]


@dataclass(frozen=True, slots=True)
class Start:
    """One admitted call: its start, what was reserved for it, and the calls then in flight, itself included."""

    at_s: float
    cost: Cost
    in_flight: int


class Limiter(Protocol):
    """Learns from every call's end, and says when the next call may start."""

    @property
    def window(self) -> float:
        """Calls that may be in flight at once."""

    @property
    def cooling_until_s(self) -> float:
        """No call starts before this instant, because the provider refused or said so; 0.0 if it never did."""

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        """The earliest time for a call of `cost` while `in_flight` others run; inf: not before one of them ends."""

    def on_start(self, start: Start) -> None:
        """A call starts."""

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        """A call ended with `reply`."""

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        """How long a call that was refused `refusals` times stays away; None: give this provider up."""
