"""What a study minimises, in one place: what its goal prices, and as little as possible of what it must pay for.

    objective = price of a run, in s                              (goals.py: a `fastest` run costs its makespan)
              + 2 s for a million tokens + 1 s for 10,000 cache entries + 1 s for 200 calls of ceiling

The runs of one replay (a seed in one place) count with their mean. Where there are several places, each counts as
much as any other: its seconds are scaled so that today's settings cost the same everywhere. The last three prices
decide between settings that are equally good, and nothing else: 150 pages cost some 0.3 s of tokens. A cache that is
off costs nothing; one that is on costs the entries it may hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from tagspace_lab.lab.goals import Goals, Prices
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.workers import Workers
from tagspace_lab.settings import Settings

__all__ = [
    "Goals",
    "Measured",
    "Referee",
    "Replays",
    "Verdict",
    "find_excess",
    "find_f1_loss",
    "find_price",
    "find_upkeep",
    "pool",
]

_S_PER_TOKEN = 2e-6
_S_PER_CACHE_ENTRY = 1e-4
_S_PER_CEILING = 5e-3
_TAIL = 0.25  # the share of the replays that CVaR is the mean of

Replays = Sequence[Sequence[RunSummary]]
"""The runs of some replays: one list of summaries a replay."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Settings in numbers, over several seeds and runs.

    Means of a run: `makespan_s`, `bound_s`, `best_bound_s`, `calls` (prompts), `tokens` (input and output),
    `concurrency` (calls in flight), `hit_rate` and `f1` (None without gold labels). `rate_limit_share` is all 429s
    over all requests. `errors` counts pages that ended as errors or were stopped.
    """

    makespan_s: float
    bound_s: float
    best_bound_s: float
    rate_limit_share: float
    calls: float
    tokens: float
    concurrency: float
    hit_rate: float
    f1: float | None
    errors: int


def pool(replays: Replays) -> Measured:
    """One set of numbers for the replays of some settings."""
    runs = [run for replay in replays for run in replay]
    attempts = sum(run.attempts for run in runs)
    scores = [run.f1 for run in runs if run.f1 is not None]
    return Measured(
        makespan_s=fmean(run.makespan_s for run in runs),
        bound_s=fmean(run.bound_s for run in runs),
        best_bound_s=fmean(run.best_bound_s for run in runs),
        rate_limit_share=sum(run.rate_limit_errors for run in runs) / attempts if attempts else 0.0,
        calls=fmean(run.calls for run in runs),
        tokens=fmean(_tokens(run) for run in runs),
        concurrency=fmean(run.mean_concurrency for run in runs),
        hit_rate=fmean(run.hit_rate for run in runs),
        f1=fmean(scores) if scores else None,
        errors=sum(run.errors + run.stopped for run in runs),
    )


def find_price(run: RunSummary, prices: Prices) -> float:
    """What a run costs, in s."""
    return prices.per_s * run.makespan_s + prices.per_token * _tokens(run) + prices.per_429 * run.rate_limit_errors


def find_upkeep(settings: Settings) -> float:
    """What settings cost that hold more than they need, in s."""
    entries = settings.cache_size if settings.cache_enabled else 0
    return _S_PER_CACHE_ENTRY * entries + _S_PER_CEILING * settings.max_ai_concurrency


def find_excess(measured: Measured, one_by_one: Measured, goals: Goals) -> dict[str, float]:
    """By how much each goal is missed; kept where it is 0 or less. `one_by_one`: the same seeds at batch size 1."""
    limits = {"calls": goals.max_calls, "tokens": goals.max_tokens, "makespan_s": goals.max_makespan_s}
    return {
        "rate_limit_share": measured.rate_limit_share - goals.max_rate_limit_share,
        "f1_loss": find_f1_loss(measured, one_by_one) - goals.max_f1_loss,
        "errors": float(measured.errors - one_by_one.errors - goals.max_errors),
    } | {name: getattr(measured, name) - most for name, most in limits.items() if most is not None}


def find_f1_loss(measured: Measured, one_by_one: Measured) -> float:
    """Micro-F1 lost against batch size 1; 0 without gold labels."""
    if measured.f1 is None or one_by_one.f1 is None:
        return 0.0
    return one_by_one.f1 - measured.f1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Settings, what they measured and what that is worth.

    `excess` as in :func:`find_excess`, of the place where it is largest; `values`: makespan in s, tokens, and 429s
    per request, for a Pareto front. `is_partial`: the study gave the settings up before all replays were made.
    """

    settings: Settings
    measured: Measured
    objective_s: float
    f1_loss: float
    excess: dict[str, float]
    values: tuple[float, float, float]
    is_partial: bool = False

    @property
    def feasible(self) -> bool:
        """Whether every goal is kept."""
        return all(value <= 0 for value in self.excess.values())

    @property
    def missed(self) -> float:
        """By how much goals are missed, all together."""
        return sum(max(0.0, value) for value in self.excess.values())


