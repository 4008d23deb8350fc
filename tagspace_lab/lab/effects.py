"""What two profiles do, not only what they say: both replayed with the same luck, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagspace_lab.errors import InputError
from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.comparison import draw_seeds, find_last_days
from tagspace_lab.lab.facts import rounded, scenario_facts, space_facts
from tagspace_lab.lab.profiles import Change, Profile, diff_profiles
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.watch import watch
from tagspace_lab.lab.workers import Task, Workers, require_counts
from tagspace_lab.records import Space
from tagspace_lab.settings import PREFIX
from tagspace_lab.twin.scenario import Scenario

__all__ = ["Effects", "measure_effects", "word_change"]

_RESAMPLES = 10_000
_QUANTILES = (0.025, 0.975)

Replays = Sequence[Sequence[RunSummary]]

_WORDS = {
    "AI_CONCURRENCY": "concurrency",
    "MAX_AI_CONCURRENCY": "ceiling",
    "CACHE_ENABLED": "cache",
}


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A ratio of two sums over runs. `relative`: its change is a share of what it was before."""

    name: str
    amount: Callable[[RunSummary], float | None]
    per: Callable[[RunSummary], float]
    word: Callable[[float], str]
    unit: str = "%"
    relative: bool = False

    def sums(self, replays: Replays) -> np.ndarray:
        """Amount and divisor of each seed, an array of seeds x 2; NaN where a run has no such amount."""
        sides = [[[take(run) for run in replay] for replay in replays] for take in (self.amount, self.per)]
        return np.column_stack([np.asarray(side, "float64").sum(axis=1) for side in sides])

    def change(self, before: Any, after: Any) -> Any:
        if not self.relative:
            return after - before
        return np.divide(after, before, out=np.ones_like(after), where=before > 0) - 1


def _makespan(number: int | None = None) -> _Quantity:
    """Of one run, or the mean of all."""

    def is_meant(run: RunSummary) -> bool:
        return number is None or run.run == number

    return _Quantity(
        "makespan" if number is None else f"makespan, run {number}",
        amount=lambda run: run.makespan_s * is_meant(run),
        per=lambda run: float(is_meant(run)),
        word="{:.1f} s".format,
        relative=True,
    )


def _share(name: str, amount: Callable[[RunSummary], float], per: Callable[[RunSummary], float]) -> _Quantity:
    return _Quantity(name, amount, per, "{:.2%}".format, " points")


def _mean(name: str, amount: Callable[[RunSummary], float | None], word: str, *, relative: bool = False) -> _Quantity:
    return _Quantity(name, amount, lambda run: 1.0, word.format, "%" if relative else "", relative)


