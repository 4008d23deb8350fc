"""A study repeats, goes on where it stopped, and believes only what fresh seeds say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tagspace_lab.errors import InputError
from tagspace_lab.lab import tune as tune_module
from tagspace_lab.lab import workers
from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.pareto import find_front
from tagspace_lab.lab.profiles import check_profile, read_profile, render_profile
from tagspace_lab.lab.replay import measure
from tagspace_lab.lab.tune import StudyInterrupted, tune
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.settings import Settings

BATCH = 4
TRIALS = 6  # one batch and a half


@pytest.fixture(autouse=True)
def _few_fresh_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_module, "FINAL_SEEDS", 2)
    monkeypatch.setattr(tune_module, "PROOF_SEEDS", 3)


def tune_small(**options: Any) -> Tuned:
    return tune("small", "openai-tier1", **({"trials": TRIALS, "seeds": 2, "progress": False} | options))


@pytest.fixture(scope="module")
def study() -> Tuned:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_module, "FINAL_SEEDS", 2)
        patch.setattr(tune_module, "PROOF_SEEDS", 3)
        return tune_small()


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, int]]:
    """What this process replays, as it happens."""
    seen: list[tuple[Settings, int]] = []

    def watch(space: Any, scenario: Any, settings: Settings, *, runs: int, seed: int, first_day: int) -> Any:
        seen.append((settings, seed))
        return measure(space, scenario, settings, runs=runs, seed=seed, first_day=first_day)

    monkeypatch.setattr(workers, "measure", watch)
    return seen


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], pytest.MonkeyPatch]:
    """Ctrl-C after some replays."""

    def arrange(count: int) -> pytest.MonkeyPatch:
        patch, left = pytest.MonkeyPatch(), [count]

        def interrupted(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return measure(*args, **options)

        patch.setattr(workers, "measure", interrupted)
        return patch

    return arrange


def assert_same(one: Tuned, other: Tuned) -> None:
    pd.testing.assert_frame_equal(one.trials, other.trials)
    assert render_profile(one.settings, one.provenance()) == render_profile(other.settings, other.provenance())
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def test_todays_settings_are_trial_0(study: Tuned) -> None:
    assert list(study.trials["origin"]) == ["today", "bound", "bound-calm", "conservative"] + ["design"] * 2
    assert study.history[0].verdict.settings == Settings()


def test_settings_of_the_callers_own_are_trial_0() -> None:
    mine = Settings(ai_concurrency=7, max_ai_concurrency=11, batch_size=13, cache_size=9000, cache_enabled=False)
    assert tune_small(settings=mine, trials=1).history[0].verdict.settings == mine


def test_start_never_exceeds_the_ceiling(study: Tuned) -> None:
    assert (study.trials["ai_concurrency"] <= study.trials["max_ai_concurrency"]).all()


def test_study_repeats(study: Tuned) -> None:
    assert_same(tune_small(), study)


def test_two_processes_find_the_same(study: Tuned) -> None:
    assert_same(tune_small(jobs=2), study)


def test_other_seed_searches_elsewhere() -> None:
    one, other = (tune_small(seed=seed, trials=18) for seed in (0, 1))
    assert other.trials["origin"].equals(one.trials["origin"])
    assert list(one.trials["origin"])[11:16] == ["design", "step", "step", "step", "search"]
    assert not other.trials["max_ai_concurrency"].equals(one.trials["max_ai_concurrency"])
    assert not set(other.study_seeds) & set(one.study_seeds)


@pytest.mark.parametrize("count", [0, 2, 5, 13, 14, 20])
def test_interrupted_study_goes_on_to_the_same_end(
    count: int, study: Tuned, tmp_path: Path, interrupt_after: Callable[[int], pytest.MonkeyPatch]
) -> None:
    storage = tmp_path / "studies" / "small.journal"
    patch = interrupt_after(count)
    with pytest.raises(StudyInterrupted, match=rf"of {TRIALS} trials are kept in .*; the same command goes on"):
        tune_small(storage=storage)
    patch.undo()
    assert_same(tune_small(storage=storage), study)


def test_finished_trials_are_not_replayed_again(tmp_path: Path, replays: list[tuple[Settings, int]]) -> None:
    storage = tmp_path / "small.journal"
    first = tune_small(storage=storage)
    searched = {trial.verdict.settings for trial in first.history} - {Settings(), Settings(batch_size=1)}
    replays.clear()
    assert_same(tune_small(storage=storage), first)
    studied = {settings for settings, seed in replays if seed in first.study_seeds}
    assert searched
    assert studied == {Settings(), Settings(batch_size=1)}


def test_longer_study_goes_on_from_the_shorter(tmp_path: Path) -> None:
    """After guesses and design trials are asked by what was told."""
    storage = tmp_path / "small.journal"
    tune_small(storage=storage, trials=20)
    assert_same(tune_small(storage=storage, trials=24), tune_small(trials=24))


def test_altered_problem_does_not_resume(tmp_path: Path, replays: list[tuple[Settings, int]]) -> None:
    storage = tmp_path / "small.journal"
    tune_small(storage=storage, trials=1)
    replays.clear()
    altered = tune_small(storage=storage, trials=1, goals=Goals(max_f1_loss=0.5))
    assert (Settings(), altered.study_seeds[0]) in replays


def test_torn_journal_is_mended(study: Tuned, tmp_path: Path) -> None:
    storage = tmp_path / "small.journal"
    tune_small(storage=storage, trials=4)
    with storage.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"to')
    assert_same(tune_small(storage=storage), study)
    assert_same(tune_small(storage=storage), study)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"TAG_SPACE_BATCH_SIZE=5\n", "is not a study journal"),
        (b"\x1f\x8b precious, without a line feed", "is not a study journal"),
        (b'{"op_code":0}\nnonsense\n{"op_code":0}\n', "is damaged"),
        (b'{"op_code":99,"worker_id":"newer"}\n', "is damaged"),
    ],
)
def test_file_that_is_no_journal_is_refused_and_left_alone(content: bytes, words: str, tmp_path: Path) -> None:
    storage = tmp_path / "precious"
    storage.write_bytes(content)
    with pytest.raises(InputError, match=words):
        tune_small(storage=storage)
    assert storage.read_bytes() == content


def test_unwritable_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name a file in a writable folder"):
        tune_small(storage=tmp_path / "file" / "small.journal")


def test_interrupted_study_without_storage_says_that_it_is_lost(
    interrupt_after: Callable[[int], pytest.MonkeyPatch],
) -> None:
    patch = interrupt_after(4)
    with pytest.raises(KeyboardInterrupt, match="0 of 6 trials are lost: no storage was named"):
        tune_small()
    patch.undo()


def test_trial_that_another_program_left_running_is_ended(study: Tuned, tmp_path: Path) -> None:
    """optuna's own tools mark what they ask for; a kill leaves the mark."""
    storage = tmp_path / "small.journal"
    tune_small(storage=storage, trials=4)
    journal = JournalStorage(JournalFileBackend(str(storage)))
    (summary,) = optuna.get_all_study_summaries(journal)
    left = optuna.load_study(study_name=summary.study_name, storage=journal)
    left.ask()
    assert_same(tune_small(storage=storage), study)
    again = optuna.load_study(study_name=summary.study_name, storage=JournalStorage(JournalFileBackend(str(storage))))
    assert [trial.state for trial in again.trials].count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in [trial.state for trial in again.trials]