@dataclass(frozen=True)
class Referee:
    """Judges settings on the same seeds, places and runs, beside the same pages asked one at a time.

    `todays` and `one_by_one` are the replays of today's settings, as they are and at batch size 1.
    """

    workers: Workers
    goals: Goals
    seeds: tuple[int, ...]
    runs: int
    first_day: int
    todays: Replays
    one_by_one: Replays

    @classmethod
    def prepare(
        cls, workers: Workers, today: Settings, goals: Goals, seeds: Sequence[int], runs: int, first_day: int = 0
    ) -> Referee:
        """Measures today's settings, as they are and at batch size 1, first."""
        pair = [today, today.with_changes(batch_size=1)]
        todays, one_by_one = workers.measure_each(pair, seeds, runs, first_day=first_day)
        return cls(workers, goals, tuple(seeds), runs, first_day, todays, one_by_one)

    def judge(self, candidates: Sequence[Settings]) -> Iterator[Verdict]:
        """Replays the candidates side by side; their verdicts come in order, as soon as they are there."""
        replays = self.workers.measure_each(candidates, self.seeds, self.runs, first_day=self.first_day)
        return (self.rule(settings, replay) for settings, replay in zip(candidates, replays, strict=True))

    def rule(self, settings: Settings, replays: Replays) -> Verdict:
        """The verdict on all replays, or on those of the first seeds alone."""
        parts = [self._of_place(replays, place) for place in range(self.places)]
        excesses = [find_excess(*part, self.goals) for part in parts]
        costs = [fmean(runs) for runs in self.find_costs(settings, replays)]
        measured = pool(replays)
        return Verdict(
            settings,
            measured,
            _sum_up(costs, self.goals.over),
            max(find_f1_loss(*part) for part in parts),
            {name: max(excess[name] for excess in excesses) for name in excesses[0]},
            (measured.makespan_s, measured.tokens, measured.rate_limit_share),
            is_partial=len(replays) < len(self.todays),
        )

    def find_costs(self, settings: Settings, replays: Replays) -> list[list[float]]:
        """Of each run of each replay, in s: the objective is the mean of them all."""
        prices, scales, upkeep_s = self.goals.prices, self._scales, find_upkeep(settings)
        return [
            [
                scales[number % self.places] * find_price(run, prices) + _S_PER_TOKEN * _tokens(run) + upkeep_s
                for run in runs
            ]
            for number, runs in enumerate(replays)
        ]

    @property
    def places(self) -> int:
        return len(self.workers.places)

    @cached_property
    def _scales(self) -> list[float]:
        """By place: what makes today's settings cost as much there as they do on average."""
        prices = self.goals.prices
        todays = [
            fmean(find_price(run, prices) for runs in self.todays[place :: self.places] for run in runs)
            for place in range(self.places)
        ]
        return [fmean(todays) / cost if cost else 1.0 for cost in todays] if self.places > 1 else [1.0]

    def _of_place(self, replays: Replays, place: int) -> tuple[Measured, Measured]:
        """What was measured in one place, and the same seeds one by one."""
        return pool(replays[place :: self.places]), pool(self.one_by_one[: len(replays)][place :: self.places])


def _sum_up(costs: Sequence[float], over: str) -> float:
    if over == "mean":
        return fmean(costs)
    count = 1 if over == "worst" else math.ceil(_TAIL * len(costs))
    return fmean(sorted(costs)[-count:])


def _tokens(run: RunSummary) -> int:
    return run.input_tokens + run.output_tokens
