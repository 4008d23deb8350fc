"""Searches the settings that suit a space and a scenario best. The only home of optuna.

A study is parallel, repeatable and resumable at once, because trials are asked in batches of a fixed
size, each from a sampler of its own seed, and told in the order in which they were asked, whichever
process measured them. Asking happens in memory, every time from the start; the journal keeps the
answers. A study that goes on asks the same questions again and finds their answers there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState, create_trial
from tqdm.auto import tqdm

from tagspace_lab import __version__
from tagspace_lab.errors import InputError
from tagspace_lab.lab.objective import Goals, Measured, Referee, Verdict
from tagspace_lab.lab.replay import as_settings
from tagspace_lab.lab.tuned import Trial, Tuned
from tagspace_lab.lab.verify import draw_seeds, verify_with
from tagspace_lab.lab.workers import Workers, require_counts
from tagspace_lab.records import Space
from tagspace_lab.settings import LARGEST_BATCH, LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.scenario import Scenario

__all__ = ["StudyInterrupted", "tune"]

BATCH = 4
"""Trials that are asked before any of them is told, whatever the number of jobs: it decides what is asked."""

_FINALISTS = 4
FINAL_SEEDS = 6
PROOF_SEEDS = 10


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a study; its text says how many trials are kept, and how to go on."""

    def __init__(self, done: int, trials: int, storage: str | Path | None) -> None:
        kept = f"kept in {storage}; the same command goes on from there" if storage else "lost: no storage was named"
        super().__init__(f"Interrupted: {done} of {trials} trials are {kept}.")
        self.done, self.trials, self.storage = done, trials, storage


def tune(
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    settings: Settings | str | Path | None = None,
    *,
    trials: int = 40,
    seeds: int = 3,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    storage: str | Path | None = None,
    goals: Goals = Goals(),  # noqa: B008 - immutable
    progress: bool = True,
) -> Tuned:
    """Search for settings that beat `settings` (default: today's), and prove them on seeds that the search never saw.

    Every trial is replayed on the same `seeds` seeds, `runs` times each (cold, then after one more day of
    edits); :mod:`tagspace_lab.lab.objective` says what is sought. Trial 0 are today's settings. Then today's
    and the best four that keep the goals are measured on six fresh seeds; the best of these is compared
    with today's on ten more. Where it does not save time beyond doubt there, today's settings are the result.

    The result depends on `seed` but not on `jobs`, nor on whether the study was interrupted. `storage` is
    a journal file, made where there is none; one file holds any number of studies, and only the very same
    problem goes on. Ctrl-C raises StudyInterrupted, a KeyboardInterrupt; InputError for what cannot be read.
    """
    require_counts(trials=trials, seeds=seeds, runs=runs)
    today, done = as_settings(settings), list[Trial]()
    try:
        with Workers(space, scenario, jobs) as workers, _quiet(), _bar(trials, shown=progress) as bar:
            referee = Referee.prepare(workers, today, goals, draw_seeds("study", seed, seeds), runs)
            for trial in _search(_Problem(referee, today, seed), trials, storage):
                done.append(trial)
                bar.update()
                bar.set_postfix_str(_best_so_far(done))
            winner = _choose(workers, today, goals, done, draw_seeds("finals", seed, max(seeds, FINAL_SEEDS)), runs)
            pair, fresh = (today, winner), draw_seeds("proof", seed, PROOF_SEEDS)
            proof = verify_with(workers, pair, ("today", "tuned"), fresh, runs, progress=False)
    except KeyboardInterrupt:
        raise StudyInterrupted(len(done), trials, storage) from None
    return Tuned(proof, goals, referee.seeds, tuple(done))


