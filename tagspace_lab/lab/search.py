"""Asks optuna's TPE for settings, batch by batch, has them replayed, and tells it what came out.

A study is parallel, repeatable and resumable at once, because trials are asked in batches of a fixed size, each from
a sampler of its own seed, and told in the order in which they were asked, whichever process measured them. Asking
happens in memory, every time from the start; the storage keeps the answers. A study that goes on asks the same
questions again and finds their answers there.

TPE alone needs hundreds of trials where a makespan has edges (a burst that is just used up, a goal that is just
missed). So a study begins with guesses and a coarse design, and then asks all but one in four of its trials a few
steps from what leads; that one is TPE's.

Between the seeds of a batch, trials that are worse than the best beyond doubt (Wilcoxon's signed ranks over the
replays, p = 0.1) are given up. That keeps a study repeatable, too: the best is that of the batches before.
"""

from __future__ import annotations

import hashlib
import math
import random
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from tagspace_lab import __version__
from tagspace_lab.lab.guesses import guess, lay_design, step_away
from tagspace_lab.lab.objective import Referee, Verdict
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.storages import Storage
from tagspace_lab.lab.workers import Task
from tagspace_lab.settings import LARGEST_BATCH, LARGEST_CONCURRENCY, Settings

__all__ = ["VARIED", "Problem", "Strategy", "Trial", "find_leaders", "quiet", "rank", "search", "spread"]

VARIED = ("concurrency", "batch_size", "cache_enabled", "cache_size")
"""What may be searched; `concurrency` is where a run starts, and its ceiling."""

_LEADERS = 2  # that are stepped away from, of different batch sizes
_GIVE_UP_P = 0.1
_FEWEST_PAIRS = 4  # with fewer, signed ranks cannot reach that p


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial; `origin` is `search`, `step` (near the best so far), `design`, or that of a guess: `today`, `bound`,
    `bound-calm`, `conservative`, `rounds-1` to `rounds-3`."""

    number: int
    origin: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a study searches. `batch`: trials that are asked before any of them is told.

    `pareto` seeks the front of makespan, tokens and 429s instead of one goal. The others are there to be compared
    with: `sampler`, and whether guesses and a coarse design come first, goals are told, hopeless trials given up,
    and all but one in four of the trials asked near the best two so far.
    """

    batch: int = 4
    pareto: bool = False
    sampler: Literal["tpe", "random"] = "tpe"
    with_guesses: bool = True
    with_limits: bool = True
    with_pruner: bool = True
    with_steps: bool = True

    def make_sampler(self, seed: int, batch: int) -> BaseSampler:
        drawn = int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])
        return TPESampler(seed=drawn) if self.sampler == "tpe" else RandomSampler(seed=drawn)


