"""Settings that a study tries first: what is known or computed beforehand beats what luck would draw."""

from __future__ import annotations

import math

from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.objective import Replays
from tagspace_lab.lab.profiles import read_profile
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.workers import Place
from tagspace_lab.lab.yardstick import Advice, advise
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import LARGEST_BATCH, LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.answers import interpolate

__all__ = ["guess"]


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


def _advise(place: Place, today: Settings, goals: Goals, run: RunSummary) -> Advice:
    """What the bound of one place says of the pages that `run` asked one at a time."""
    curve = place.scenario.quality.relative_accuracy
    sizes = [size for size in range(1, LARGEST_BATCH + 1) if 1 - interpolate(curve, size) <= goals.max_f1_loss]
    if not run.tagged:
        return Advice(1, 1)
    rules = LabelRules(place.space.vocabulary, today.max_labels)
    return advise(run.tagged, run.input_tokens, run.output_tokens, place.scenario, rules, sizes or [1])
