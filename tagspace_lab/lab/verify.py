"""One profile beside others on seeds and days that no study saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd

from tagspace_lab.errors import InputError
from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.comparison import Comparison, compare, draw_seeds, find_last_days
from tagspace_lab.lab.facts import rounded, scenario_facts, space_facts
from tagspace_lab.lab.objective import Goals, Replays, find_price, pool
from tagspace_lab.lab.replay import as_settings
from tagspace_lab.lab.watch import watch
from tagspace_lab.lab.workers import AnyScenario, AnySpace, Task, Workers, require_counts
from tagspace_lab.settings import Settings

__all__ = ["Side", "Verification", "verify", "verify_with"]


@dataclass(frozen=True, slots=True)
class Side:
    """Settings by name, and their replays: seed by seed, and there place by place."""

    name: str
    settings: Settings
    replays: Replays


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """Settings side by side on the same seeds, places and days: those before, those after, and others to look at.

    A place is a space and a scenario; each counts as much as any other. `gain` is the share that `after` saves of
    what the goal seeks (the time, where it is `fastest`), 1 - its cost / that of `before`, and `interval` its 95 %
    interval: percentiles of 10,000 resamples of the seeds, all replays of a seed kept together (paired bootstrap).
    `first_day` is the day of the spaces' edits on which each replay began, with a cold cache.
    """

    places: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    sides: tuple[Side, ...]
    seeds: tuple[int, ...]
    goals: Goals
    first_day: int

    @property
    def space(self) -> dict[str, Any]:
        """Name, key, pages and content hash; those of several spaces joined."""
        return _join([space for space, _ in self.places])

    @property
    def scenario(self) -> dict[str, Any]:
        """Name and content hash; those of several scenarios joined."""
        return _join([scenario for _, scenario in self.places])

    @property
    def title(self) -> str:
        return f"{self.space['name']} on {self.scenario['name']}"

    @property
    def names(self) -> tuple[str, str]:
        return self.sides[0].name, self.sides[1].name

    @property
    def settings(self) -> tuple[Settings, Settings]:
        return self.sides[0].settings, self.sides[1].settings

    @property
    def before(self) -> Replays:
        return self.sides[0].replays

    @property
    def after(self) -> Replays:
        return self.sides[1].replays

    @property
    def holds(self) -> bool:
        """Whether `after` is better beyond doubt (the whole interval above 0), nowhere worse beyond doubt, and ends
        no more pages as errors."""
        return self.interval[0] > 0 and self._more_errors <= 0 and not self._worse

    @property
    def gain(self) -> float:
        return self._comparison().gain

    @property
    def interval(self) -> tuple[float, float]:
        return self._comparison().interval

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a run, one for `all`, and where there are several places one for each; the index is `run`.

        Columns: before_s and after_s (median makespan over the seeds, in s; of several runs their sum, of several
        places their mean), gain, gain_low, gain_high (shares, 95 % interval), and `before_` and `after_` of
        rate_limit_share (429s per request), tokens (mean of a run), f1 (NaN without gold labels) and errors (pages, of
        all seeds).
        """
        runs = range(len(self.before[0]))
        rows = {**{str(run + 1): self._row(run=run) for run in runs}, "all": self._row()}
        if len(self.places) > 1:
            rows |= {self._place_name(place): self._row(place=place) for place in range(len(self.places))}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run").astype({"before_f1": "float64"})

    def to_dict(self) -> dict[str, Any]:
        """The document that `verify --json` prints; numbers are rounded to 6 decimals, F1 may be null."""
        rows: list[dict[Any, Any]] = self.table.reset_index().to_dict("records")
        before, after, *others = ({"name": side.name, "settings": side.settings.to_variables()} for side in self.sides)
        return {
            "space": self.space,
            "scenario": self.scenario,
            "goals": self.goals.to_dict(),
            "before": before,
            "after": after,
            "beside": [
                other | {"makespan_s": round(self.makespan_s(side), 6)}
                for other, side in zip(others, self.sides[2:], strict=True)
            ],
            "seeds": list(self.seeds),
            "first_day": self.first_day,
            "holds": self.holds,
            "runs": [rounded(row) for row in rows],
        }

    def overview(self) -> pd.DataFrame:
        """The table in words: one column for each settings, and after the first two one for the gain."""
        columns = {side.name: self._words(side) for side in self.sides}
        gains = [
            f"{row['gain']:+.1%} [{row['gain_low']:+.1%}, {row['gain_high']:+.1%}]" for _, row in self.table.iterrows()
        ]
        gained = gains + [""] * (len(columns[self.sides[0].name]) - len(gains))
        rows = [*self._places_named(), "429s", "tokens of a run", "F1", "errors"]
        frame = pd.DataFrame(columns, index=rows)
        frame.insert(2, f"{self.goals.prices.word} saved", gained)
        return frame

    def verdict(self) -> str:
        """One sentence."""
        worded = f"{self.word_gain()} over {len(self.seeds)} fresh seeds"
        if self.holds:
            return f"{self.names[1]} holds: it {worded}, with no more errors."
        if self.settings[0] == self.settings[1]:
            return f"{self.names[1]} does not hold against {self.names[0]}: it says the same settings."
        why = "that may be chance" if self.interval[1] > 0 else f"it is not {_MORE[self.goals.seek]}"
        if self._worse:
            why = f"it is worse on {', '.join(self._worse)}"
        if self._more_errors > 0:
            why = f"{self._more_errors} more pages ended as errors"
        return f"{self.names[1]} does not hold against {self.names[0]}: it {worded}; {why}."

    def word_gain(self, *, with_interval: bool = True) -> str:
        """What is saved, or needed more: `saves 12.0% of the time [9.1%, 14.2%]`."""
        word, (low, high) = self.goals.prices.word, self.interval
        if self.gain < 0:
            told, ends = f"needs {-self.gain:.1%} more {word}", (-high, -low)
        else:
            told, ends = f"saves {self.gain:.1%} of the {word}", (low, high)
        return told + (f" [{ends[0]:.1%}, {ends[1]:.1%}]" if with_interval else "")

    def __repr__(self) -> str:
        return f"{self.overview().to_string()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        title = f"{self.space['name']}: {self.space['pages']} pages, scenario {self.scenario['name']}"
        return render_card(title, self.overview(), [self.verdict()])

    def gains(self, row: str = "all") -> list[float]:
        """Of each seed: the share that `after` saves, in one row of `table`. Their spread is behind the interval."""
        named = {self._place_name(place): place for place in range(len(self.places))}
        run, place = int(row) - 1 if row.isdigit() else None, named.get(row)
        before, after = (self._costs(side, run, place) for side in self.sides[:2])
        return [1 - late / early if early else 0.0 for early, late in zip(before, after, strict=True)]

    @property
    def _more_errors(self) -> int:
        return pool(self.after).errors - pool(self.before).errors

    @property
    def _worse(self) -> list[str]:
        """Of several places those where `after` is worse beyond doubt."""
        places = range(len(self.places) if len(self.places) > 1 else 0)
        return [self._place_name(place) for place in places if self._comparison(place=place).interval[1] < 0]

    def _place_name(self, place: int) -> str:
        space, scenario = self.places[place]
        return f"{space['name']} on {scenario['name']}"

    def _places_named(self) -> list[str]:
        named = {"all": "all runs"}
        return [
            f"makespan, {named.get(row, f'run {row}' if row.isdigit() else row)}" for row in map(str, self.table.index)
        ]

    def _words(self, side: Side) -> list[str]:
        runs = range(len(side.replays[0]))
        spans = [self.makespan_s(side, run=run) for run in runs] + [self.makespan_s(side)]
        if len(self.places) > 1:
            spans += [self.makespan_s(side, place=place) for place in range(len(self.places))]
        measured = pool(side.replays)
        return [
            *(f"{span:.1f} s" for span in spans),
            f"{measured.rate_limit_share:.2%}",
            f"{measured.tokens:,.0f}",
            "no gold labels" if measured.f1 is None else f"{measured.f1:.3f}",
            f"{measured.errors}",
        ]

    def _select(self, side: Side, run: int | None = None, place: int | None = None) -> Replays:
        replays = side.replays if place is None else side.replays[place :: len(self.places)]
        return replays if run is None else [[replay[run]] for replay in replays]

    def makespan_s(self, side: Side, run: int | None = None, place: int | None = None) -> float:
        """Median over the seeds of the mean over the places of the sum over the runs."""
        spans = [sum(summary.makespan_s for summary in replay) for replay in self._select(side, run, place)]
        step = len(self.places) if place is None else 1
        return median(fmean(spans[start : start + step]) for start in range(0, len(spans), step))

    def _costs(self, side: Side, run: int | None, place: int | None) -> list[float]:
        """Of each seed: what its replays cost, each place in units of what it costs `before`."""
        chosen = range(len(self.places)) if place is None else [place]
        totals = [0.0] * len(self.seeds)
        for number in chosen:
            unit = sum(self._prices(self.sides[0], None, number)) if len(chosen) > 1 else 1.0
            for at, price in enumerate(self._prices(side, run, number)):
                totals[at] += price / unit if unit else 0.0
        return totals

    def _prices(self, side: Side, run: int | None, place: int) -> list[float]:
        prices = self.goals.prices
        return [sum(find_price(one, prices) for one in runs) for runs in self._select(side, run, place)]

    def _comparison(self, run: int | None = None, place: int | None = None) -> Comparison:
        before, after = self.sides[:2]
        return compare(self._costs(before, run, place), self._costs(after, run, place))

    def _row(self, run: int | None = None, place: int | None = None) -> dict[str, Any]:
        comparison = self._comparison(run, place)
        sides = {"before": self.sides[0], "after": self.sides[1]}
        pooled = {name: pool(self._select(side, run, place)) for name, side in sides.items()}
        return {
            **{f"{name}_s": self.makespan_s(side, run, place) for name, side in sides.items()},
            "gain": comparison.gain,
            "gain_low": comparison.interval[0],
            "gain_high": comparison.interval[1],
            **{f"{name}_rate_limit_share": numbers.rate_limit_share for name, numbers in pooled.items()},
            **{f"{name}_tokens": numbers.tokens for name, numbers in pooled.items()},
            **{f"{name}_f1": numbers.f1 for name, numbers in pooled.items()},
            **{f"{name}_errors": numbers.errors for name, numbers in pooled.items()},
        }