@dataclass(frozen=True)
class Problem:
    """What is searched: `ai_concurrency` as a share of the way from 1 to the ceiling, so that it never exceeds it.

    Ceiling and batch size cover all that the settings allow, on log scales like the cache size, which goes
    from a tenth of the largest space to twice its size, and as far as today's. Settings that are not `varied`
    stay today's.
    """

    referee: Referee
    today: Settings
    seed: int
    varied: tuple[str, ...] = VARIED

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        pages = max(len(place.space) for place in self.referee.workers.places)
        kept = self.today.cache_size
        every: dict[str, BaseDistribution] = {
            "max_ai_concurrency": IntDistribution(1, LARGEST_CONCURRENCY, log=True),
            "start_share": FloatDistribution(0.0, 1.0),
            "batch_size": IntDistribution(1, LARGEST_BATCH, log=True),
            "cache_enabled": CategoricalDistribution([True, False]),
            "cache_size": IntDistribution(max(1, min(pages // 10, kept)), max(2 * pages, kept), log=True),
        }
        pair = ("max_ai_concurrency", "start_share")
        return {name: every[name] for name in every if ("concurrency" if name in pair else name) in self.varied}

    def settings_of(self, params: dict[str, Any]) -> Settings:
        """A cache that is off keeps today's size: nothing depends on it."""
        changes = dict(params)
        if (share := changes.pop("start_share", None)) is not None:
            changes["ai_concurrency"] = 1 + round(share * (changes["max_ai_concurrency"] - 1))
        settings = self.today.with_changes(**changes)
        return settings if settings.cache_enabled else settings.with_changes(cache_size=self.today.cache_size)

    def params_of(self, settings: Settings) -> dict[str, Any]:
        start, ceiling = settings.ai_concurrency, settings.max_ai_concurrency
        known = settings.model_dump() | {"start_share": (start - 1) / max(1, ceiling - 1)}
        return {name: known[name] for name in self.distributions}

    def first_guesses(self) -> dict[Settings, str]:
        """Settings and their origin; those that agree in all that is varied are one."""
        referee = self.referee
        guesses = guess(referee.workers.places, self.today, referee.goals, referee.one_by_one)
        pages = max(len(place.space) for place in referee.workers.places)
        named = [*guesses.items(), *(("design", settings) for settings in lay_design(self.today, pages))]
        distinct: dict[Settings, str] = {}
        for origin, settings in named:
            distinct.setdefault(self.as_searched(settings), origin)
        return distinct

    def as_searched(self, settings: Settings) -> Settings:
        """The same where it is varied, and today's where it is not."""
        return self.settings_of(self.params_of(settings))

    def name(self, strategy: Strategy) -> str:
        """The study's: another problem, another program or another optuna has another name.

        What today's settings measure stands for all of the program that acts.
        """
        referee = self.referee
        places = [
            (place.space.name, place.space.content_hash, place.scenario.name, place.scenario.content_hash)
            for place in referee.workers.places
        ]
        facts = (
            *(places, self.today.to_variables(), referee.todays, referee.one_by_one, referee.goals, referee.seeds),
            *(referee.runs, referee.first_day, self.seed, self.varied, strategy, __version__, optuna.__version__),
        )
        names = "+".join(dict.fromkeys(name for place in places for name in (place[0], place[2])))
        return f"{names}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def rank(verdicts: Sequence[Verdict]) -> list[Settings]:
    """What keeps the goals and was measured whole, best first."""
    kept = [verdict for verdict in verdicts if verdict.feasible and not verdict.is_partial]
    return list(dict.fromkeys(each.settings for each in sorted(kept, key=lambda verdict: verdict.objective_s)))


def spread(ranking: Sequence[Settings], count: int, each: int) -> list[Settings]:
    """The first `count` of a ranking, where there are others at most `each` of one batch size."""
    seen = Counter[int]()
    first, rest = list[Settings](), list[Settings]()
    for settings in ranking:
        seen[settings.batch_size] += 1
        (first if seen[settings.batch_size] <= each else rest).append(settings)
    return [*first, *rest][:count]


def find_leaders(told: Sequence[Verdict]) -> list[Settings]:
    """The best of two batch sizes, and what would be better and misses its goals by least: a step may keep them."""
    leaders = spread(rank(told), _LEADERS, each=1)
    best_s = min((verdict.objective_s for verdict in told if verdict.settings in leaders), default=math.inf)
    missing = [verdict for verdict in told if not verdict.feasible and verdict.objective_s < best_s]
    return [*leaders, *(verdict.settings for verdict in sorted(missing, key=lambda verdict: verdict.missed)[:1])]


def search(
    problem: Problem,
    trials: int,
    strategy: Strategy,
    storage: str | Path | None = None,
    on_replays: Callable[[int], None] = lambda count: None,
) -> Generator[Trial, None, None]:
    """The trials, in the order in which they were asked. `on_replays` is told how many
    more replays are done with, of all that the trials could take."""
    return _Study(problem, strategy, storage, on_replays).run(trials)


@dataclass
class _Study:
    problem: Problem
    strategy: Strategy
    place: str | Path | None
    on_replays: Callable[[int], None]
    answers: dict[Settings, list[Sequence[RunSummary]]] = field(default_factory=dict)
    kept: dict[Settings, int] = field(default_factory=dict)  # replays that the storage has
    storage: Storage | None = None
    done: int = 0  # replays, those that were given up among them

    def run(self, trials: int) -> Generator[Trial, None, None]:
        try:
            if self.place is not None:
                self._open(self.place)
            yield from self._run(trials)
        finally:
            if self.storage is not None:
                self.storage.close()

    def _run(self, trials: int) -> Generator[Trial, None, None]:
        problem, strategy = self.problem, self.strategy
        if not self.answers.get(problem.today):
            self.answers[problem.today] = list(problem.referee.todays)
        study = optuna.create_study(
            directions=["minimize"] * (3 if strategy.pareto else 1),
            pruner=_make_pruner() if self._may_give_up else NopPruner(),
        )
        guesses = problem.first_guesses() if strategy.with_guesses else {}
        for settings in guesses:
            study.enqueue_trial(problem.params_of(settings))
        origins, told = dict(enumerate(guesses.values())), list[Verdict]()
        for batch in range(math.ceil(trials / strategy.batch)):
            study.sampler = strategy.make_sampler(problem.seed, batch)
            count = min(strategy.batch, trials - batch * strategy.batch)
            waiting = max(0, len(guesses) - len(told))
            for number, settings in enumerate(self._near_the_best(told, count - waiting, batch), len(told) + waiting):
                study.enqueue_trial(problem.params_of(settings))
                origins[number] = "step"
            asked = [study.ask(problem.distributions) for _ in range(count)]
            verdicts = self._judge(asked)
            told += verdicts
            self.on_replays(len(told) * len(problem.referee.todays) - self.done)
            self.done = len(told) * len(problem.referee.todays)
            for trial, verdict in zip(asked, verdicts, strict=True):
                if strategy.with_limits:
                    for goal, excess in verdict.excess.items():
                        trial.set_constraint(goal, excess)
                study.tell(trial, verdict.values if strategy.pareto else verdict.objective_s)
                yield Trial(trial.number, origins.get(trial.number, "search"), verdict)

    def _near_the_best(self, told: Sequence[Verdict], room: int, batch: int) -> list[Settings]:
        """Settings that were not tried yet, for all but one in four of the trials that may be asked."""
        if not self.strategy.with_steps or self.strategy.pareto or not told:
            return []
        best = find_leaders(told)
        rng = random.Random(f"{self.problem.seed}/{batch}")  # noqa: S311 - a search, not a secret
        known, near = {verdict.settings for verdict in told}, dict[Settings, None]()
        wanted = max(0, room - math.ceil(room / 4))
        in_turn = chain.from_iterable(zip_longest(*(step_away(settings, rng) for settings in best)))
        for settings in map(self.problem.as_searched, filter(None, in_turn)):
            if len(near) == wanted:
                break
            if settings not in known:
                near[settings] = None
        return list(near)

    @property
    def _may_give_up(self) -> bool:
        """Ranks judge a mean, of one objective; a worst case they do not."""
        return self.strategy.with_pruner and not self.strategy.pareto and self.problem.referee.goals.over == "mean"

    def _open(self, place: str | Path) -> None:
        self.storage = Storage(place, self.problem.name(self.strategy))
        for params, replays in self.storage.read():
            settings = self.problem.settings_of(params)
            if len(replays) > len(self.answers.get(settings, [])):
                self.answers[settings] = list(replays)
            self.kept[settings] = max(len(replays), self.kept.get(settings, 0))

    def _judge(self, asked: Sequence[optuna.Trial]) -> list[Verdict]:
        """The verdicts on one batch. All its trials are replayed on the first seeds, then those that may be good."""
        referee = self.problem.referee
        chosen = [self.problem.settings_of(trial.params) for trial in asked]
        used, alive = [0] * len(asked), list(range(len(asked)))
        for seeds in self._rounds():
            self._measure([chosen[number] for number in alive], seeds)
            for number in alive:
                used[number] = seeds * referee.places
            if seeds < len(referee.seeds):
                alive = [
                    number for number in alive if not self._is_hopeless(asked[number], chosen[number], used[number])
                ]
        self._report_rest(asked, chosen, used)
        verdicts = [
            referee.rule(settings, self.answers[settings][:count]) for settings, count in zip(chosen, used, strict=True)
        ]
        for verdict in verdicts:
            self._keep(verdict.settings, verdict)
        return verdicts

    def _keep(self, settings: Settings, verdict: Verdict) -> None:
        replays = self.answers[settings]
        if self.storage and len(replays) > self.kept.get(settings, 0):
            self.storage.add(self.problem.params_of(settings), self.problem.distributions, verdict, replays)
            self.kept[settings] = len(replays)

    def _rounds(self) -> list[int]:
        """Seeds that are done after each round."""
        referee = self.problem.referee
        every = len(referee.seeds)
        if not self._may_give_up:
            return [every]
        first = math.ceil(_FEWEST_PAIRS / (referee.places * referee.runs))
        return [*range(min(first, every), every), every]

    def _measure(self, wanted: Sequence[Settings], seeds: int) -> None:
        """Answers for the first `seeds` seeds, where they are not known."""
        referee = self.problem.referee
        units = [(seed, place) for seed in referee.seeds[:seeds] for place in range(referee.places)]
        missing = [
            (settings, unit)
            for settings in dict.fromkeys(wanted)
            for unit in units[len(self.answers.setdefault(settings, [])) :]
        ]
        tasks = [Task(settings, *unit, referee.first_day) for settings, unit in missing]
        for (settings, _), replay in zip(missing, referee.workers.measure(tasks, referee.runs), strict=True):
            self.answers[settings].append(replay)
            self.done += 1
            self.on_replays(1)

    def _is_hopeless(self, trial: optuna.Trial, settings: Settings, used: int) -> bool:
        self._report(trial, settings, used)
        return trial.should_prune()

    def _report_rest(self, asked: Sequence[optuna.Trial], chosen: Sequence[Settings], used: Sequence[int]) -> None:
        if self._may_give_up:
            for trial, settings, count in zip(asked, chosen, used, strict=True):
                self._report(trial, settings, count)

    def _report(self, trial: optuna.Trial, settings: Settings, used: int) -> None:
        """The cost of every run so far; what was reported before is not again."""
        costs = self.problem.referee.find_costs(settings, self.answers[settings][:used])
        reported = len(trial.storage.get_trial(trial._trial_id).intermediate_values)
        for step, cost in enumerate(cost for runs in costs for cost in runs):
            if step >= reported:
                trial.report(cost, step)


def _make_pruner() -> BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it has been that for years
        return WilcoxonPruner(p_threshold=_GIVE_UP_P)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna logs warnings only, and is left as it was found."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
