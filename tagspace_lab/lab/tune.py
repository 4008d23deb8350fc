"""Searches the settings that suit spaces and scenarios best, and proves them on seeds and days of their own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tagspace_lab.errors import InputError
from tagspace_lab.lab.comparison import draw_seeds, find_last_days
from tagspace_lab.lab.exhaustive import find_regret
from tagspace_lab.lab.finals import choose, choose_front
from tagspace_lab.lab.goals import name_missed
from tagspace_lab.lab.objective import Goals, Referee
from tagspace_lab.lab.replay import as_settings
from tagspace_lab.lab.search import VARIED, Problem, Strategy, Trial, quiet, search
from tagspace_lab.lab.storages import name_storage
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.lab.verify import verify_with
from tagspace_lab.lab.watch import View, watch
from tagspace_lab.lab.workers import AnyScenario, AnySpace, Workers, require_counts
from tagspace_lab.settings import Settings

__all__ = ["StudyInterrupted", "tune"]

FINAL_SEEDS = 16
PROOF_SEEDS = 10


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a study; its text says how many trials are kept, and how to go on."""

    def __init__(self, done: int, trials: int, storage: str | Path | None) -> None:
        kept = (
            f"kept in {name_storage(storage)}; the same command goes on from there"
            if storage
            else "lost: no storage was named"
        )
        super().__init__(f"Interrupted: {done} of {trials} trials are {kept}.")
        self.done, self.trials, self.storage = done, trials, storage


def tune(
    space: AnySpace,
    scenario: AnyScenario = "openai-tier1",
    settings: Settings | str | Path | None = None,
    *,
    trials: int = 40,
    seeds: int = 3,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    batch: int = 4,
    vary: Sequence[str] = VARIED,
    pareto: bool = False,
    exhaustive: bool = False,
    storage: str | Path | None = None,
    scheduler: str | None = None,
    goals: Goals = Goals(),  # noqa: B008 - immutable
    progress: bool = True,
) -> Tuned:
    """Search for settings that beat `settings` (default: today's), and prove them on seeds that the search never saw.

    Every trial is replayed on the same `seeds` seeds, `runs` times each (run 1 with a cold cache, each later one
    with a warm cache, after one more day of edits); `goals` say what is sought. Lists of spaces or scenarios are
    all replayed, each space against each scenario, and `goals.over` says how they count together. The first trials
    are today's settings, those that the bound suggests and the conservative ones; a trial that is worse than the
    best beyond doubt is given up between seeds. Then the best that keep the goals, one for every fourth trial, are
    measured on eight fresh seeds, and the better half of them on eight more; the best is compared with today's
    settings on ten others, on the last days of the spaces' edits where they know enough of them. Where it is not
    better beyond doubt there, today's settings are the result, unless they miss a limit that it keeps.

    `pareto` seeks the front of makespan, tokens and 429s instead, and takes its knee. `exhaustive` measures a whole
    grid of what `vary` names, too, and the study's regret against it. The result depends on `seed` and `batch` (the
    trials that are asked before one of them is told) but not on `jobs`, nor on whether the study was interrupted, nor
    on where it ran: `scheduler` is the address of a dask scheduler. `storage` is a journal file, made where there is
    none, or a database, `postgresql://user:password@host/database`; either holds any number of studies, and only the
    very same problem goes on. Ctrl-C raises StudyInterrupted, a KeyboardInterrupt; InputError for what cannot be read.
    """
    require_counts(trials=trials, seeds=seeds, runs=runs, batch=batch)
    varied = _check_varied(vary)
    if pareto:
        goals = replace(goals, seek="balanced")
    if storage is not None:
        name_storage(storage)
    strategy = Strategy(batch=batch, pareto=pareto)
    today, done = as_settings(settings), list[Trial]()
    try:
        with Workers(space, scenario, jobs, scheduler=scheduler) as workers, quiet():
            replays = trials * seeds * len(workers.places)
            with watch(replays, "replay", "tuning", shown=progress) as view:
                referee = Referee.prepare(workers, today, goals, draw_seeds("study", seed, seeds), runs)
                problem = Problem(referee, today, seed, varied)
                with closing(search(problem, trials, strategy, storage, view.advance)) as found:
                    for trial in found:
                        done.append(trial)
                        _tell_best(view, done)
            final = Referee.prepare(workers, today, goals, draw_seeds("finals", seed, max(seeds, FINAL_SEEDS)), runs)
            front = choose_front(final, today, done, progress=progress) if pareto else None
            winner = front.verdicts[front.at] if front else choose(final, today, done, progress=progress)
            todays = final.rule(today, final.todays)
            missed = name_missed(todays.excess) if winner.feasible else ()
            fresh, days = draw_seeds("proof", seed, PROOF_SEEDS), find_last_days(workers.places, runs)
            proof = verify_with(
                workers, _sides(today, winner.settings), fresh, runs, first_day=days, goals=goals, progress=progress
            )
            regret = (
                find_regret(problem, winner.settings, final.seeds, fresh, progress=progress) if exhaustive else None
            )
    except KeyboardInterrupt:
        raise StudyInterrupted(len(done), trials, storage) from None
    return Tuned(proof, goals, referee.seeds, tuple(done), missed, front, regret)


def _sides(today: Settings, winner: Settings) -> list[tuple[str, Settings]]:
    shipped = [(name, as_settings(name)) for name in ("default", "conservative")]
    return [("today", today), ("tuned", winner), *shipped]


def _check_varied(vary: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in vary if name not in VARIED]
    if unknown or not vary:
        raise InputError(f"vary is {', '.join(unknown) or 'empty'}; allowed: one or more of {', '.join(VARIED)}.")
    return tuple(name for name in VARIED if name in vary)


def _tell_best(view: View, trials: Sequence[Trial]) -> None:
    """From the study's seeds: nothing that may be exported."""
    kept = [trial.verdict for trial in trials if trial.verdict.feasible]
    if kept:
        best = min(kept, key=lambda verdict: verdict.objective_s).measured
        view.tell(best_s=best.makespan_s, rate_limit_share=best.rate_limit_share, concurrency=best.concurrency)
