"""A grid becomes a table: every combination, seed and run, in order, however many processes made it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd
import pytest

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.replay import as_space, measure
from tagspace_lab.lab.sweep import sweep, weigh_settings
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import load_scenario


def sweep_small(grid: dict[str, Any], **options: Any) -> pd.DataFrame:
    return sweep("small", "openai-tier1", grid, progress=False, **options)


def test_one_row_a_combination_seed_and_run() -> None:
    frame = sweep_small({"batch_size": [1, 5], "cache_enabled": [True, False]}, seeds=2, seed=7)
    assert list(frame.columns[:4]) == ["batch_size", "cache_enabled", "seed", "run"]
    wanted = [(size, on, seed, run) for size in (1, 5) for on in (True, False) for seed in (7, 8) for run in (1, 2)]
    assert list(frame.iloc[:, :4].itertuples(index=False, name=None)) == wanted
    assert frame["f1"].dtype == "float64"
    assert frame.attrs["notes"] == []


def test_rows_are_what_a_replay_measures() -> None:
    frame = sweep_small({"batch_size": [3]}, seed=5)
    runs = measure(as_space("small"), load_scenario("openai-tier1"), Settings(batch_size=3), seed=5)
    assert frame.drop(columns=["batch_size", "seed"]).to_dict("records") == [asdict(run) for run in runs]


def test_same_table_from_two_processes() -> None:
    grid = {"batch_size": [1, 4], "ai_concurrency": [2, 6]}
    pd.testing.assert_frame_equal(sweep_small(grid, seeds=2), sweep_small(grid, seeds=2, jobs=2))


@pytest.mark.parametrize(
    ("grid", "pairs"),
    [
        ({"ai_concurrency": [2, 16]}, [(2, 10), (16, 16)]),
        ({"max_ai_concurrency": [2, 16]}, [(2, 2), (3, 16)]),
    ],
)
def test_start_and_ceiling_follow_each_other(grid: dict[str, list[int]], pairs: list[tuple[int, int]]) -> None:
    frame = sweep_small(grid, runs=1)
    assert list(zip(frame["ai_concurrency"], frame["max_ai_concurrency"], strict=True)) == pairs


def test_impossible_pairs_are_left_out_and_said() -> None:
    frame = sweep_small({"ai_concurrency": [2, 8], "max_ai_concurrency": [4, 8]}, runs=1)
    assert len(frame) == 3
    assert frame.attrs["notes"] == ["1 of 4 combinations were left out: ai_concurrency is above max_ai_concurrency."]
    with pytest.raises(SettingsError, match="above every max_ai_concurrency"):
        sweep_small({"ai_concurrency": [8], "max_ai_concurrency": [4]})


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"bach_size": [1]}, "TAG_SPACE_BACH_SIZE is not a setting; did you mean TAG_SPACE_BATCH_SIZE"),
        ({"batch_size": [5, 0]}, "TAG_SPACE_BATCH_SIZE is 0; allowed: an integer from 1 to 50"),
        ({"max_ai_concurrency": [101]}, "TAG_SPACE_MAX_AI_CONCURRENCY is 101; allowed: an integer from 1 to 100"),
        ({"batch_size": 5}, "batch_size is 5; allowed: a list"),
        ({"throttle": "fixed"}, "throttle is 'fixed'; allowed: a list"),
        ({"batch_size": []}, "allowed: a list of at least one value"),
        ({}, "The grid is empty"),
    ],
)
def test_wrong_grid_is_refused(grid: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        sweep_small(grid)


@pytest.mark.parametrize("option", ["seeds", "runs", "jobs"])
def test_counts_start_at_one(option: str) -> None:
    with pytest.raises(InputError, match=f"{option} is 0; allowed: an integer from 1"):
        sweep_small({"batch_size": [1]}, **{option: 0})


def test_settings_are_weighed_by_what_each_explains_alone() -> None:
    rows = [
        {"batch_size": size, "cache_enabled": on, "seed": seed, "makespan_s": size**2 * (2.0 if on else 1.0) * noise}
        for size in (1, 4, 16)
        for on in (False, True)
        for seed, noise in ((0, 0.5), (1, 1.5))
    ]
    weights = weigh_settings(pd.DataFrame(rows))
    assert list(weights.index) == ["batch_size", "cache_enabled"]
    assert weights.sum() == pytest.approx(1)
    assert weights["batch_size"] == pytest.approx(8 * 16 / 3 / (8 * 16 / 3 + 1))  # variances of log2: 4 x 8/3, 1/4


def test_what_only_two_settings_do_together_counts_for_neither() -> None:
    rows = [
        {"batch_size": size, "cache_enabled": on, "makespan_s": 2.0 if on == (size == 1) else 1.0}
        for size in (1, 5)
        for on in (False, True)
    ]
    assert list(weigh_settings(pd.DataFrame(rows))) == [0, 0]


def test_nothing_to_weigh_is_refused() -> None:
    frame = pd.DataFrame({"batch_size": [1, 1], "makespan_s": [3.0, 4.0]})
    with pytest.raises(InputError, match="vary at least one"):
        weigh_settings(frame)
