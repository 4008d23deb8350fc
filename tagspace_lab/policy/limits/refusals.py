"""What a failed call means to the limiters that are not `learned`: whether it was dropped, and when it comes back."""

from __future__ import annotations

import random

from tagspace_lab.records import Outcome, Reply

__all__ = ["DROPS", "asked_delay_s", "back_off_s"]

DROPS = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.UNREACHABLE})
"""Outcomes that congestion control takes for a lost packet: refused, timed out, not connected. A call that was
answered with another error or cancelled says nothing of the load."""

_LONGEST_ASKED_S = 120.0
_FIRST_WAIT_S = 0.5
_DOUBLINGS = 4
_JITTER = 0.25


def asked_delay_s(reply: Reply) -> float | None:
    """The Retry-After of `reply`, where the SDKs would keep to it."""
    asked_s = reply.rate_limit.retry_after_s
    return asked_s if asked_s is not None and asked_s <= _LONGEST_ASKED_S else None


def back_off_s(refusals: int, reply: Reply, rng: random.Random) -> float:
    """How long a call that was refused `refusals` times stays away.

    Source: the official OpenAI client: `Retry-After` where 0 < x <= 120 s, else 0.5 * 2**n s, at most
    8 s, less up to 25 % of jitter.
    """
    asked_s = asked_delay_s(reply)
    if asked_s is not None:
        return asked_s
    return _FIRST_WAIT_S * 2.0 ** min(refusals - 1, _DOUBLINGS) * (1 - _JITTER * rng.random())
