from __future__ import annotations

import pickle
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tagspace_lab.errors import SettingsError
from tagspace_lab.settings import PREFIX, SETTINGS, Settings, load_settings


def refuse(**values: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    return str(caught.value).splitlines()


def refuse_variable(name: str, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: text})
    return str(caught.value)


def test_defaults_are_the_settings_of_today() -> None:
    settings = Settings()
    assert (settings.ai_concurrency, settings.max_ai_concurrency, settings.batch_size) == (3, 10, 5)
    assert (settings.cache_enabled, settings.cache_size, settings.throttle) == (True, 1000, "learned")


def test_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAG_SPACE_BATCH_SIZE", "9")
    monkeypatch.setenv("SECRET", "9")
    file = tmp_path / ".env"
    file.write_text("TAG_SPACE_CACHE_SIZE=${SECRET}\n")
    assert [made.batch_size for made in (Settings(), load_settings(), load_settings({}))] == [5, 5, 5]
    with pytest.raises(SettingsError, match=r"TAG_SPACE_CACHE_SIZE is '\$\{SECRET\}'; allowed: an integer"):
        load_settings(env_file=file)


def test_environment_that_is_passed_in_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CONFLUENCE_URL=x\nTAG_SPACE_BATCH_SIZE='7'\nTAG_SPACE_CACHE_SIZE=10\n")
    settings = load_settings({"TAG_SPACE_CACHE_SIZE": "20", "PATH": "/bin"}, file)
    assert (settings.batch_size, settings.cache_size) == (7, 20)


@pytest.mark.parametrize(
    ("text", "meaning"), [("true", True), ("True", True), ("1", True), ("false", False), ("FALSE", False), ("0", False)]
)
def test_plain_booleans_are_read(text: str, meaning: bool) -> None:
    assert load_settings({"TAG_SPACE_CACHE_ENABLED": text}).cache_enabled is meaning


@pytest.mark.parametrize("text", ["yes", "on", "'true'", "", "t", " true", "2"])
def test_other_booleans_are_refused(text: str) -> None:
    assert refuse_variable("TAG_SPACE_CACHE_ENABLED", text).endswith("; allowed: true or false")


@pytest.mark.parametrize("text", ["8.0", "'8'", "", "0", "51", "-1", "8 ", "٨", "1e1", "1_0", "nan", "9" * 5000])
def test_integer_that_is_none_or_out_of_range_is_refused(text: str) -> None:
    message = refuse_variable("TAG_SPACE_BATCH_SIZE", text)
    assert message.startswith("TAG_SPACE_BATCH_SIZE is ")
    assert message.endswith("; allowed: an integer from 1 to 50")
    assert len(message) < 120


@pytest.mark.parametrize("text", ["nan", "inf", "-0.1", "1.01", ".5", "0,5", "0x1", "1e400"])
def test_number_that_is_none_or_out_of_range_is_refused(text: str) -> None:
    assert refuse_variable("TAG_SPACE_RETRY_BUDGET", text).endswith("; allowed: a number from 0 to 1")


@pytest.mark.parametrize("value", [True, 5.0, None, b"5", "five"])
def test_python_value_of_another_type_is_refused(value: object) -> None:
    assert refuse(batch_size=value) == [f"TAG_SPACE_BATCH_SIZE is {value!r}; allowed: an integer from 1 to 50"]


def test_all_problems_are_told_at_once() -> None:
    assert refuse(ai_concurrency=20, cache_size=0, throttle="fast", batchsize=3) == [
        "TAG_SPACE_AI_CONCURRENCY is 20; allowed: at most TAG_SPACE_MAX_AI_CONCURRENCY, which is 10",
        "TAG_SPACE_CACHE_SIZE is 0; allowed: an integer from 1 to 10000000",
        "TAG_SPACE_THROTTLE is 'fast'; allowed: fixed, ladder, aimd, vegas, gradient2, cubic, google-sre or learned",
        "TAG_SPACE_BATCHSIZE is not a setting; did you mean TAG_SPACE_BATCH_SIZE?",
    ]


