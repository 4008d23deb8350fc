"""Two profiles at a live endpoint, with a small budget of calls: what they take, beside what the twin foresaw."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from tagspace_lab.clients.models import Model
from tagspace_lab.errors import InputError
from tagspace_lab.lab.facts import rounded
from tagspace_lab.lab.samples import Budget, Sample, tag_pages
from tagspace_lab.lab.world import World
from tagspace_lab.pipeline.router import Endpoint
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, Outcome, Status
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario

__all__ = ["Arm", "LiveTrial", "Turns", "fits_budget", "judge_live", "try_live"]

Profiles = Sequence[tuple[str, Settings]]
"""Two, with their names: the one that is judged by, and the one that is judged."""

_SPARE = 0.8
"""Of the budget is planned; the rest is for calls that have to be made again."""
_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Arm:
    """What one profile took: live and in the twin, in s a page, with the 429s of all its pages."""

    name: str
    pages: int
    calls: int
    refusals: int
    errors: int
    seconds_per_page: float
    foreseen_s_per_page: float
    foreseen_refusals: float

    def to_dict(self) -> dict[str, Any]:
        return rounded(asdict(self))


@dataclass(frozen=True)
class LiveTrial:
    """Both profiles on the same pages, taking turns. `calls` were made of the `budget`."""

    arms: tuple[Arm, Arm]
    budget: int
    calls: int

    @property
    def gain(self) -> float:
        """Share of the time a page that the second saves beside the first."""
        before, after = self.arms
        return 1 - after.seconds_per_page / before.seconds_per_page if before.seconds_per_page else 0.0

    @property
    def foreseen_gain(self) -> float:
        before, after = self.arms
        return 1 - after.foreseen_s_per_page / before.foreseen_s_per_page if before.foreseen_s_per_page else 0.0

    @property
    def holds(self) -> bool:
        """Whether the second was faster, and left no more pages as errors."""
        return self.gain > 0 and self.arms[1].errors <= self.arms[0].errors

    def to_dict(self) -> dict[str, Any]:
        """What `verify --live --json` prints under `live`."""
        gains = rounded({"gain": self.gain, "foreseen_gain": self.foreseen_gain})
        return {"budget": self.budget, "calls": self.calls, "arms": [arm.to_dict() for arm in self.arms], **gains}


@dataclass(eq=False)
class Turns:
    """What was made of the budget: for each profile its attempts, the seconds of its turns, and the pages it failed."""

    budget: Budget
    attempts: tuple[list[Attempt], list[Attempt]] = field(default_factory=lambda: ([], []))
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    errors: list[int] = field(default_factory=lambda: [0, 0])


def fits_budget(settings: Sequence[Settings], calls: int) -> int:
    """How many pages both profiles can tag with so many calls; InputError if not even one batch of each."""
    pages = int(_SPARE * calls / sum(1 / each.batch_size for each in settings))
    least = max(each.batch_size for each in settings)
    if pages < least:
        raise InputError(f"--live {calls} is too small a budget for a batch of {least} pages: allow more calls")
    return pages


async def try_live(
    sample: Sample,
    model: Model,
    profiles: Profiles,
    *,
    rules: LabelRules,
    calls: int,
    rng: random.Random,
    now_s: Callable[[], float],
) -> Turns:
    """Let both profiles tag the two halves of `sample`, in the order A B B A, with `calls` requests at most."""
    turns = Turns(Budget(model, calls))
    endpoints = [Endpoint("primary", turns.budget, Throttle(make_limiter(each, rng))) for _, each in profiles]
    for part, order in zip(_halves(sample), ((0, 1), (1, 0)), strict=False):
        for arm in order:
            began_s = now_s()
            result = await tag_pages(part, endpoints[arm], profiles[arm][1], rules, rng)
            turns.seconds[arm] += now_s() - began_s
            turns.attempts[arm].extend(each for each in result.attempts if each.outcome is not Outcome.EXHAUSTED)
            turns.errors[arm] += sum(tagging.status is not Status.TAGGED for tagging in result.results)
    return turns


def judge_live(sample: Sample, profiles: Profiles, scenario: Scenario, turns: Turns) -> LiveTrial:
    """What was measured, beside what the twin makes of the same pages. In no event loop: the twin has its own."""
    before, after = (
        _arm(name, settings, sample, scenario, turns, number) for number, (name, settings) in enumerate(profiles)
    )
    return LiveTrial((before, after), turns.budget.calls, turns.budget.asked)


def _arm(name: str, settings: Settings, sample: Sample, scenario: Scenario, turns: Turns, number: int) -> Arm:
    foreseen_s, foreseen_refusals = _foresee(sample, scenario, settings)
    made = turns.attempts[number]
    return Arm(
        name,
        pages=len(sample),
        calls=len(made),
        refusals=sum(each.outcome is Outcome.RATE_LIMITED for each in made),
        errors=turns.errors[number],
        seconds_per_page=turns.seconds[number] / len(sample),
        foreseen_s_per_page=foreseen_s,
        foreseen_refusals=foreseen_refusals,
    )


def _foresee(sample: Sample, scenario: Scenario, settings: Settings) -> tuple[float, float]:
    """Seconds a page and 429s that the twin makes of the same turns, a mean of several seeds; no time for listing."""
    taken_s = refusals = 0.0
    plain = settings.with_changes(cache_enabled=False)
    for seed, part in product(range(_SEEDS), _halves(sample)):
        attempts = World(part, scenario, seed).run(plain).attempts
        taken_s += max(each.ended_s for each in attempts) - min(each.started_s for each in attempts)
        refusals += sum(each.outcome is Outcome.RATE_LIMITED for each in attempts)
    return taken_s / _SEEDS / len(sample), refusals / _SEEDS


def _halves(sample: Sample) -> list[Sample]:
    """Two, or one of a single page."""
    middle = (len(sample) + 1) // 2
    return [Sample(pages, sample.vocabulary) for pages in (sample.pages[:middle], sample.pages[middle:]) if pages]
