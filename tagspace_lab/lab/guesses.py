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

_DESIGN = tuple(product((6, 3, 12), (12, 48), (False, True)))  # batch, ceiling, whether a run starts there
_FACTOR = 1.3  # of a step in batch size or ceiling
_REACH = 2  # steps


def guess(places: tuple[Place, ...], today: Settings, goals: Goals, one_by_one: Replays) -> dict[str, Settings]:
    """By origin: today's settings, what the bound suggests, and the shipped conservative ones.

    `one_by_one` begins with a replay in each place at batch size 1. The bound's batch size keeps to the loss of
    quality that the scenario states for it; over several places it is the smallest that one asks for, with the
    largest concurrency. `bound-calm` is the same with a start at half the ceiling.
    """
    advices = [_advise(place, today, goals, runs[0]) for place, runs in zip(places, one_by_one, strict=False)]
    ceiling = min(LARGEST_CONCURRENCY, max(advice.concurrency for advice in advices))
    bound = today.with_changes(
        ai_concurrency=ceiling,
        max_ai_concurrency=ceiling,
        batch_size=min(advice.batch_size for advice in advices),
        cache_enabled=True,
        cache_size=max(1, *(len(place.space) for place in places)),
    )
    careful = read_profile("conservative").settings
    taken = ("ai_concurrency", "max_ai_concurrency", "batch_size", "cache_enabled")
    return {
        "today": today,
        "bound": bound,
        "bound-calm": bound.with_changes(ai_concurrency=math.ceil(ceiling / 2)),
        "conservative": today.with_changes(**{name: getattr(careful, name) for name in taken}),
    }


def lay_design(today: Settings, pages: int) -> list[Settings]:
    """Twelve settings from the middle of the range, which a study of any length may begin with."""
    return [
        today.with_changes(
            ai_concurrency=ceiling if starts_there else 1,
            max_ai_concurrency=ceiling,
            batch_size=batch_size,
            cache_enabled=True,
            cache_size=max(1, pages),
        )
        for batch_size, ceiling, starts_there in _DESIGN
    ]


def step_away(best: Sequence[Settings], rng: random.Random) -> list[Settings]:
    """Settings near the `best` ones, which stand best first: the fewer steps away the earlier, ties by luck."""
    found: dict[Settings, float] = {}
    for rank, settings in enumerate(best):
        for steps, changed in _neighbours(settings):
            found[changed] = min(found.get(changed, math.inf), steps + rank + 0.9 * rng.random())
    return sorted(found, key=lambda settings: found[settings])


def _neighbours(settings: Settings) -> Iterator[tuple[int, Settings]]:
    """Steps and settings: in batch size and ceiling up and down, and the start at 1, half-way or at the ceiling."""
    span = settings.max_ai_concurrency - 1
    share = (settings.ai_concurrency - 1) / span if span else 0.0
    for up, more, start in product(range(-_REACH, _REACH + 1), range(-_REACH, _REACH + 1), (None, 0.0, 0.5, 1.0)):
        ceiling = _step(settings.max_ai_concurrency, up, LARGEST_CONCURRENCY)
        size = _step(settings.batch_size, more, LARGEST_BATCH)
        moved = share if start is None else start
        changed = settings.with_changes(
            ai_concurrency=1 + round(moved * (ceiling - 1)), max_ai_concurrency=ceiling, batch_size=size
        )
        if changed != settings:
            yield abs(up) + abs(more) + (start is not None), changed


def _step(value: int, steps: int, most: int) -> int:
    """Some factors up or down, at least one at a time, within 1 and `most`."""
    direction = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        value = value + direction * max(1, round(value * (_FACTOR - 1)))
    return min(most, max(1, value))


def _advise(place: Place, today: Settings, goals: Goals, run: RunSummary) -> Advice:
    """What the bound of one place says of the pages that `run` asked one at a time."""
    curve = place.scenario.quality.relative_accuracy
    sizes = [size for size in range(1, LARGEST_BATCH + 1) if 1 - interpolate(curve, size) <= goals.max_f1_loss]
    if not run.tagged:
        return Advice(1, 1)
    rules = LabelRules(place.space.vocabulary, today.max_labels)
    return advise(run.tagged, run.input_tokens, run.output_tokens, place.scenario, rules, sizes or [1])