@dataclass(frozen=True)
class _Problem:
    """What is searched: `ai_concurrency` as a share of the way from 1 to the ceiling, so that it never exceeds it.

    Ceiling and batch size cover all that the settings allow, on log scales like the cache size, which goes
    from a tenth of the space to twice its size, and as far as today's.
    """

    referee: Referee
    today: Settings
    seed: int

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        pages, kept = len(self.referee.workers.space), self.today.cache_size
        return {
            "max_ai_concurrency": IntDistribution(1, LARGEST_CONCURRENCY, log=True),
            "start_share": FloatDistribution(0.0, 1.0),
            "batch_size": IntDistribution(1, LARGEST_BATCH, log=True),
            "cache_enabled": CategoricalDistribution([True, False]),
            "cache_size": IntDistribution(max(1, min(pages // 10, kept)), max(2 * pages, kept), log=True),
        }

    def settings_of(self, params: dict[str, Any]) -> Settings:
        """A cache that is off keeps today's size: nothing depends on it."""
        changes = dict(params)
        share, ceiling = changes.pop("start_share"), changes["max_ai_concurrency"]
        if not changes["cache_enabled"]:
            changes["cache_size"] = self.today.cache_size
        return self.today.with_changes(ai_concurrency=1 + round(share * (ceiling - 1)), **changes)

    def params_of(self, settings: Settings) -> dict[str, Any]:
        start, ceiling = settings.ai_concurrency, settings.max_ai_concurrency
        searched = {name: getattr(settings, name) for name in self.distributions if name != "start_share"}
        return {"start_share": (start - 1) / max(1, ceiling - 1)} | searched

    def first_guesses(self) -> dict[str, Settings]:
        """Today's settings, and what the bound suggests: as many calls as fit all their latencies into it."""
        slow, pages = self.referee.one_by_one, len(self.referee.workers.space)
        wanted = math.ceil(slow.concurrency * slow.makespan_s / slow.best_bound_s) if slow.best_bound_s else 1
        ceiling = min(max(1, wanted), LARGEST_CONCURRENCY)
        guess = self.today.with_changes(
            ai_concurrency=math.ceil(ceiling / 2),
            max_ai_concurrency=ceiling,
            cache_enabled=True,
            cache_size=max(1, pages),
        )
        return {"today": self.today, "bound": guess}

    @property
    def name(self) -> str:
        """The study's: another problem, another program or another optuna has another name.

        What today's settings measure at batch size 1 stands for all of the program that acts.
        """
        referee, space, scenario = self.referee, self.referee.workers.space, self.referee.workers.scenario
        facts = (
            *(space.content_hash, scenario.content_hash, self.today.to_variables(), referee.one_by_one),
            *(referee.goals, referee.seeds, referee.runs, self.seed, BATCH, __version__, optuna.__version__),
        )
        return f"{space.name}-{scenario.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _search(problem: _Problem, trials: int, storage: str | Path | None) -> Iterator[Trial]:
    """The trials, in the order in which they were asked."""
    journal = _Journal(Path(storage), problem.name) if storage else None
    answers = journal.read(problem) if journal else {}
    study = optuna.create_study()
    guesses = problem.first_guesses()
    for guess in guesses.values():
        study.enqueue_trial(problem.params_of(guess))
    origins = dict(enumerate(guesses))
    for batch in range(math.ceil(trials / BATCH)):
        study.sampler = TPESampler(seed=int(np.random.SeedSequence([problem.seed, batch]).generate_state(1)[0]))
        asked = [study.ask(problem.distributions) for _ in range(min(BATCH, trials - batch * BATCH))]
        candidates = [problem.settings_of(trial.params) for trial in asked]
        unknown = [settings for settings in dict.fromkeys(candidates) if settings not in answers]
        for verdict in problem.referee.judge(unknown):
            answers[verdict.settings] = verdict.measured
            if journal:
                journal.add(problem, verdict)
        for trial, settings in zip(asked, candidates, strict=True):
            verdict = problem.referee.rule(settings, answers[settings])
            for goal, excess in verdict.excess.items():
                trial.set_constraint(goal, excess)
            study.tell(trial, verdict.objective_s)
            yield Trial(trial.number, origins.get(trial.number, "search"), verdict)


class _Journal:
    """The measurements of a study in a file that optuna and its dashboard read, too."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path = path.absolute()  # optuna's lock is a link to it, and a relative one would dangle
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file that a journal could be kept in; name another.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            storage = JournalStorage(JournalFileBackend(str(path)))
            self._study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        except OSError as error:
            raise InputError(f"{path} cannot be used: {error.strerror}; name a file in a writable folder.") from error
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged ({error}); move it away, and the study starts again.") from error

    def read(self, problem: _Problem) -> dict[Settings, Measured]:
        """What is known already."""
        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return {problem.settings_of(trial.params): Measured(**trial.user_attrs) for trial in finished}

    def add(self, problem: _Problem, verdict: Verdict) -> None:
        """One finished trial, in one line: there is no half-kept one."""
        trial = create_trial(
            value=verdict.objective_s,
            params=problem.params_of(verdict.settings),
            distributions=problem.distributions,
            constraints=verdict.excess,
            user_attrs=asdict(verdict.measured),
        )
        try:
            self._study.add_trial(trial)
        except OSError as error:
            raise InputError(f"{self._path} cannot be written: {error.strerror}; free space, or move it.") from error


def _mend(path: Path) -> None:
    """Cuts off the line that a killed process left unfinished: optuna would write on behind it and spoil the file."""
    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("r+b") as file:
            content = file.read()
            if content and not content.startswith(b'{"op_code":'):
                raise InputError(f"{path} is not a study journal; name another file.")
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _choose(
    workers: Workers, today: Settings, goals: Goals, trials: list[Trial], seeds: list[int], runs: int
) -> Settings:
    """The best of the finalists on fresh seeds; today's settings where none of them is better."""
    kept = sorted((trial for trial in trials if trial.verdict.feasible), key=lambda trial: trial.verdict.objective_s)
    ranking = list(dict.fromkeys(trial.verdict.settings for trial in kept if trial.verdict.settings != today))
    referee = Referee.prepare(workers, today, goals, seeds, runs)
    todays, *finalists = referee.judge([today, *ranking[:_FINALISTS]])
    return min([verdict for verdict in finalists if verdict.feasible] or [todays], key=lambda v: v.objective_s).settings


def _bar(trials: int, *, shown: bool) -> tqdm[Any]:
    return tqdm(total=trials, unit="trial", desc="tuning", disable=not shown)


def _best_so_far(trials: list[Trial]) -> str:
    """For the progress bar, from the study's seeds: nothing that may be exported."""
    kept = [trial.verdict.measured.makespan_s for trial in trials if trial.verdict.feasible]
    best = f"{min(kept):.1f} s" if kept else "none yet"
    return f"today {trials[0].verdict.measured.makespan_s:.1f} s, best {best}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna logs warnings only, and is left as it was found."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
