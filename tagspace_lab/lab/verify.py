"""One profile beside another on seeds that no study saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from tagspace_lab.errors import InputError
from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.facts import rounded, scenario_facts, space_facts
from tagspace_lab.lab.objective import pool
from tagspace_lab.lab.replay import as_settings
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.workers import Task, Workers, require_counts
from tagspace_lab.records import Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario

__all__ = ["STREAMS", "Comparison", "Verification", "compare", "draw_seeds", "verify"]

STREAMS = ("study", "finals", "proof", "verify")
"""What seeds are drawn for; no two of them ever share one."""

_CONFIDENCE = 0.95
_RESAMPLES = 10_000

Replays = Sequence[Sequence[RunSummary]]


def draw_seeds(purpose: str, seed: int, count: int) -> list[int]:
    """`count` seeds that only this purpose gets, whatever its `seed` and that of the others."""
    return [len(STREAMS) * (1000 * seed + number) + STREAMS.index(purpose) for number in range(count)]


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """Two settings on the same seeds: `before` and `after` hold, seed by seed, the summaries of each run.

    `gain` is the share of time that `after` saves, 1 - sum of its makespans / sum of those of `before`,
    and `interval` its 95 % interval: percentiles of 10,000 resamples of the seeds, the two settings of a
    seed kept together (paired bootstrap).
    """

    space: dict[str, Any]
    scenario: dict[str, Any]
    names: tuple[str, str]
    settings: tuple[Settings, Settings]
    seeds: tuple[int, ...]
    before: Replays
    after: Replays

    @property
    def holds(self) -> bool:
        """Whether `after` is faster beyond doubt (the whole interval above 0) and ends no more pages as errors."""
        return self.interval[0] > 0 and self._more_errors <= 0

    @property
    def _more_errors(self) -> int:
        return pool(self.after).errors - pool(self.before).errors

    @property
    def gain(self) -> float:
        return self._comparison(None).gain

    @property
    def interval(self) -> tuple[float, float]:
        return self._comparison(None).interval

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a run and one for `all`, the index `run`.

        Columns: before_s and after_s (median makespan over the seeds, in s; for `all` the sum of the runs),
        gain, gain_low, gain_high (shares, 95 % interval), and `before_` and `after_` of rate_limit_share (429s per
        request), f1 (NaN without gold labels) and errors (pages, all seeds together).
        """
        runs = range(len(self.before[0]))
        rows = {**{str(run + 1): self._row(run) for run in runs}, "all": self._row(None)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run").astype({"before_f1": "float64"})

    def to_dict(self) -> dict[str, Any]:
        """The document that `verify --json` prints; numbers are rounded to 6 decimals, F1 may be null."""
        rows: list[dict[Any, Any]] = self.table.reset_index().to_dict("records")
        return {
            "space": self.space,
            "scenario": self.scenario,
            "before": {"name": self.names[0], "settings": self.settings[0].to_variables()},
            "after": {"name": self.names[1], "settings": self.settings[1].to_variables()},
            "seeds": list(self.seeds),
            "holds": self.holds,
            "runs": [rounded(row) for row in rows],
        }

    def overview(self) -> pd.DataFrame:
        """The table in words: one column for each settings and one for the gain."""
        before, after = self.names
        rows = {}
        for run, row in self.table.iterrows():
            place = "all runs" if run == "all" else f"run {run}"
            gain = f"{row['gain']:+.1%} [{row['gain_low']:+.1%}, {row['gain_high']:+.1%}]"
            rows[f"makespan, {place}"] = (f"{row['before_s']:.1f} s", f"{row['after_s']:.1f} s", gain)
        for name, worded in (("rate_limit_share", "429s"), ("f1", "F1"), ("errors", "errors")):
            ends = [_word(name, self.table.loc["all", f"{side}_{name}"]) for side in ("before", "after")]
            rows[worded] = (ends[0], ends[1], "")
        return pd.DataFrame.from_dict(rows, orient="index", columns=[before, after, "time saved"])

    def verdict(self) -> str:
        """One sentence."""
        low, high = self.interval
        worded = f"{self.gain:.1%} of the time [{low:.1%}, {high:.1%}] over {len(self.seeds)} fresh seeds"
        if self.holds:
            return f"{self.names[1]} holds: it saves {worded}, with no more errors."
        more = f"{self._more_errors} more pages ended as errors"
        why = more if self._more_errors > 0 else "that may be chance" if high > 0 else "it is not faster"
        return f"{self.names[1]} does not hold against {self.names[0]}: it saves {worded}; {why}."

    def __repr__(self) -> str:
        return f"{self.overview().to_string()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        title = f"{self.space['name']}: {self.space['pages']} pages, scenario {self.scenario['name']}"
        return render_card(title, self.overview(), [self.verdict()])

    def _comparison(self, run: int | None) -> Comparison:
        return compare(_makespans(self.before, run), _makespans(self.after, run))

    def _row(self, run: int | None) -> dict[str, Any]:
        comparison = self._comparison(run)
        sides = {"before": self.before, "after": self.after}
        pooled = {side: pool(_select(replays, run)) for side, replays in sides.items()}
        return {
            **{f"{side}_s": median(_makespans(replays, run)) for side, replays in sides.items()},
            "gain": comparison.gain,
            "gain_low": comparison.interval[0],
            "gain_high": comparison.interval[1],
            **{f"{side}_rate_limit_share": numbers.rate_limit_share for side, numbers in pooled.items()},
            **{f"{side}_f1": numbers.f1 for side, numbers in pooled.items()},
            **{f"{side}_errors": numbers.errors for side, numbers in pooled.items()},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The share of time saved, and its interval."""

    gain: float
    interval: tuple[float, float]


def compare(before_s: Sequence[float], after_s: Sequence[float]) -> Comparison:
    """The gain of paired makespans. The resampling has a fixed seed: the same numbers give the same interval."""
    before, after = np.asarray(before_s, "float64"), np.asarray(after_s, "float64")
    drawn = np.random.default_rng(0).integers(len(before), size=(_RESAMPLES, len(before)))
    gains = 1 - _ratio(after[drawn].sum(axis=1), before[drawn].sum(axis=1))
    low, high = np.quantile(gains, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Comparison(float(1 - _ratio(after.sum(), before.sum())), (float(low), float(high)))


def _ratio(after_s: Any, before_s: Any) -> Any:
    """After to before, 1 where neither takes any time."""
    return np.divide(after_s, before_s, out=np.ones_like(after_s), where=before_s > 0)


def verify(
    profile: Settings | str | Path,
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    *,
    against: Settings | str | Path = "default",
    seeds: int = 10,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    progress: bool = True,
) -> Verification:
    """Replay `profile` and `against` on the same fresh seeds, which no study of any seed draws.

    Raises InputError for a profile, space or scenario that cannot be read, and for a single seed: it has
    no interval.
    """
    require_counts(seeds=seeds, runs=runs)
    if seeds < 2:
        raise InputError(f"seeds is {seeds}; allowed: an integer from 2, or the gain has no interval.")
    pair = as_settings(against), as_settings(profile)
    with Workers(space, scenario, jobs) as workers:
        return verify_with(
            workers, pair, (_name(against), _name(profile)), draw_seeds("verify", seed, seeds), runs, progress=progress
        )


def verify_with(
    workers: Workers,
    settings: tuple[Settings, Settings],
    names: tuple[str, str],
    seeds: Sequence[int],
    runs: int,
    *,
    progress: bool = True,
) -> Verification:
    """The same with workers that are there already and seeds of the caller's choice."""
    space, scenario = workers.space, workers.scenario
    tasks = [Task(chosen, seed) for seed in seeds for chosen in settings]
    bar = tqdm(workers.measure(tasks, runs), total=len(tasks), unit="replay", desc="verifying", disable=not progress)
    replays = list(bar)
    return Verification(
        space=space_facts(space),
        scenario=scenario_facts(scenario),
        names=names,
        settings=settings,
        seeds=tuple(seeds),
        before=replays[::2],
        after=replays[1::2],
    )


def _name(profile: Settings | str | Path) -> str:
    return "settings" if isinstance(profile, Settings) else Path(profile).stem


def _select(replays: Replays, run: int | None) -> Replays:
    return replays if run is None else [[replay[run]] for replay in replays]


def _makespans(replays: Replays, run: int | None) -> list[float]:
    """Of each seed, in s."""
    return [sum(summary.makespan_s for summary in replay) for replay in _select(replays, run)]


def _word(name: str, value: Any) -> str:
    if name == "rate_limit_share":
        return f"{value:.2%}"
    if name == "f1":
        return "no gold labels" if pd.isna(value) else f"{value:.3f}"
    return f"{value:.0f}"
