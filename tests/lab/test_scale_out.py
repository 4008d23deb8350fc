"""Other machines and a database change where a study runs and what it keeps, not what it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab import tune as tune_module
from tagspace_lab.lab.profiles import render_profile
from tagspace_lab.lab.storages import name_storage
from tagspace_lab.lab.tune import StudyInterrupted, tune
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.lab.verify import verify
from tests.lab.clusters import PASSWORD, count_studies, run_dask, run_postgresql

TRIALS = 10


@pytest.fixture(autouse=True, scope="module")
def _few_fresh_seeds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_module, "FINAL_SEEDS", 2)
        patch.setattr(tune_module, "PROOF_SEEDS", 3)
        yield


def tune_small(**options: Any) -> Tuned:
    return tune("small", "openai-tier1", **({"trials": TRIALS, "progress": False} | options))


@pytest.fixture(scope="module")
def here(_few_fresh_seeds: None) -> Tuned:
    return tune_small()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_dask(tmp_path_factory.mktemp("dask")) as address:
        yield address


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with run_postgresql() as url:
        yield url


def profile(tuned: Tuned) -> str:
    return render_profile(tuned.settings, tuned.provenance())


def test_dask_finds_what_one_process_finds(here: Tuned, scheduler: str) -> None:
    there = tune_small(scheduler=scheduler)
    assert profile(there) == profile(here)
    assert there.trials.equals(here.trials)


def test_verification_on_dask_is_the_same(scheduler: str) -> None:
    local, remote = (
        verify("conservative", "small", beside=(), seeds=2, progress=False, scheduler=address)
        for address in (None, scheduler)
    )
    assert remote.to_dict() == local.to_dict()


@pytest.mark.parametrize("address", ["", "foo", "http://127.0.0.1:8786", "tcp://127.0.0.1"])
def test_scheduler_that_is_no_address_is_refused_at_once(address: str) -> None:
    with pytest.raises(InputError, match=f"scheduler is {re.escape(repr(address))}; allowed: an address such as tcp"):
        tune_small(scheduler=address)


def test_scheduler_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:1; start one with"):
        tune_small(scheduler="tcp://127.0.0.1:1")


def test_postgresql_finds_what_memory_finds_and_goes_on(
    here: Tuned, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert profile(tune_small(storage=database, trials=6)) == profile(tune_small(trials=6))
    assert profile(tune_small(storage=database)) == profile(here)
    monkeypatch.setattr("tagspace_lab.lab.search._Study._measure", _must_be_known)
    assert profile(tune_small(storage=database)) == profile(here)


def _must_be_known(study: Any, wanted: Any, seeds: int) -> None:
    assert all(len(study.answers[settings]) >= seeds for settings in wanted)


def test_several_studies_share_a_database(database: str) -> None:
    before = count_studies(database)
    tune_small(storage=database, seed=7, trials=1)
    tune_small(storage=database, seed=8, trials=1)
    tune_small(storage=database, seed=8, trials=1)
    assert count_studies(database) == before + 2


def test_password_is_in_no_message(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = database.replace("studies:", "nobody:", 1)
    with pytest.raises(InputError, match="see that the server runs") as refused:
        tune_small(storage=wrong, trials=1)
    stopped = StudyInterrupted(3, 40, database)
    for error in (refused.value, refused.value.__cause__, stopped):
        assert PASSWORD not in str(error)
        assert PASSWORD.split("/")[1] not in str(error)
    assert "127.0.0.1" in str(stopped)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://u:hush/hush@host:5432/db", "are written %2F"),
        ("postgresql://u:hush@hush@host/db", ""),
        ("postgresql://u:hush@host:port/db", "cannot be read"),
        ("mysql://u:hush@host/db", "mysql is not a database that studies use"),
        ("://hush", "cannot be read"),
        ("postgresql:///db", "cannot be read"),
        ("postgresql:u:hush@host/db", "cannot be read"),
        ("postgres:/u:hush@host/db", "cannot be read"),
        ("u:hush@host/db", "cannot be read"),
    ],
)
def test_address_that_cannot_be_read_is_not_repeated(address: str, words: str) -> None:
    try:
        shown = name_storage(address)
    except InputError as error:
        shown = str(error)
        assert words in shown
    assert "hush" not in shown


def test_file_is_called_by_its_name() -> None:
    assert name_storage(Path("studies/a.journal")) == "studies/a.journal"
    assert name_storage("postgres.journal") == "postgres.journal"
