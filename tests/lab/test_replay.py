from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.errors import InputError, ScenarioError, SnapshotError
from tagspace_lab.lab.replay import _require_cache_state, measure, replay
from tagspace_lab.lab.report import Report
from tagspace_lab.lab.snapshots import SnapshotSpace, load_space
from tagspace_lab.policy.limits import LIMITERS
from tagspace_lab.records import Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import load_scenario, shipped_scenarios
from tagspace_lab.twin.spaces import GeneratedSpace

DOCUMENTED = {
    *("pages", "errors", "makespan_s", "bound_s", "best_bound_s", "efficiency", "calls", "rate_limit_errors"),
    *("rate_limit_share", "retries", "fallbacks", "hit_rate", "f1"),
}


@pytest.fixture(scope="module")
def report() -> Report:
    return replay("small", "guide", progress=False)


def test_same_seed_gives_the_same_bytes_in_another_process(report: Report) -> None:
    code = "from tagspace_lab import replay; print(replay('small', 'guide', progress=False).to_json())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == report.to_json()
    assert replay("small", "guide", progress=False).to_json() == report.to_json()


def test_another_seed_gives_another_run(report: Report) -> None:
    assert replay("small", "guide", seed=1, progress=False).runs[0].makespan_s != report.runs[0].makespan_s


def test_document_has_the_promised_keys_and_the_settings(report: Report) -> None:
    document = json.loads(report.to_json())
    assert all(run.keys() >= DOCUMENTED for run in document["runs"])
    assert document["settings"]["TAG_SPACE_BATCH_SIZE"] == "5"
    assert document["space"]["pages"] == 15


def test_second_run_asks_only_for_what_was_edited(report: Report) -> None:
    first, second = report.runs
    assert first.calls == 3
    assert second.calls < first.calls
    assert second.hit_rate > 0.7


def test_run_that_is_not_as_cold_or_warm_as_declared_is_refused() -> None:
    store = MemoryStore(10)
    _require_cache_state(store, is_warm=False)
    with pytest.raises(RuntimeError, match="declared to find its cache warm, and found 0 entries"):
        _require_cache_state(store, is_warm=True)
    store.put("key", (), "S", "run")
    _require_cache_state(store, is_warm=True)
    with pytest.raises(RuntimeError, match="declared to find its cache cold, and found 1 entries"):
        _require_cache_state(store, is_warm=False)


@pytest.mark.parametrize("changes", [{}, {"cache_enabled": False}, {"cache_size": 3}])
def test_first_run_is_cold_and_later_ones_are_warm_where_there_is_a_cache(changes: dict[str, Any]) -> None:
    space, scenario = load_space("small"), load_scenario("openai-tier1")
    cold, *warm = measure(space, scenario, Settings(**changes), runs=3, first_day=2)
    assert cold.hits < cold.misses
    assert all((run.hits > 0) == Settings(**changes).cache_enabled for run in warm)


def test_tables_add_up(report: Report) -> None:
    assert len(report.pages) == 30
    assert report.attempts.groupby("run")["input_tokens"].sum()[1] == report.summary.loc[1, "input_tokens"]
    assert report.concurrency(1).max() == report.runs[0].peak_concurrency
    assert (report.attempts["ended_s"] >= report.attempts["started_s"]).all()
    assert isinstance(report.attempts["outcome"].dtype, pd.CategoricalDtype)
    assert list(report.attempts.columns[-3:]) == ["retry_after_s", "pace_per_s", "queued"]
    assert [str(report.attempts[name].dtype) for name in ("pace_per_s", "queued")] == ["float64", "int64"]
    assert report.attempts["pace_per_s"].isna().all(), "nothing paced: neither inf nor a number"


@pytest.mark.parametrize("scenario", shipped_scenarios())
def test_every_page_comes_out_once_in_every_scenario(scenario: str) -> None:
    report = replay("medium", scenario, progress=False)
    for number, run in enumerate(report.runs, 1):
        ids = report.pages.loc[report.pages["run"] == number, "page_id"]
        assert ids.is_unique
        assert run.pages == len(ids) == 150 == run.tagged + run.cached + run.skipped + run.errors
        assert 0 < run.best_bound_s <= run.bound_s <= run.makespan_s * 1.0001


FIXED, LADDER, LEARNED = (
    Settings(throttle="fixed", batch_size=1),
    Settings(throttle="ladder", batch_size=1),
    Settings(throttle="learned", batch_size=1),
)


@pytest.mark.parametrize("throttle", LIMITERS)
def test_every_throttle_brings_every_page_out(throttle: Any) -> None:
    settings = Settings(throttle=throttle, batch_size=1)
    run = replay("medium", "blind-bucket", settings, runs=1, progress=False).runs[0]
    assert run.pages == 150
    assert run.errors == 0 or throttle == "ladder"  # which gives a call up


def test_learned_is_refused_far_less_than_what_teams_have() -> None:
    fixed, ladder, learned = (
        replay("medium", "blind-bucket", settings, runs=1, progress=False).runs[0]
        for settings in (FIXED, LADDER, LEARNED)
    )
    assert learned.rate_limit_errors <= 12
    assert learned.rate_limit_errors * 3 < min(fixed.rate_limit_errors, ladder.rate_limit_errors)
    assert learned.efficiency > 0.95


@pytest.mark.parametrize("space", [SnapshotSpace("empty", "EMPTY", []), GeneratedSpace("tiny", 1, 3)], ids=len)
def test_tiny_spaces_replay(space: Space) -> None:
    report = replay(space, "openai-tier1", progress=False)
    assert [run.pages for run in report.runs] == [len(space)] * 2
    assert not report.failed


def test_stop_check_ends_the_run_and_names_the_rest() -> None:
    calls = iter(range(1000))
    report = replay("medium", "guide", runs=1, progress=False, check_stop=lambda: next(calls) > 100)
    run = report.runs[0]
    assert run.pages == 150
    assert run.stopped > 0
    assert run.makespan_s < 60


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"space": "mediun"}, SnapshotError, "medium"),
        ({"space": "small", "scenario": "openai-tier9"}, ScenarioError, "openai-tier"),
        ({"space": "small", "settings": "defualt"}, InputError, "default"),
        ({"space": "small", "runs": 0}, InputError, "runs is 0"),
    ],
)
def test_wrong_input_is_named_with_its_cure(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replay(**arguments, progress=False)  # type: ignore[arg-type]


def test_wall_clock_runs_over_real_sockets() -> None:
    twin, real = (
        replay("small", "blind-bucket", Settings(batch_size=5), runs=1, wall_clock=wall, progress=False).runs[0]
        for wall in (False, True)
    )
    assert real.pages == twin.pages == 15
    assert real.calls == twin.calls
    assert real.f1 == twin.f1


def test_tables_and_hash_are_made_when_they_are_asked_for() -> None:
    code = (
        "import sys; from tagspace_lab import replay; report = replay('small', 'guide', runs=1, progress=False);"
        "print('pandas' in sys.modules, 'content_hash' in vars(report.source));"
        "print(len(report.attempts), 'pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False", "3", "True"]