_MORE = {"fastest": "faster", "cheapest": "cheaper", "gentlest": "gentler", "balanced": "better"}


def verify(
    profile: Settings | str | Path,
    space: AnySpace,
    scenario: AnyScenario = "openai-tier1",
    *,
    against: Settings | str | Path = "default",
    beside: Sequence[str | Path] = ("conservative",),
    seeds: int = 10,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    scheduler: str | None = None,
    goals: Goals = Goals(),  # noqa: B008 - immutable
    progress: bool = True,
) -> Verification:
    """Replay `profile` and `against` on the same fresh seeds, which no study of any seed draws, and on the last days.

    A space that knows edits is replayed from the last `runs` of its days on: a study begins with its first.
    `beside` are profiles to look at. Lists of spaces or scenarios are all replayed, each space against each
    scenario. Raises InputError for what cannot be read, and for a single seed: it has no interval.
    """
    require_counts(seeds=seeds, runs=runs)
    if seeds < 2:
        raise InputError(f"seeds is {seeds}; allowed: an integer from 2, or the gain has no interval.")
    chosen = [(_name(each), as_settings(each)) for each in (against, profile, *beside)]
    with Workers(space, scenario, jobs, scheduler=scheduler) as workers:
        return verify_with(
            workers,
            chosen,
            draw_seeds("verify", seed, seeds),
            runs,
            first_day=find_last_days(workers.places, runs),
            goals=goals,
            progress=progress,
        )


