"""What a study looks for, in one place: fast settings, within goals, that take no more than they need.

    objective = mean makespan of all seeds and runs, in s
              + 2 s for a million tokens + 1 s for 10,000 cache entries + 1 s for 200 calls of ceiling

The prices decide between settings that are equally fast, and nothing else: 150 pages cost some 0.3 s of
tokens. A cache that is off costs nothing; one that is on costs the entries it may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from tagspace_lab.errors import InputError
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.workers import Workers
from tagspace_lab.settings import Settings

__all__ = ["Goals", "Measured", "Referee", "Verdict", "find_excess", "find_f1_loss", "find_objective", "pool"]

_S_PER_TOKEN = 2e-6
_S_PER_CACHE_ENTRY = 1e-4
_S_PER_CEILING = 5e-3


@dataclass(frozen=True, slots=True)
class Goals:
    """What settings must keep to, over all seeds and runs. InputError for a negative one.

    `max_rate_limit_share`: 429s per request. `max_f1_loss`: micro-F1 that may be lost against the same
    pages asked one at a time. `max_errors`: pages that may end without labels beyond those that do so when
    asked one at a time: a page that nothing can tag says nothing about the settings.
    """

    max_rate_limit_share: float = 0.05
    max_f1_loss: float = 0.02
    max_errors: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise InputError(f"{field.name} is {value}; allowed: a number from 0.")


@dataclass(frozen=True, slots=True)
class Measured:
    """Settings in numbers, over several seeds and runs.

    Means of a run: `makespan_s`, `bound_s`, `best_bound_s`, `tokens` (input and output), `concurrency`
    (calls in flight), `hit_rate` and `f1` (None without gold labels). `rate_limit_share` is all 429s over
    all requests. `errors` counts pages that ended as errors or were stopped.
    """

    makespan_s: float
    bound_s: float
    best_bound_s: float
    rate_limit_share: float
    tokens: float
    concurrency: float
    hit_rate: float
    f1: float | None
    errors: int


def pool(replays: Sequence[Sequence[RunSummary]]) -> Measured:
    """One set of numbers for the replays of some settings."""
    runs = [run for replay in replays for run in replay]
    attempts = sum(run.attempts for run in runs)
    scores = [run.f1 for run in runs if run.f1 is not None]
    return Measured(
        makespan_s=fmean(run.makespan_s for run in runs),
        bound_s=fmean(run.bound_s for run in runs),
        best_bound_s=fmean(run.best_bound_s for run in runs),
        rate_limit_share=sum(run.rate_limit_errors for run in runs) / attempts if attempts else 0.0,
        tokens=fmean(run.input_tokens + run.output_tokens for run in runs),
        concurrency=fmean(run.mean_concurrency for run in runs),
        hit_rate=fmean(run.hit_rate for run in runs),
        f1=fmean(scores) if scores else None,
        errors=sum(run.errors + run.stopped for run in runs),
    )


def find_objective(settings: Settings, measured: Measured) -> float:
    """What a study minimises, in seconds; the formula stands at the top of this file."""
    entries = settings.cache_size if settings.cache_enabled else 0
    return (
        measured.makespan_s
        + _S_PER_TOKEN * measured.tokens
        + _S_PER_CACHE_ENTRY * entries
        + _S_PER_CEILING * settings.max_ai_concurrency
    )


def find_excess(measured: Measured, one_by_one: Measured, goals: Goals) -> dict[str, float]:
    """By how much each goal is missed; kept where it is 0 or less. `one_by_one`: the same seeds at batch size 1."""
    return {
        "rate_limit_share": measured.rate_limit_share - goals.max_rate_limit_share,
        "f1_loss": find_f1_loss(measured, one_by_one) - goals.max_f1_loss,
        "errors": float(measured.errors - one_by_one.errors - goals.max_errors),
    }


def find_f1_loss(measured: Measured, one_by_one: Measured) -> float:
    """Micro-F1 lost against batch size 1; 0 without gold labels."""
    if measured.f1 is None or one_by_one.f1 is None:
        return 0.0
    return one_by_one.f1 - measured.f1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Settings, what they measured and what that is worth; `excess` as in :func:`find_excess`."""

    settings: Settings
    measured: Measured
    objective_s: float
    f1_loss: float
    excess: dict[str, float]

    @property
    def feasible(self) -> bool:
        """Whether every goal is kept."""
        return all(value <= 0 for value in self.excess.values())


@dataclass(frozen=True, slots=True)
class Referee:
    """Judges settings on the same seeds and runs, beside the same pages asked one at a time."""

    workers: Workers
    goals: Goals
    seeds: tuple[int, ...]
    runs: int
    one_by_one: Measured

    @classmethod
    def prepare(cls, workers: Workers, today: Settings, goals: Goals, seeds: Sequence[int], runs: int) -> Referee:
        """Measures today's settings at batch size 1 first."""
        (replays,) = workers.measure_each([today.with_changes(batch_size=1)], seeds, runs)
        return cls(workers, goals, tuple(seeds), runs, pool(replays))

    def judge(self, candidates: Sequence[Settings]) -> Iterator[Verdict]:
        """Replays the candidates side by side; their verdicts come in order, as soon as they are there."""
        replays = self.workers.measure_each(candidates, self.seeds, self.runs)
        return (self.rule(settings, pool(replay)) for settings, replay in zip(candidates, replays, strict=True))

    def rule(self, settings: Settings, measured: Measured) -> Verdict:
        """The verdict on what was measured on these seeds."""
        return Verdict(
            settings,
            measured,
            find_objective(settings, measured),
            find_f1_loss(measured, self.one_by_one),
            find_excess(measured, self.one_by_one, self.goals),
        )
