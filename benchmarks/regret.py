"""How far a study's settings are from the best of a whole grid, beside other ways to search, over 20 study seeds.

The truth is measured on seeds that neither the grid nor any study saw. What has been measured is kept in a folder, so
that a stopped benchmark goes on: name it in TAGSPACE_BENCH, else it is build/regret.

Usage: python -m benchmarks.regret [study seeds [processes]]; it writes its own section of RESULTS.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from joblib import Parallel, delayed

from benchmarks.results import format_table, write_section
from tagspace_lab.lab.comparison import draw_seeds
from tagspace_lab.lab.exhaustive import find_best, lay_grid
from tagspace_lab.lab.objective import Goals, Referee
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.search import Problem, Strategy, Trial, quiet, search
from tagspace_lab.lab.tune import FINAL_SEEDS, choose
from tagspace_lab.lab.workers import Task, Workers
from tagspace_lab.settings import Settings

__all__ = ["ARMS", "summarise"]

SPACE: Final = "medium"
SCENARIOS: Final = ("openai-tier1", "guide", "self-hosted")
TRIALS, SEEDS, RUNS = 40, 3, 2
_GRID_SEEDS, _CHOOSING_SEEDS, _TRUTH_SEEDS = 2, 12, 24
_FOLDER: Final = Path(os.environ.get("TAGSPACE_BENCH") or "build/regret")

_PLAIN: Final = Strategy(with_limits=False, with_pruner=False, with_steps=False)
_RANDOM: Final = replace(_PLAIN, sampler="random")
ARMS: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "this study": Strategy(),
        "this study, nothing enqueued": Strategy(with_guesses=False),
        "plain TPE": replace(_PLAIN, with_guesses=False),
        "plain TPE, the same enqueued": _PLAIN,
        "random search": replace(_RANDOM, with_guesses=False),
        "random search, the same enqueued": _RANDOM,
    }
)
_TARGET: Final = "this study"
_MEDIAN, _P95 = 0.01, 0.03
_HEADING: Final = "Regret of a study"


class Remembering(Workers):
    """Workers that make no replay twice: the arms of one study seed share what they ask for."""

    def __init__(self, scenario: str) -> None:
        super().__init__(SPACE, scenario)
        self._known: dict[Task, list[RunSummary]] = {}

    def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
        for task in tasks:
            if task not in self._known:
                self._known[task] = next(super().measure([task], runs))
            yield self._known[task]


def study(scenario: str, seed: int) -> dict[str, dict[str, Any]]:
    """By arm: the objective of its result and of today's settings on the truth's seeds, and what it took."""
    today, ends = Settings(), {}
    with Remembering(scenario) as workers, quiet():
        referee = _referee(workers, draw_seeds("study", seed, SEEDS))
        final = _referee(workers, draw_seeds("finals", seed, FINAL_SEEDS))
        truth = _referee(workers, _truth_seeds())
        for name, strategy in ARMS.items():
            asked: list[int] = []
            trials = list(search(Problem(referee, today, seed), TRIALS, strategy, None, asked.append))
            chosen = choose(final, today, trials) if name.startswith(_TARGET) else _best_seen(trials, today)
            (verdict,) = truth.judge([chosen])
            ends[name] = {
                "objective_s": verdict.objective_s,
                "feasible": verdict.feasible,
                "excess": verdict.excess,
                "today_s": truth.rule(today, truth.todays).objective_s,
                "settings": chosen.to_variables(),
                "partial": sum(trial.verdict.is_partial for trial in trials),
            }
    return ends


def grid(scenario: str) -> dict[str, Any]:
    """The best of the grid, its objective on the truth's seeds, and how many points there are."""
    with Workers(SPACE, scenario) as workers:
        referee = _referee(workers, draw_seeds("verify", 901, _GRID_SEEDS))
        points = lay_grid(Problem(referee, Settings(), 0))
        best = find_best(list(referee.judge(points)), referee, draw_seeds("verify", 902, _CHOOSING_SEEDS))
        (verdict,) = _referee(workers, _truth_seeds()).judge([best])
    return {"points": len(points), "settings": best.to_variables(), **_jsonable(verdict)}


