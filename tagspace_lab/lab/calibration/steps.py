"""Limits that changed on the way, as headers told it: every stated limit times the same factor from one moment on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from tagspace_lab.lab.calibration.decisions import Decisions
from tagspace_lab.twin.schema import LimitStep

__all__ = ["read_steps", "scaled"]

_LEAST = 0.05
"""A limit that changes by a smaller share has not changed."""
_LARGEST = 1_000.0
_MOST_STEPS, _LOOKED_AT = 8, 50


def read_steps(decisions: Decisions) -> tuple[LimitStep, ...]:
    """Steps of the limits that headers state, in order. Headers that contradict each other all the time tell none."""
    told = [
        (decisions.ended_s[place], quota.limit)
        for place, attempt in enumerate(decisions.attempts)
        if (quota := attempt.rate_limit.quotas.get(_unit(decisions))) and quota.limit and not decisions.world[place]
    ]
    told.sort()
    steps: list[LimitStep] = []
    for (before_s, former), (after_s, limit) in pairwise(told):
        if former and limit and abs(limit / former - 1) > _LEAST and 1 / _LARGEST < limit / former < _LARGEST:
            at_s = round(float(before_s + after_s) / 2, 3)
            steps.append(LimitStep(kind="limits", at_s=at_s, factor=round(limit / former, 4)))
    return tuple(steps) if len(steps) <= _MOST_STEPS else ()


def _unit(decisions: Decisions) -> str:
    """The unit whose limit is the largest number: it is rounded least."""
    limits = {
        unit: quota.limit or 0.0
        for attempt in decisions.attempts[:_LOOKED_AT]
        for unit, quota in attempt.rate_limit.quotas.items()
    }
    return max(limits, key=limits.__getitem__, default="")


def scaled(decisions: Decisions, steps: tuple[LimitStep, ...]) -> Decisions:
    """The same decisions with what the limits were multiplied by at each."""
    scale = np.ones(len(decisions))
    for step in steps:
        scale = np.where(decisions.at_s >= step.at_s, scale * step.factor, scale)
    return replace(decisions, scale=scale)