_QUANTITIES = (
    _share("429s", lambda run: run.rate_limit_errors, lambda run: run.attempts),
    _mean("tokens of a run", lambda run: run.input_tokens + run.output_tokens, "{:,.0f}", relative=True),
    _mean("calls of a run", lambda run: run.calls, "{:.1f}", relative=True),
    _share("cache hits", lambda run: run.hits, lambda run: run.hits + run.misses),
    _mean("F1", lambda run: run.f1, "{:.3f}"),
    _mean("errors of a run", lambda run: run.errors + run.stopped, "{:.2f}"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Effects:
    """Two profiles on the same seeds. `before` and `after` hold, seed by seed, the summaries of each run."""

    space: dict[str, Any]
    scenario: dict[str, Any]
    profiles: tuple[Profile, Profile]
    seeds: tuple[int, ...]
    before: Replays
    after: Replays

    @property
    def changes(self) -> tuple[Change, ...]:
        """The settings in which they differ."""
        return diff_profiles(*self.profiles)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a quantity, the index `quantity`; F1 only where the space has gold labels.

        Columns: before, after (makespans in s, shares from 0 to 1), change, low, high: the change and its 95 %
        interval, percentiles of 10,000 resamples of the seeds, both profiles of a seed kept together (paired
        bootstrap). Changes of makespans, tokens and calls are shares of what they were, all others differences.
        """
        rows = {quantity.name: self._row(quantity) for quantity in self._quantities()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity").dropna(subset="before")

    def overview(self) -> pd.DataFrame:
        """The table in words: one column for each profile and one for the change."""
        first, second = self.profiles
        rows = [
            (quantity.word(row.before), quantity.word(row.after), _word_change(quantity, row))
            for quantity, row in self._worded_rows()
        ]
        return pd.DataFrame(rows, index=list(self.table.index), columns=[first.name, second.name, "change [95 %]"])

    def verdict(self) -> str:
        """One line: what changes in the settings, and what becomes of makespan, 429s, tokens and F1."""
        said = ", ".join(map(word_change, self.changes)) or "the same settings"
        done = [
            f"{quantity.name.removesuffix(' of a run')} {_word_effect(quantity, row)}"
            for quantity, row in self._worded_rows()
            if quantity.name in ("makespan", "429s", "tokens of a run", "F1")
        ]
        return f"{said}: {', '.join(done)}; over {len(self.seeds)} seeds."

    def to_dict(self) -> dict[str, Any]:
        """The document that `profile diff --json` prints; numbers are rounded to 6 decimals."""
        rows: list[dict[Any, Any]] = self.table.reset_index().to_dict("records")
        return {
            "space": self.space,
            "scenario": self.scenario,
            "seeds": list(self.seeds),
            "effects": [rounded(row) for row in rows],
        }

    def __repr__(self) -> str:
        return f"{self.overview().to_string()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        title = f"{self.space['name']}: {self.space['pages']} pages, scenario {self.scenario['name']}"
        return render_card(title, self.overview(), [self.verdict()])

    def _quantities(self) -> list[_Quantity]:
        runs = [run.run for run in self.before[0]]
        parts = map(_makespan, runs) if len(runs) > 1 else ()
        return [_makespan(), *parts, *_QUANTITIES]

    def _worded_rows(self) -> list[tuple[_Quantity, Any]]:
        quantities = {quantity.name: quantity for quantity in self._quantities()}
        return [(quantities[str(row.Index)], row) for row in self.table.itertuples()]

    def _row(self, quantity: _Quantity) -> dict[str, float]:
        before, after = quantity.sums(self.before), quantity.sums(self.after)
        drawn = np.random.default_rng(0).integers(len(before), size=(_RESAMPLES, len(before)))
        ends = [_ratio(sums.sum(axis=0)) for sums in (before, after)]
        changes = quantity.change(*(_ratio(sums[drawn].sum(axis=1)) for sums in (before, after)))
        low, high = np.quantile(changes, _QUANTILES)
        numbers = (*ends, quantity.change(*ends), low, high)
        return dict(zip(("before", "after", "change", "low", "high"), map(float, numbers), strict=True))


def measure_effects(
    before: Profile,
    after: Profile,
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    *,
    seeds: int = 10,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    progress: bool = True,
) -> Effects:
    """Replay both profiles on the same fresh seeds, which no study of any seed draws, and on the last days of edits.

    Raises InputError for a space or scenario that cannot be read, and for a single seed: it has no interval.
    """
    require_counts(seeds=seeds, runs=runs)
    if seeds < 2:
        raise InputError(f"seeds is {seeds}; allowed: an integer from 2, or the changes have no interval.")
    chosen = draw_seeds("verify", seed, seeds)
    with Workers(space, scenario, jobs) as workers:
        (place,), day = workers.places, find_last_days(workers.places, runs)
        pair = (before.settings, after.settings)
        tasks = [Task(settings, number, first_day=day) for number in chosen for settings in pair]
        replays = []
        with watch(len(tasks), "replay", "comparing", shown=progress) as view:
            for replay in workers.measure(tasks, runs):
                replays.append(replay)
                view.advance()
    facts = space_facts(place.space), scenario_facts(place.scenario)
    return Effects(*facts, (before, after), tuple(chosen), replays[::2], replays[1::2])


def word_change(change: Change) -> str:
    """`concurrency 3 -> 8`."""
    name = change.variable.removeprefix(PREFIX)
    word = _WORDS.get(name, name.lower().replace("_", " "))
    return f"{word} {change.before or 'not set'} -> {change.after or 'not set'}"


def _word_change(quantity: _Quantity, row: Any) -> str:
    """`-22.1% [-27.0, -16.3]`."""
    scale, digits = (100, 1) if quantity.unit else (1, 3)
    numbers = (round(scale * number, digits) + 0.0 for number in (row.change, row.low, row.high))  # no -0.0
    change, low, high = (f"{number:+.{digits}f}" for number in numbers)
    is_doubtful = row.low <= 0 <= row.high and row.low < row.high
    return f"{change}{quantity.unit} [{low}, {high}]{' (may be chance)' * is_doubtful}"


def _word_effect(quantity: _Quantity, row: Any) -> str:
    if quantity.relative:
        return _word_change(quantity, row)
    return f"{quantity.word(row.before)} -> {quantity.word(row.after)}"


def _ratio(sums: np.ndarray) -> Any:
    """Amounts by divisors, 0 where there is nothing to divide by; the last axis holds the two."""
    amounts, pers = sums[..., 0], sums[..., 1]
    return np.divide(amounts, pers, out=np.zeros_like(amounts), where=pers > 0)
