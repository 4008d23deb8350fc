"""How far a study's settings are from the best of a whole grid, beside other ways to search, over 20 study seeds.

The truth is measured on seeds that neither the grid nor any study saw. What has been measured is kept in a folder, so
that a stopped benchmark goes on: name it in TAGSPACE_BENCH, else it is build/regret.

Usage: python -m benchmarks.regret [study seeds [those of the other arms [processes]]]
It writes its own section of RESULTS.md.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from joblib import Parallel, delayed

from benchmarks.results import format_table, write_section
from tagspace_lab.lab.comparison import draw_seeds
from tagspace_lab.lab.exhaustive import find_best, lay_grid
from tagspace_lab.lab.finals import choose
from tagspace_lab.lab.objective import Goals, Referee
from tagspace_lab.lab.search import Problem, Strategy, Trial, quiet, search
from tagspace_lab.lab.tune import FINAL_SEEDS
from tagspace_lab.lab.workers import Workers
from tagspace_lab.settings import Settings

__all__ = ["ARMS", "report", "summarise"]

SPACE: Final = "medium"
SCENARIOS: Final = ("openai-tier1", "guide", "self-hosted")
HELD_OUT: Final = ("penalty", "openai-tier2")
TRIALS, SEEDS, RUNS = 40, 3, 2
_GRID_SEEDS, _CHOOSING_SEEDS, _TRUTH_SEEDS = 2, 12, 24
_CONTENDERS: Final = 60
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
_TODAY: Final = "today's settings"
_MEDIAN, _P95 = 0.01, 0.03
_HEADING: Final = "Regret of a study"


def study(arm: str, scenario: str, seed: int) -> dict[str, Any]:
    """The objective of one result, and of today's settings, on the truth's seeds."""
    today, strategy = Settings(), ARMS[arm]
    with Workers(SPACE, scenario) as workers, quiet():
        referee = _referee(workers, draw_seeds("study", seed, SEEDS))
        trials = list(search(Problem(referee, today, seed), TRIALS, strategy))
        if arm.startswith(_TARGET):
            final = _referee(workers, draw_seeds("finals", seed, FINAL_SEEDS))
            chosen = choose(final, today, trials, progress=False).settings
        else:
            chosen = _best_seen(trials, today)
    truth = _truth(scenario)
    (verdict,) = truth.judge([chosen])
    partial = sum(trial.verdict.is_partial for trial in trials)
    todays = _jsonable(truth.rule(today, truth.todays))
    return {"settings": chosen.to_variables(), "partial": partial, "today": todays, **_jsonable(verdict)}


def grid(scenario: str) -> dict[str, Any]:
    """The best of the grid, its objective on the truth's seeds, and how many points there are."""
    with Workers(SPACE, scenario) as workers:
        referee = _referee(workers, draw_seeds("verify", 901, _GRID_SEEDS))
        points = lay_grid(Problem(referee, Settings(), 0))
        choosing = draw_seeds("verify", 902, _CHOOSING_SEEDS)
        best = find_best(list(referee.judge(points)), referee, choosing, _CONTENDERS)
    (verdict,) = _truth(scenario).judge([best])
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


@cache
def _truth(scenario: str) -> Referee:
    return _referee(Workers(SPACE, scenario), draw_seeds("verify", 900, _TRUTH_SEEDS))


def _kept(arm: str, scenario: str, seed: int) -> dict[str, Any]:
    """The result of `grid` or, for the name of an arm, `study`: from the folder where it is there."""
    path = _FOLDER / f"{re.sub('[^a-z]+', '-', arm.lower())}-{scenario}-{seed}.json"
    if not path.is_file():
        result = study(arm, scenario, seed) if arm in ARMS else grid(scenario)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def main(study_seeds: int = 20, others: int = 20, processes: int = 2) -> int:
    """The exit code: 1 where the target is missed. `others`: study seeds of the arms beside this study."""
    began = time.perf_counter()
    everywhere = (*SCENARIOS, *HELD_OUT)
    jobs = [("grid", scenario, 0) for scenario in everywhere]
    jobs += [(_TARGET, scenario, seed) for seed in range(study_seeds) for scenario in everywhere]
    jobs += [
        (arm, scenario, seed) for seed in range(others) for scenario in SCENARIOS for arm in ARMS if arm != _TARGET
    ]
    done = Parallel(processes, return_as="generator", batch_size=1)(delayed(_kept)(*job) for job in jobs)
    results = {}
    for job, result in zip(jobs, done, strict=True):
        results[job] = result
        print(f"{time.perf_counter() - began:6.0f} s  {' '.join(map(str, job))}", flush=True)
    body, holds = report(results)
    write_section(_HEADING, body)
    print(body)
    return 0 if holds else 1