KILLED = """
import sys
from tagspace_lab.lab import search, tune as tune_module
tune_module.FINAL_SEEDS, tune_module.PROOF_SEEDS = 2, 3
keep, kept = search.Storage.add, 0
def add(*args):
    global kept
    keep(*args)
    kept += 1
    if kept == 17:
        print("17 are kept", flush=True)
        sys.stdin.read()
search.Storage.add = add
tune_module.tune("small", trials=24, jobs=int(sys.argv[2]), storage=sys.argv[1], progress=False)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_study_killed_at_trial_17_ends_in_the_same_profile(jobs: int, tmp_path: Path) -> None:
    storage = tmp_path / "small.journal"
    command = [sys.executable, "-c", KILLED, str(storage), "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"17 are kept\n"
        process.kill()
    options: dict[str, Any] = {"trials": 24, "seeds": 3}
    for name, tuned in (
        ("resumed", tune_small(storage=storage, jobs=jobs, **options)),
        ("whole", tune_small(**options)),
    ):
        tuned.export(tmp_path / f"{name}.env")
    assert (tmp_path / "resumed.env").read_bytes() == (tmp_path / "whole.env").read_bytes()


def test_hopeless_trials_are_given_up_and_never_the_result() -> None:
    tuned = tune_small(trials=16, seeds=4)
    partial = tuned.trials[tuned.trials["partial"]]
    assert len(partial) >= 2
    assert partial.index.min() >= BATCH  # the first batch has nothing to be worse than
    assert (partial["objective_s"] > tuned.trials.loc[~tuned.trials["partial"], "objective_s"].min()).all()
    assert not {trial.verdict.settings for trial in tuned.history if trial.verdict.is_partial} & {tuned.settings}


def test_larger_batch_asks_otherwise_and_repeats(study: Tuned) -> None:
    options: dict[str, Any] = {"batch": 6, "trials": 20}
    assert_same(tune_small(jobs=2, **options), tune_small(**options))
    assert not tune_small(**options).trials.equals(tune_small(trials=20).trials)


def test_only_what_is_varied_changes() -> None:
    tuned = tune_small(trials=8, vary=["batch_size", "cache_size"], runs=4)
    fixed = tuned.trials[["ai_concurrency", "max_ai_concurrency", "cache_enabled"]]
    assert len(fixed.drop_duplicates()) == 1
    assert tuned.trials["cache_size"].nunique() > 1
    assert tuned.trials["batch_size"].nunique() > 1
    assert len(tuned.verification.before[0]) == 4


def test_several_scenarios_are_proven_one_by_one() -> None:
    tuned = tune("small", ["openai-tier1", "self-hosted"], "conservative", trials=4, seeds=2, progress=False)
    assert tuned.improved
    assert list(tuned.verification.table.index)[-2:] == ["small on openai-tier1", "small on self-hosted"]
    assert "scenario: openai-tier1+self-hosted" in "\n".join(tuned.provenance().lines())


def test_front_names_its_knee_and_proves_it() -> None:
    tuned = tune_small(settings="conservative", pareto=True, trials=16)
    assert tuned.front is not None
    points = [verdict.values for verdict in tuned.front.verdicts]
    assert find_front(points) == list(range(len(points)))
    assert tuned.front.table["knee"].sum() == 1
    assert tuned.front.knee == tuned.verification.settings[1]
    assert tuned.goals.seek == "balanced"
    assert tuned.improved
    assert_same(tune_small(settings="conservative", pareto=True, trials=16, jobs=2), tuned)


def test_cheapest_takes_fewer_tokens_than_fastest() -> None:
    tokens = [tune_small(goals=Goals(seek=seek), trials=10).after.tokens for seek in ("cheapest", "fastest")]
    assert tokens[0] < tokens[1]


def test_limit_binds_the_result() -> None:
    tuned = tune_small(goals=Goals(max_calls=3), settings=Settings(batch_size=40), trials=16)
    assert tuned.after.calls <= 3
    assert (tuned.trials["feasible"] == (tuned.trials["calls"] <= 3)).all()


def test_limit_that_no_trial_keeps_is_said() -> None:
    tuned = tune_small(goals=Goals(max_calls=0.5), trials=1, vary=["batch_size"])
    assert not tuned.improved
    assert "They miss the limit on calls: no trial kept all; loosen one, or try more." in tuned.verdict()
    assert tuned.verdict() in tuned.provenance().notes


def test_what_keeps_a_limit_that_todays_settings_miss_is_the_result_whatever_it_costs() -> None:
    """15 pages are three calls of five, and one slower call of fifteen."""
    tuned = tune_small(goals=Goals(max_calls=1), trials=14, vary=["batch_size"])
    assert tuned.improved
    assert not tuned.verification.holds
    assert tuned.missed == ("calls",)
    assert tuned.after.calls <= 1 < tuned.before.calls
    assert re.match(
        r"tuned keeps the limit on calls, which today's settings miss\. It needs \d+\.\d% more time \[\d",
        tuned.verdict(),
    )


def test_regret_is_measured_against_the_whole_grid() -> None:
    tuned = tune_small(exhaustive=True, vary=["batch_size"], trials=8)
    assert tuned.regret is not None
    assert tuned.regret.points == 15
    assert -0.5 < tuned.regret.share < 0.5
    for objective_s, words in ((0.9, "10.0% less"), (1.2, "20.0% more")):
        best = replace(tuned.regret.best, objective_s=1.0)
        regret = replace(tuned.regret, best=best, result=replace(best, objective_s=objective_s))
        assert f"costs {words} than the best of 15 points" in replace(tuned, regret=regret).verdict()
    assert tuned.to_dict()["regret"]["points"] == 15


def test_unknown_part_is_refused() -> None:
    with pytest.raises(InputError, match="vary is speed; allowed: one or more of concurrency, batch_size"):
        tune_small(vary=["speed"])


def test_result_is_proven_on_seeds_of_its_own(study: Tuned) -> None:
    assert not set(study.verification.seeds) & set(study.study_seeds)
    assert study.improved == study.verification.holds
    assert study.settings == study.verification.settings[1 if study.improved else 0]


def test_today_is_kept_where_nothing_beats_it() -> None:
    kept = tune_small(trials=1)
    assert not kept.improved
    assert kept.settings == Settings()
    assert kept.before == kept.after
    assert "they are kept" in str(kept)


def test_search_beats_the_slowest_settings() -> None:
    improved = tune_small(settings="conservative")
    assert improved.improved
    assert improved.after.makespan_s < improved.before.makespan_s


def test_exported_profile_reads_back(study: Tuned, tmp_path: Path) -> None:
    path = tmp_path / "small.env"
    study.export(path)
    assert check_profile(path) == []
    assert read_profile(path).settings == study.settings
    with pytest.raises(InputError, match="exists"):
        study.export(path)


def test_study_is_shown_in_words(study: Tuned) -> None:
    assert list(study.overview().columns) == ["before", "after", "bound"]
    assert "makespan, run 2" in str(study)
    assert "<table" in study._repr_html_()


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from tagspace_lab.lab.replay import measure
from tagspace_lab.lab.tune import StudyInterrupted, tune
try:
    tune("small", trials=100_000, jobs=2, storage=sys.argv[1])
except StudyInterrupted as stop:
    print(stop)
    sys.exit(130)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see what is left")
@pytest.mark.parametrize("kept", [0, 5])
def test_ctrl_c_leaves_neither_processes_nor_tracebacks(tmp_path: Path, kept: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "small.journal")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=Path(__file__).parents[2]
    ) as process:
        journal = tmp_path / "small.journal"
        while not (journal.exists() and journal.read_bytes().count(b"replays") >= kept):
            assert process.poll() is None
        while len(helpers := set(find_living(process.pid)) - {process.pid}) < 2:
            assert process.poll() is None
        assert all(is_deaf_to_interrupts(pid) for pid in helpers)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"trials are kept in" in output
    assert errors == b""
    deadline = time.monotonic() + 10  # a process closes its files a moment before it is gone
    while find_living(process.pid) and time.monotonic() < deadline:
        pass
    assert find_living(process.pid) == []


def find_living(group: int) -> list[int]:
    """The processes of a group that still run; what has ended may wait for its parent to notice."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, pgrp, *_ = path.read_text().rpartition(") ")[2].split()
            if int(pgrp) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def is_deaf_to_interrupts(pid: int) -> bool:
    """Whether a process blocks or ignores Ctrl-C."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigBlk", "SigIgn"))]
    return any(mask >> (signal.SIGINT - 1) & 1 for mask in masks)