def summarise(regrets: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and worst."""
    return {
        "median": float(np.median(regrets)),
        "p95": float(np.quantile(regrets, 0.95)),
        "worst": float(max(regrets)),
    }


def _jsonable(verdict: Any) -> dict[str, Any]:
    return {"objective_s": verdict.objective_s, "feasible": verdict.feasible, "measured": asdict(verdict.measured)}


def _best_seen(trials: Sequence[Trial], today: Settings) -> Settings:
    """What a study says that believes its own numbers."""
    kept = [trial.verdict for trial in trials if trial.verdict.feasible]
    return min(kept, key=lambda verdict: verdict.objective_s).settings if kept else today


def _referee(workers: Workers, seeds: Sequence[int]) -> Referee:
    return Referee.prepare(workers, Settings(), Goals(), seeds, RUNS)


def _truth_seeds() -> list[int]:
    return draw_seeds("verify", 900, _TRUTH_SEEDS)


def _kept(kind: str, scenario: str, seed: int = 0) -> dict[str, Any]:
    """The result of `study` or `grid`, from the folder where it is there."""
    path = _FOLDER / f"{kind}-{scenario}-{seed}.json"
    if not path.is_file():
        result = study(scenario, seed) if kind == "study" else grid(scenario)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def main(study_seeds: int = 20, processes: int = 2) -> int:
    """The exit code: 1 where the target is missed."""
    began = time.perf_counter()
    jobs = [("grid", scenario, 0) for scenario in SCENARIOS]
    jobs += [("study", scenario, seed) for seed in range(study_seeds) for scenario in SCENARIOS]
    done = Parallel(processes, return_as="generator", batch_size=1)(delayed(_kept)(*job) for job in jobs)
    results = {}
    for job, result in zip(jobs, done, strict=True):
        results[job] = result
        print(f"{time.perf_counter() - began:6.0f} s  {' '.join(map(str, job))}", flush=True)
    body, holds = _report(results, study_seeds)
    write_section(_HEADING, body)
    print(body)
    return 0 if holds else 1


def _report(results: Mapping[tuple[str, str, int], dict[str, Any]], study_seeds: int) -> tuple[str, bool]:
    grids = {scenario: results["grid", scenario, 0] for scenario in SCENARIOS}
    rows, every, infeasible = [], {name: list[float]() for name in (*ARMS, "today's settings")}, dict[str, int]()
    for scenario in SCENARIOS:
        best_s = grids[scenario]["objective_s"]
        ends = [results["study", scenario, seed] for seed in range(study_seeds)]
        for name in every:
            values = [end[name]["objective_s"] if name in ARMS else end[_TARGET]["today_s"] for end in ends]
            regrets = [value / best_s - 1 for value in values]
            every[name] += regrets
            missed = sum(not end[name]["feasible"] for end in ends) if name in ARMS else 0
            infeasible[name] = infeasible.get(name, 0) + missed
            rows.append((scenario, name, *_words(regrets), f"{missed} of {study_seeds}"))
    for name, regrets in every.items():
        rows.append(("all three", name, *_words(regrets), f"{infeasible[name]} of {len(regrets)}"))
    found = summarise(every[_TARGET])
    holds = found["median"] <= _MEDIAN and found["p95"] <= _P95
    told = ", ".join(f"{scenario} {grids[scenario]['points']:,}" for scenario in SCENARIOS)
    best = "; ".join(
        f"{scenario} {_spell(grids[scenario]['settings'])}: {grids[scenario]['objective_s']:.2f} s"
        for scenario in SCENARIOS
    )
    head = f"""\
`python -m benchmarks.regret` writes this section. {TRIALS} trials of {SEEDS} seeds x {RUNS} runs on {SPACE},
{study_seeds} study seeds. The objective of each result on {_TRUTH_SEEDS} seeds that nothing else saw, over that of the
best point of a grid, less 1; below 0 the study found better than any point. All points of the grid ({told}) are
replayed on {_GRID_SEEDS} seeds, the best 20 on {_CHOOSING_SEEDS} others, the best of these on the truth's. "Misses a
goal" counts the results that do not keep all goals (5 % 429s, .02 of F1, no more errors) on the truth's seeds. The
arms other than this study believe their own seeds.

Best points (start-ceiling, batch, cache): {best}.

Target: a regret of at most {_MEDIAN:.0%} in the median and {_P95:.0%} at the 95th percentile over all three:
{"holds" if holds else "MISSED"} ({found["median"]:+.1%}, {found["p95"]:+.1%}).
"""
    table = format_table(("scenario", "search", "median", "95th percentile", "worst", "misses a goal"), rows)
    return f"{head}\n{table}", holds


def _words(regrets: Sequence[float]) -> tuple[str, str, str]:
    found = summarise(regrets)
    return f"{found['median']:+.1%}", f"{found['p95']:+.1%}", f"{found['worst']:+.1%}"


def _spell(variables: Mapping[str, str]) -> str:
    start, ceiling, batch, cache, size = (
        variables[f"TAG_SPACE_{name}"]
        for name in ("AI_CONCURRENCY", "MAX_AI_CONCURRENCY", "BATCH_SIZE", "CACHE_ENABLED", "CACHE_SIZE")
    )
    return f"{start}-{ceiling}, {batch}, {size if cache == 'true' else 'off'}"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
