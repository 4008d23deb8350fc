"""Traces are read as they were written, and whatever else is in the file is told by its line."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.errors import TraceError
from tagspace_lab.lab.traces import iter_trace, read_trace
from tagspace_lab.lab.world import World
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Attempt, Status
from tagspace_lab.settings import Settings
from tests.fakes import TinySpace, examples, make_scenario
from tests.pipeline.test_traces import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record(tmp_path / "run.jsonl", attempts=3)
    return tmp_path / "run.jsonl"


def without_times(attempt: Attempt) -> Attempt:
    return replace(attempt, started_s=0.0, ended_s=0.0, waited_s=0.0)


def test_run_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    settings = Settings(batch_size=3)
    with TraceWriter(path) as trace:
        result = World(TinySpace(10), make_scenario()).run(settings, trace=trace)
    [run] = read_trace(path)
    assert (run.space, run.pages, run.settings, run.labels) == ("tiny", 10, settings, 3)
    assert list(map(without_times, run.attempts)) == list(map(without_times, result.attempts))
    assert run.attempts[-1].ended_s == pytest.approx(result.attempts[-1].ended_s, abs=1e-6)
    assert run.statuses[Status.TAGGED] == 10
    assert run.makespan_s == pytest.approx(result.makespan_s, abs=1e-6)


def test_trace_holds_no_text_no_id_no_address(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with TraceWriter(path) as trace:
        World(TinySpace(10), make_scenario()).run(Settings(), trace=trace)
    written = path.read_text("utf-8")
    for secret in ("word", "1003", "Page", "http", "alpha", "Bearer"):
        assert secret not in written


def test_killed_run_lasts_until_its_last_attempt(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]) + '{"kind":"end","makes')
    [run] = read_trace(path)
    assert not run.is_whole
    assert run.makespan_s == 3.123457


def test_trace_is_read_in_a_stream(path: Path) -> None:
    stream = iter_trace(path)
    assert next(stream)[1] is None
    assert [attempt.call for _, attempt in stream if attempt] == [1, 2, 3]
    [run] = read_trace(path, most_attempts=2)
    assert len(run.attempts) == 2


def test_trace_without_attempts_says_so(tmp_path: Path) -> None:
    record(tmp_path / "run.jsonl", attempts=0)
    with pytest.raises(TraceError, match="holds no attempt; record a run"):
        read_trace(tmp_path / "run.jsonl")
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace(tmp_path / "nosuch")


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        (0, {"schema": 99}, "line 1: the schema is 99, and this version reads 1"),
        (0, {"settings": {"TAG_SPACE_BATCH_SIZE": "0"}}, "line 1: the settings cannot be used"),
        (0, {"began_at": "yesterday"}, "line 1: began_at is 'yesterday'"),
        (1, {"kind": "end"}, "line 2: makespan_s is None"),
        (1, {"outcome": "fine"}, "line 2: outcome is 'fine', wanted: one of ok"),
        (1, {"call": True}, "line 2: call is True, wanted: a whole number"),
        (1, {"started_s": -1.0}, "line 2: started_s is -1.0"),
        (1, {"ended_s": 0.5}, "line 2: ended_s is 0.5, before started_s"),
        (1, {"used_tokens": [1]}, r"line 2: used_tokens is \[1\]"),
        (1, {"quotas": {"requests": [1, 2]}}, r"line 2: a quota is \[1, 2\]"),
        (1, {"cause": "greed"}, "line 2: cause is 'greed'"),
    ],
)
def test_wrong_field_is_named_with_its_line(place: int, changes: dict[str, object], words: str, path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[place] = json.dumps(json.loads(lines[place]) | changes)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TraceError, match=f"{words}.*delete the line, or record the run again"):
        read_trace(path)


def test_attempt_before_any_run_is_refused(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(TraceError, match="line 1: a trace begins with a line of the kind run"):
        read_trace(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@examples(150)
@given(place=st.integers(0, 4), key=st.integers(0, 30), value=VALUES)
def test_fuzzed_fields_never_crash(
    tmp_path_factory: pytest.TempPathFactory, place: int, key: int, value: object
) -> None:
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    record(path, attempts=3)
    lines = path.read_text().splitlines()
    fields = json.loads(lines[place])
    fields[sorted(fields)[key % len(fields)]] = value
    lines[place] = json.dumps(fields)
    path.write_text("\n".join(lines) + "\n")
    with suppress(TraceError):
        read_trace(path)


@examples(100)
@given(junk=st.binary(max_size=200), at=st.integers(0, 900))
def test_fuzzed_bytes_never_crash(tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    record(path, attempts=3)
    content = path.read_bytes()
    path.write_bytes(content[:at] + junk + content[at:])
    with suppress(TraceError):
        read_trace(path)