def test_start_may_equal_the_ceiling() -> None:
    assert Settings(ai_concurrency=10).ai_concurrency == 10
    assert Settings(ai_concurrency=1, max_ai_concurrency=1).max_ai_concurrency == 1


@pytest.mark.parametrize(("ceiling", "start"), [("1", 1), ("2", 2), ("3", 3), ("20", 3)])
def test_run_starts_at_a_ceiling_that_alone_was_lowered(ceiling: str, start: int) -> None:
    settings = load_settings({"TAG_SPACE_MAX_AI_CONCURRENCY": ceiling})
    assert (settings.ai_concurrency, settings.max_ai_concurrency) == (start, int(ceiling))
    assert refuse_variable("TAG_SPACE_MAX_AI_CONCURRENCY", "0").startswith("TAG_SPACE_MAX_AI_CONCURRENCY is 0;")


@pytest.mark.parametrize("name", ["TAG_SPACE_BATCHSIZE", "tag_space_batch_size", "TAG_SPACE_BATCH_SIZES"])
def test_unknown_variable_is_refused_with_the_nearest_and_without_its_value(name: str) -> None:
    message = refuse_variable(name, "hunter2")
    assert message == f"{name} is not a setting; did you mean TAG_SPACE_BATCH_SIZE?"


def test_variable_like_no_other_is_refused_with_all_that_are_known() -> None:
    message = refuse_variable("TAG_SPACE_QQQQ", "1")
    assert all(row.variable in message for row in SETTINGS)


def test_settings_are_frozen_hashable_and_travel_to_workers() -> None:
    settings = Settings(batch_size=7)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert len({settings, Settings(batch_size=7)}) == 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.batch_size = 8


def test_with_changes_is_checked() -> None:
    assert Settings().with_changes(batch_size=9) == Settings(batch_size=9)
    with pytest.raises(SettingsError, match="TAG_SPACE_BATCH_SIZE is 0"):
        Settings().with_changes(batch_size=0)
    with pytest.raises(SettingsError, match="TAG_SPACE_BATCHES is not a setting"):
        Settings().with_changes(batches=1)


@pytest.mark.parametrize("content", [None, b"TAG_SPACE_BATCH_SIZE=\xff\n"])
def test_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "some.env"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"some\.env (cannot be read|is not UTF-8)"):
        load_settings(env_file=file)


@pytest.mark.parametrize("line", ["TAG_SPACE_TOKENS_PER_MIN", "TAG_SPACE_TOKENS_PER_MIN="])
def test_variable_without_a_value_in_a_file_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "some.env"
    file.write_text(line)
    with pytest.raises(SettingsError, match="TAG_SPACE_TOKENS_PER_MIN is empty"):
        load_settings(env_file=file)


def test_table_describes_every_setting() -> None:
    assert [row.name for row in SETTINGS] == list(Settings.model_fields)
    assert all(row.meaning and row.allowed and row.default and row.variable.startswith(PREFIX) for row in SETTINGS)
    rows = {row.name: row for row in SETTINGS}
    assert (rows["tokens_per_min"].default, rows["cache_enabled"].default) == ("not set", "true")
    assert rows["tokens_per_min"].allowed == "an integer from 1 to 10000000000"


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 1), st.none() | st.floats(0.01, 1e7))
def test_variables_round_trip(start: int, ceiling: int, budget: float, rate: float | None) -> None:
    settings = Settings(
        ai_concurrency=min(start, ceiling), max_ai_concurrency=ceiling, retry_budget=budget, requests_per_min=rate
    )
    assert load_settings(settings.to_variables()) == settings


@given(st.text())
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    expected = pytest.raises(SettingsError, match=r"^TAG_SPACE_BATCH_SIZE is .*; allowed: an integer from 1 to 50$")
    with nullcontext() if re.fullmatch(r"\+?0*([1-9]|[1-4][0-9]|50)", text) else expected:
        load_settings({"TAG_SPACE_BATCH_SIZE": text})