def report(results: Mapping[tuple[str, str, int], dict[str, Any]]) -> tuple[str, bool]:
    """The section, and whether the target holds."""
    grids = {scenario: result for (arm, scenario, _), result in results.items() if arm == "grid"}
    rows, every = [], {name: list[tuple[float, bool]]() for name in (*ARMS, _TODAY)}
    for scenario, name in [*product(SCENARIOS, every), *product(HELD_OUT, (_TARGET, _TODAY))]:
        found = _regrets(results, scenario, name)
        rows.append((scenario, name, *_words(found)))
        if scenario in SCENARIOS:
            every[name] += found
    rows += [("the first three", name, *_words(found)) for name, found in every.items()]
    total = summarise([regret for regret, _ in every[_TARGET]])
    holds = total["median"] <= _MEDIAN and total["p95"] <= _P95
    told = ", ".join(f"{scenario} {grid['points']:,}" for scenario, grid in grids.items())
    best = "; ".join(
        f"{scenario} {_spell(grid['settings'])}: {grid['objective_s']:.2f} s" for scenario, grid in grids.items()
    )
    head = f"""\
`python -m benchmarks.regret` writes this section. {TRIALS} trials of {SEEDS} seeds x {RUNS} runs on {SPACE}, one for
each study seed. The objective of each result on {_TRUTH_SEEDS} seeds that nothing else saw, over that of the best point
of a grid, less 1; below 0 the study found better than any point. All points of the grid
({told}) are replayed on {_GRID_SEEDS} seeds, the best {_CONTENDERS} on {_CHOOSING_SEEDS} others, the best of
these on the truth's. "Misses a goal" counts results that do not keep all goals (5 % 429s, .02 of F1, no more errors)
on the truth's seeds. The arms other than this study believe their own seeds.

Guesses, design and steps were chosen while the first three scenarios and halving were looked at;
{" and ".join(HELD_OUT)} were measured afterwards. That finalists which keep a limit go before today's settings that
miss it was changed then, for penalty: hardly anything there keeps 5 % of 429s, the best point of the grid only just.

Best points (start-ceiling, batch, cache): {best}.

Target: a regret of at most {_MEDIAN:.0%} in the median and {_P95:.0%} at the 95th percentile over the first three:
{"holds" if holds else "MISSED"} ({total["median"]:+.1%}, {total["p95"]:+.1%}).
"""
    columns = ("scenario", "search", "studies", "median", "95th percentile", "worst", "misses a goal")
    return f"{head}\n{format_table(columns, rows)}", holds


def _regrets(
    results: Mapping[tuple[str, str, int], dict[str, Any]], scenario: str, name: str
) -> list[tuple[float, bool]]:
    """Regret and whether all goals are kept, of each study; today's settings count once."""
    best_s = results["grid", scenario, 0]["objective_s"]
    if name == _TODAY:
        ends = [results[_TARGET, scenario, 0]["today"]]
    else:
        ends = [end for (arm, place, _), end in results.items() if (arm, place) == (name, scenario)]
    return [(end["objective_s"] / best_s - 1, end["feasible"]) for end in ends]


def _words(found: Sequence[tuple[float, bool]]) -> tuple[str, ...]:
    numbers = summarise([regret for regret, _ in found])
    missed = sum(not feasible for _, feasible in found)
    return f"{len(found)}", *(f"{number:+.1%}" for number in numbers.values()), f"{missed}"


def _spell(variables: Mapping[str, str]) -> str:
    start, ceiling, batch, cache, size = (
        variables[f"TAG_SPACE_{name}"]
        for name in ("AI_CONCURRENCY", "MAX_AI_CONCURRENCY", "BATCH_SIZE", "CACHE_ENABLED", "CACHE_SIZE")
    )
    return f"{start}-{ceiling}, {batch}, {size if cache == 'true' else 'off'}"


if __name__ == "__main__":
    from benchmarks.regret import main  # the processes know what it calls by that name

    sys.exit(main(*map(int, sys.argv[1:])))
