"""A grid of settings, replayed in parallel into one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.replay import as_settings
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.watch import watch
from tagspace_lab.lab.workers import Task, Workers, require_counts
from tagspace_lab.records import Space
from tagspace_lab.settings import LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.scenario import Scenario

__all__ = ["sweep", "weigh_settings"]

GRID: Mapping[str, Sequence[Any]] = MappingProxyType({"batch_size": [1, 5, 10], "ai_concurrency": [2, 4, 8]})
"""What is swept when nothing else is said."""

_START, _CEILING = "ai_concurrency", "max_ai_concurrency"


def sweep(
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    grid: Mapping[str, Sequence[Any]] = GRID,
    *,
    settings: Settings | str | Path | None = None,
    seeds: int = 1,
    seed: int = 0,
    runs: int = 2,
    jobs: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Replay every combination of `grid` (setting -> values to try) with the seeds from `seed` on.

    One row a combination, seed and run, in this order, the last setting of the grid changing fastest;
    the same for any number of `jobs`. Columns: the varied settings, `seed`, then those of
    :class:`~tagspace_lab.lab.report.RunSummary`, beginning with `run`; `f1` is NaN without gold labels.

    The concurrency that a run starts with and its ceiling follow each other where only one of them is
    varied: the ceiling rises to the start, the start falls to the ceiling, and both have a column.
    Where both are varied, combinations with a start above the ceiling are left out, which
    `frame.attrs["notes"]` says. Raises SettingsError for an unknown setting or a wrong value.
    """
    require_counts(seeds=seeds, runs=runs)
    points, notes = _combine(_check(grid), as_settings(settings))
    tasks = [Task(point, seed + offset) for point in points for offset in range(seeds)]
    names = _columns(grid)
    with Workers(space, scenario, jobs) as workers:
        (place,) = workers.places
        rows, title = list[dict[str, Any]](), f"{place.space.name} on {place.scenario.name}"
        with watch(len(tasks), "replay", title, shown=progress) as view:
            for task, replay in zip(tasks, workers.measure(tasks, runs), strict=True):
                rows += _rows(names, task, replay)
                view.advance()
    frame = pd.DataFrame(rows).astype({"f1": "float64"})
    frame.attrs["notes"] = notes
    return frame


def weigh_settings(frame: pd.DataFrame, value: str = "makespan_s") -> pd.Series:
    """How much each setting mattered in a sweep's `frame`: setting -> share (float64, 0 to 1), the largest first.

    The share of the variance of log `value` that the means at each of its values explain alone (main effects, means
    over seeds and runs first). What two settings do only together counts for neither, so that the shares fall short
    of 1 by that much; they hold for this grid and no other. A study's trials are not weighed so: they crowd around
    the best, where settings move together. Drop a concurrency that only follows its ceiling first. InputError where
    no setting varies or a value is not above 0.
    """
    names = [name for name in Settings.model_fields if name in frame and frame[name].nunique() > 1]
    if not names or not (frame[value] > 0).all():
        raise InputError(f"the settings cannot be weighed: vary at least one, and choose a {value} that is above 0.")
    points = frame.groupby(names, as_index=False)[value].mean()
    logs = np.log(points[value])
    whole = logs.var() or 1.0
    shares = {name: logs.groupby(points[name]).transform("mean").var() / whole for name in names}
    return pd.Series(shares, dtype="float64", name="share").sort_values(ascending=False, kind="stable")


def _check(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of each setting, typed, each once. A value is judged alone: what it is combined with comes later."""
    if not grid:
        raise SettingsError("The grid is empty; name a setting and the values to try, such as batch_size: 1, 5, 10.")
    checked: dict[str, list[Any]] = {}
    values: Any
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise SettingsError(f"{name} is {values!r}; allowed: a list of at least one value.")
        room: dict[str, Any] = {_START: 1, _CEILING: LARGEST_CONCURRENCY}
        alone = (Settings(**(room | {name: value})) for value in values)
        checked[name] = list(dict.fromkeys(getattr(point, name) for point in alone))
    return checked


def _combine(grid: dict[str, list[Any]], settings: Settings) -> tuple[list[Settings], list[str]]:
    """The settings to replay, and what has to be said about those that are not."""
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    adjusted = [_adjust(changes, settings) for changes in combinations]
    possible = [changes for changes in adjusted if changes.get(_START, 1) <= changes.get(_CEILING, 1)]
    left_out = len(adjusted) - len(possible)
    if not possible:
        raise SettingsError(f"Every {_START} of the grid is above every {_CEILING}; raise the latter.")
    notes = [f"{left_out} of {len(adjusted)} combinations were left out: {_START} is above {_CEILING}."]
    return [settings.with_changes(**changes) for changes in possible], notes if left_out else []


def _adjust(changes: dict[str, Any], settings: Settings) -> dict[str, Any]:
    if _START in changes and _CEILING not in changes:
        return changes | {_CEILING: max(settings.max_ai_concurrency, changes[_START])}
    if _CEILING in changes and _START not in changes:
        return changes | {_START: min(settings.ai_concurrency, changes[_CEILING])}
    return changes


def _columns(grid: Mapping[str, Sequence[Any]]) -> list[str]:
    partners = {_START: _CEILING, _CEILING: _START}
    return list(dict.fromkeys([*grid, *(partners[name] for name in grid if name in partners)]))


def _rows(names: list[str], task: Task, replay: list[RunSummary]) -> Iterator[dict[str, Any]]:
    varied = {name: getattr(task.settings, name) for name in names}
    for summary in replay:
        yield varied | {"seed": task.seed} | asdict(summary)
