"""What a study costs: 40 trials of six replays of `medium` by the wall, and what it adds to the replays themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module

from benchmarks.figures import Figure, Stopwatch, fresh

__all__ = ["measure"]

_SCENARIO = "openai-tier1"
_JOBS = 2
_WALL_S, _SHARE, _FIRST_S = 30.0, 0.10, 1.0


def measure() -> Iterator[Figure]:
    wall_s, first_s, own_s = _tune(_JOBS)  # not `fresh`: that process would wait for its idle workers
    what = f"a study of `medium`, 40 trials x 6 replays, {_JOBS} processes"
    told = f"{wall_s:.1f} s, of which this process {own_s:.1f} CPU s"
    yield Figure(f"{what}, with its proof", f"< {_WALL_S:g} s", told, wall_s < _WALL_S)
    yield Figure(f"{what}: first sign of progress", f"< {_FIRST_S:g} s", f"{first_s:.2f} s", first_s < _FIRST_S)
    share, study_s, imports_s = fresh(_overhead)
    told = f"{share:.1%} of {study_s:.1f} CPU s; importing scipy's tests once in a process: {imports_s:.1f} s more"
    yield Figure("the same in one process: what is not replaying", f"< {_SHARE:.0%}", told, share < _SHARE)


def _tune(jobs: int) -> tuple[float, float, float]:
    """Wall s of a study with finals and proof, wall s until its bar first moves, and CPU s of this process."""
    from tagspace_lab.lab import search
    from tagspace_lab.lab.tune import tune
    from tagspace_lab.settings import Settings

    first_s: list[float] = []
    measure = search._Study._measure

    def watched(study: search._Study, wanted: Sequence[Settings], seeds: int) -> None:
        told = study.on_replays

        def tell(count: int) -> None:
            first_s.append(watch.wall_s)
            told(count)

        study.on_replays = tell
        measure(study, wanted, seeds)

    search._Study._measure = watched  # type: ignore[assignment, method-assign]
    watch = Stopwatch()
    tune("medium", _SCENARIO, jobs=jobs, progress=False)
    return watch.wall_s, first_s[0], watch.cpu_s


def _overhead() -> tuple[float, float, float]:
    """Share of a search's CPU s that is not spent in replays, these CPU s, and those of the import of scipy.stats.

    Optuna's pruner brings that along when it first judges.
    """
    from tagspace_lab.lab.comparison import draw_seeds
    from tagspace_lab.lab.objective import Goals, Referee
    from tagspace_lab.lab.report import RunSummary
    from tagspace_lab.lab.search import Problem, Strategy, quiet, search
    from tagspace_lab.lab.workers import Task, Workers
    from tagspace_lab.settings import Settings

    class Timed(Workers):
        spent_s = 0.0

        def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
            for task in tasks:
                watch = Stopwatch()
                replay = next(super().measure([task], runs))
                self.spent_s += watch.cpu_s
                yield replay

    imports = Stopwatch()
    import_module("scipy.stats")

    imports_s = imports.cpu_s
    with Timed("medium", _SCENARIO) as workers, quiet():
        whole = Stopwatch()
        referee = Referee.prepare(workers, Settings(), Goals(), draw_seeds("study", 0, 3), 2)
        list(search(Problem(referee, Settings(), 0), 40, Strategy()))
        return 1 - workers.spent_s / whole.cpu_s, whole.cpu_s, imports_s
