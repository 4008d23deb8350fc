"""Settings that a study tries by itself: what is known beforehand, a coarse design, and steps away from the best."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import product

from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.objective import Replays
from tagspace_lab.lab.profiles import read_profile
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.workers import Place
from tagspace_lab.lab.yardstick import Advice, advise
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import LARGEST_BATCH, LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.answers import interpolate

__all__ = ["guess", "lay_design", "step_away"]

_DESIGN = tuple(product((6, 3, 12, 24), ((12, 12), (1, 48))))  # batch; start and ceiling
_ROUNDS = 3
_FACTOR = 1.3  # of a step in batch size or ceiling
_REACH = 2  # steps


def guess(places: tuple[Place, ...], today: Settings, goals: Goals, one_by_one: Replays) -> dict[str, Settings]:
    """By origin: today's settings, what the bound suggests, and the shipped conservative ones.

    `one_by_one` begins with a replay in each place at batch size 1. The bound's batch size keeps to the loss of
    quality that the scenario states for it; over several places it is the smallest that one asks for, with the
    largest concurrency. `bound-calm` is the same with a start at half the ceiling, `rounds-1` to `rounds-3` have
    calls that fill so many whole rounds.
    """
    advices = [_advise(place, today, goals, runs[0]) for place, runs in zip(places, one_by_one, strict=False)]
    pages = max(1, *(len(place.space) for place in places))
    advised = {
        name: _follow([advice[name] for advice in advices], today, pages)
        for name in advices[0]
        if all(name in advice for advice in advices)
    }
    bound = advised.pop("bound")
    careful = read_profile("conservative").settings
    taken = ("ai_concurrency", "max_ai_concurrency", "batch_size", "cache_enabled")
    return {
        "today": today,
        "bound": bound,
        "bound-calm": bound.with_changes(ai_concurrency=math.ceil(bound.max_ai_concurrency / 2)),
        "conservative": today.with_changes(**{name: getattr(careful, name) for name in taken}),
        **advised,
    }


def _follow(advices: Sequence[Advice], today: Settings, pages: int) -> Settings:
    """The smallest batch and the largest concurrency of them, with a cache for all pages."""
    ceiling = min(LARGEST_CONCURRENCY, max(advice.concurrency for advice in advices))
    return today.with_changes(
        ai_concurrency=ceiling,
        max_ai_concurrency=ceiling,
        batch_size=min(advice.batch_size for advice in advices),
        cache_enabled=True,
        cache_size=pages,
    )


def lay_design(today: Settings, pages: int) -> list[Settings]:
    """Eight settings from the middle of the range, which a study of any length may begin with."""
    return [
        today.with_changes(
            ai_concurrency=start,
            max_ai_concurrency=ceiling,
            batch_size=batch_size,
            cache_enabled=True,
            cache_size=max(1, pages),
        )
        for batch_size, (start, ceiling) in _DESIGN
    ]


def step_away(settings: Settings, rng: random.Random) -> Iterator[Settings]:
    """Settings nearby: the fewer steps away the earlier, ties by luck.

    A step goes in batch size or ceiling, up or down, or moves the start to 1, half-way or the ceiling.
    """
    found: dict[tuple[int, int, int], float] = {}
    for steps, place in _neighbours(settings):
        found[place] = min(found.get(place, math.inf), steps + rng.random())
    for start, ceiling, size in sorted(found, key=found.__getitem__):
        yield settings.with_changes(ai_concurrency=start, max_ai_concurrency=ceiling, batch_size=size)


def _neighbours(settings: Settings) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Steps, and start, ceiling and batch size."""
    span = settings.max_ai_concurrency - 1
    share = (settings.ai_concurrency - 1) / span if span else 0.0
    for up, more, start in product(range(-_REACH, _REACH + 1), range(-_REACH, _REACH + 1), (None, 0.0, 0.5, 1.0)):
        ceiling = _step(settings.max_ai_concurrency, up, LARGEST_CONCURRENCY)
        size = _step(settings.batch_size, more, LARGEST_BATCH)
        place = 1 + round((share if start is None else start) * (ceiling - 1)), ceiling, size
        if place != (settings.ai_concurrency, settings.max_ai_concurrency, settings.batch_size):
            yield abs(up) + abs(more) + (start is not None), place


def _step(value: int, steps: int, most: int) -> int:
    """Some factors up or down, at least one at a time, within 1 and `most`."""
    direction = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        value = value + direction * max(1, round(value * (_FACTOR - 1)))
    return min(most, max(1, value))


def _advise(place: Place, today: Settings, goals: Goals, run: RunSummary) -> dict[str, Advice]:
    """What the bound of one place says of the pages that `run` asked one at a time."""
    curve = place.scenario.quality.relative_accuracy
    sizes = [size for size in range(1, LARGEST_BATCH + 1) if 1 - interpolate(curve, size) <= goals.max_f1_loss]
    if not run.tagged:
        return {"bound": Advice(1, 1)}
    rules = LabelRules(place.space.vocabulary, today.max_labels)
    return advise(run.tagged, run.input_tokens, run.output_tokens, place.scenario, rules, sizes or [1], _ROUNDS)
