"""The two types that every limiter and the throttle share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from tagspace_lab.records import Cost, Rates, Reply

__all__ = ["Limiter", "Start"]


@dataclass(frozen=True, slots=True)
class Start:
    """One admitted call: its start, what was reserved for it, and the calls then in flight, itself included."""

    at_s: float
    cost: Cost
    in_flight: int


class Limiter(Protocol):
    """Learns from every call's end, and says when the next call may start.

    What is written out here suits a limiter that knows a window and nothing else; inherit it.
    """

    @property
    def window(self) -> float:
        """Calls that may be in flight at once."""

    @property
    def pace_per_s(self) -> float:
        """Calls like the last one that may start in a second; inf: the window alone holds them back."""
        return math.inf

    @property
    def cooling_until_s(self) -> float:
        """No call starts before this instant, because the provider refused or said so; 0.0 if it never did."""
        return 0.0

    @property
    def rates(self) -> Rates:
        """What was learned of the provider's limits, for the next run to start with."""
        return Rates()

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        """The earliest time for a call of `cost` while `in_flight` others run; inf: not before one of them ends."""
        return now_s if in_flight < max(1, int(self.window)) else math.inf

    def on_start(self, start: Start) -> None:
        """A call starts."""
        return

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        """A call ended with `reply`."""
        return

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        """How long a call that was refused `refusals` times stays away; None: give this provider up."""
        return 0.0