def verify_with(
    workers: Workers,
    chosen: Sequence[tuple[str, Settings]],
    seeds: Sequence[int],
    runs: int,
    *,
    first_day: int = 0,
    goals: Goals = Goals(),  # noqa: B008 - immutable
    progress: bool = True,
) -> Verification:
    """The same with workers that are there already, and names, seeds and days of the caller's choice.

    Of `chosen` the first is `before`, the second `after`; one that is beside them and equals `before` is left out.
    """
    pair, before = list(chosen[:2]), chosen[0][1]
    kept = pair + [(name, settings) for name, settings in chosen[2:] if settings != before]
    places = range(len(workers.places))
    distinct = list(dict.fromkeys(settings for _, settings in kept))
    tasks = [Task(settings, seed, place, first_day) for settings in distinct for seed in seeds for place in places]
    replays, size = [], len(seeds) * len(places)
    with watch(len(tasks), "replay", "verifying", shown=progress) as view:
        for replay in workers.measure(tasks, runs):
            replays.append(replay)
            view.advance()
    of: Mapping[Settings, Replays] = {
        settings: replays[number * size : (number + 1) * size] for number, settings in enumerate(distinct)
    }
    return Verification(
        places=tuple((space_facts(space), scenario_facts(scenario)) for space, scenario in workers.places),
        sides=tuple(Side(name, settings, of[settings]) for name, settings in kept),
        seeds=tuple(seeds),
        goals=goals,
        first_day=first_day,
    )


def _join(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The facts of several things as one: texts with a plus between them, numbers added up, each thing once."""
    each = list({fact["content_hash"]: fact for fact in facts}.values())
    return {
        name: "+".join(fact[name] for fact in each) if isinstance(value, str) else sum(fact[name] for fact in each)
        for name, value in each[0].items()
    }


def _name(profile: Settings | str | Path) -> str:
    return "settings" if isinstance(profile, Settings) else Path(profile).stem
