"""How an accepted call ends and how long it takes.

A call's own luck is keyed by (seed, provider, ids of its pages, how often exactly these were accepted
before); the weather is keyed by (seed, provider, time slot) and shared by all calls of that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from math import exp, floor

from tagspace_lab.twin.noise import normal, uniforms
from tagspace_lab.twin.schema import Faults, Latency
from tagspace_lab.twin.supply import SLOT_S

__all__ = ["Ending", "Fate", "draw_fate", "service_s", "weather"]


class Ending(StrEnum):
    """What an accepted call comes to."""

    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    PARTIAL = "partial"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Fate:
    """One call's luck. `delay` is a standard normal draw; `cut` in (0, 1) is where a broken answer breaks off."""

    ending: Ending
    delay: float
    cut: float


def draw_fate(faults: Faults, pages: int, *key: object) -> Fate:
    """The fate of an accepted call over so many pages. More pages never turn a broken call into a whole one."""
    luck, cut = uniforms(2, *key, "fate")
    more = max(0, pages - 1)
    shares = (
        faults.server_error_share,
        faults.timeout_share,
        faults.malformed_share + faults.malformed_growth * more,
        faults.partial_share + faults.partial_growth * more,
    )
    ending = next((end for end, bound in zip(Ending, accumulate(shares), strict=False) if luck < bound), Ending.OK)
    return Fate(ending, normal(*key, "delay"), cut)


def service_s(latency: Latency, fate: Fate, output_tokens: float, load: float) -> float:
    """Seconds from acceptance to the last token; `load` multiplies all of it."""
    first_token_s = latency.first_token_s * exp(latency.first_token_sigma * fate.delay)
    return (first_token_s + output_tokens / latency.output_tokens_per_s) * load


def weather(latency: Latency, now_s: float, *key: object) -> float:
    """The factor on latency that all calls arriving in this time slot share; its median is 1."""
    if not latency.slot_sigma:
        return 1.0
    return exp(latency.slot_sigma * normal(*key, "weather", floor(now_s / SLOT_S)))
