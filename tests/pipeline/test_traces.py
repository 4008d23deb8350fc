"""What is recorded of a run, and what becomes of it when the disk is full or the process is killed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from tagspace_lab.errors import TraceError
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Attempt, Cost, Outcome, Quota, RateLimit, Status, Tagging
from tagspace_lab.settings import Settings
from tests.fakes import RULES


def make_attempt(number: int = 1, outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt(
        call=number,
        number=1,
        provider="primary",
        started_s=number * 1.0,
        ended_s=number + 0.123456789,
        outcome=outcome,
        status=200,
        pages=5,
        input_tokens=900,
        output_tokens=50,
        cached_tokens=0,
        waited_s=0.0,
        in_flight=2,
        window=3.0,
        retry_after_s=2.0,
        expected=Cost(1000, 100),
        rate_limit=RateLimit({"requests": Quota(60.0, 59.0, None)}, 2.0, "requests"),
    )


def begin(writer: TraceWriter) -> None:
    writer.begin(
        space="docs", pages=7, settings=Settings(), rules=RULES, models={"primary": "openai:x"}, began_wall_s=0.0
    )


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def record(path: Path, attempts: int = 1) -> None:
    with TraceWriter(path) as writer:
        begin(writer)
        for number in range(1, attempts + 1):
            writer(make_attempt(number))
        writer.end(RunResult("run", [Tagging("1", Status.TAGGED)], makespan_s=9.0))


def test_run_is_written_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    record(path)
    header, attempt, end = read(path)
    assert (header["kind"], header["began_at"], header["pages"]) == ("run", "1970-01-01T00:00:00.000+00:00", 7)
    assert attempt["ended_s"] == 1.123457
    assert attempt["pace_per_s"] is None
    assert attempt["quotas"] == {"requests": [60.0, 59.0, None]}
    assert (end["makespan_s"], end["tagged"], end["error"]) == (9.0, 1, 0)


def test_attempt_is_on_disk_before_the_next(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "run.jsonl") as writer:
        begin(writer)
        writer(make_attempt())
        assert len(read(tmp_path / "run.jsonl")) == 2


def test_runs_follow_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        record(tmp_path / "run.jsonl")
    assert [line["kind"] for line in read(tmp_path / "run.jsonl")] == ["run", "attempt", "end"] * 2


@pytest.mark.parametrize("left", [1, 30, 200])
def test_torn_line_is_cut_off_before_the_next_run(left: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record(path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:left])
    record(path)
    assert path.read_bytes() == whole * 2


def test_trace_that_is_nothing_but_a_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"kind":"run","schema":1,"spa')
    record(path)
    assert len(read(path)) == 3


def test_other_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(TraceError, match="this is no trace"):
        TraceWriter(path)
    assert path.read_text() == "mine"


def test_two_runs_do_not_mix_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with TraceWriter(path), pytest.raises(TraceError, match="another run is recording"):
        TraceWriter(path)
    TraceWriter(path).close()


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="cannot be opened"):
        TraceWriter(tmp_path / "file" / "run.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_ends_the_recording_once_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = TraceWriter(tmp_path / "run.jsonl")
    begin(writer)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._file)
    os.close(full)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            writer(make_attempt(number))
    writer.close()
    assert writer.stopped == "No space left on device"
    assert len(caplog.records) == 1


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    record(tmp_path / "run.jsonl")
    writer = TraceWriter(tmp_path / "run.jsonl")
    writer.close()
    writer.close()
    writer(make_attempt())
    assert len(read(tmp_path / "run.jsonl")) == 3
