from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tagspace_lab.cli.app import app
from tagspace_lab.errors import InputError
from tagspace_lab.lab.profiles import check_profile, read_profile
from tagspace_lab.lab.replay import baseline_settings, replay
from tagspace_lab.lab.report import Report
from tagspace_lab.operations.diagnose import diagnose, proposed_settings, to_dict, write_proposal
from tagspace_lab.operations.evidence import Evidence, evidence_of_attempts, evidence_of_report, read_evidence
from tagspace_lab.operations.machine import available_bytes
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Rates, Status
from tagspace_lab.settings import Settings
from tests.fakes import examples

WIDE = Settings(batch_size=50, batch_tokens=200_000)
CALM = Evidence(
    settings=Settings(),
    space="docs",
    scenario="a live run",
    pages=500,
    asked=500,
    calls=100,
    attempts=100,
    refusals=0,
    makespan_s=100.0,
    limit="",
    peak_concurrency=10,
    settled_concurrency=9.6,
    page_tokens=1_000,
)

CASES: tuple[tuple[str, str, Settings, str], ...] = (
    ("medium", "self-hosted", Settings(), "concurrency"),
    ("medium", "self-hosted", Settings(batch_size=1, max_ai_concurrency=40), "concurrency"),
    ("medium", "self-hosted", WIDE, "batch too large"),
    ("medium", "anthropic-tier1", Settings(), "tokens"),
    ("medium", "anthropic-tier1", Settings(cache_size=10), "cache too small"),
    ("medium", "anthropic-tier1", WIDE, "batch too large"),
    ("medium", "openai-tier1", Settings(), "concurrency"),
    ("medium", "openai-tier1", Settings(cache_enabled=False), "cache too small"),
    ("medium", "azure", Settings(), "tokens"),
    ("medium", "guide", Settings(), "tokens"),
    ("medium", "guide", Settings(batch_size=1), "requests"),
    ("medium", "blind-bucket", Settings(batch_size=1), "requests"),
    ("small", "guide", Settings(), "batch too large"),
)


@cache
def run(space: str, scenario: str, settings: Settings) -> Report:
    return replay(space, scenario, settings, progress=False)


def read(report: Report, folder: Path) -> Evidence:
    (folder / "report.json").write_text(report.to_json())
    return read_evidence(folder / "report.json", Settings())


@pytest.mark.parametrize(("space", "scenario", "settings", "binds"), CASES)
def test_report_of_a_known_world_names_what_binds_and_its_proposal_is_quicker(
    space: str, scenario: str, settings: Settings, binds: str, tmp_path: Path
) -> None:
    before = run(space, scenario, settings)
    evidence = read(before, tmp_path)
    assert evidence_of_report(before) == evidence
    findings = diagnose(evidence)
    after = run(space, scenario, proposed_settings(evidence.settings, findings))
    assert findings[0].binds == binds
    assert findings[0].changes
    assert sum(one.makespan_s for one in after.runs) < sum(one.makespan_s for one in before.runs) or (
        before.failed and not after.failed
    )


@pytest.mark.parametrize(
    ("space", "scenario", "settings", "binds"),
    [case for case in CASES if case[3] != "cache too small" and case[1:3] != ("guide", Settings(batch_size=1))],
)
def test_attempts_alone_say_the_same(space: str, scenario: str, settings: Settings, binds: str) -> None:
    report = run(space, scenario, settings)
    result = report.results[0]
    evidence = evidence_of_attempts(
        result.attempts,
        settings=settings,
        space=space,
        pages=result.processed,
        asked=sum(tagging.status is Status.TAGGED for tagging in result.results),
        makespan_s=result.makespan_s,
    )
    assert diagnose(evidence)[0].binds == binds


def test_calls_that_stay_away_after_a_refusal_do_not_wait_for_pages() -> None:
    """Six fixed calls on a guide that lets in two a second: most of them sleep, and hold no slot."""
    settings = Settings(throttle="fixed", ai_concurrency=6, max_ai_concurrency=10, batch_size=1)
    result = run("medium", "guide", settings).results[0]
    evidence = evidence_of_attempts(
        result.attempts, settings=settings, space="medium", pages=150, asked=149, makespan_s=result.makespan_s
    )
    first, second = (finding.binds for finding in diagnose(evidence))
    assert first in ("requests", "tokens")
    assert second == "refusals"


def test_run_without_a_call_says_so() -> None:
    (finding,) = diagnose(replace(CALM, asked=0, calls=0, attempts=0))
    assert (finding.binds, finding.changes) == ("nothing", {})
    assert "every page came from the cache" in finding.words


def test_trace_says_the_same_and_its_later_runs_show_the_cache(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "trace.jsonl") as trace:
        replay("medium", "openai-tier1", Settings(cache_size=10), progress=False, trace=trace)
    evidence = read_evidence(tmp_path / "trace.jsonl", Settings())
    first = run("medium", "openai-tier1", Settings(cache_size=10)).runs[0]
    assert [finding.binds for finding in diagnose(evidence)] == ["cache too small", "concurrency"]
    assert (evidence.pages, evidence.asked, evidence.calls) == (first.pages, first.tagged, first.calls)
    assert evidence.hit_rate is not None
    assert evidence.hit_rate < 0.1


def test_task_shows_its_cache_its_refusals_and_full_slots(tmp_path: Path) -> None:
    document = {
        "task_id": "docs-1",
        "space": "DOCS",
        "total": 2000,
        "makespan_s": 100.0,
        "cache_stats": {"hit_rate": 0.0},
        "concurrency_metrics": {
            "total_ai_calls": 400,
            "attempts": 440,
            "rate_limit_errors": 40,
            "peak_concurrency": 10,
            "mean_concurrency": 9.0,
        },
        "details": [{"status": "tagged"}] * 2000,
    }
    (tmp_path / "task.json").write_text(json.dumps(document))
    findings = diagnose(read_evidence(tmp_path / "task.json", Settings()))
    assert [finding.binds for finding in findings] == ["cache too small", "concurrency", "refusals"]


def test_storm_of_the_way_of_before_is_named(tmp_path: Path) -> None:
    before = replay("medium", "guide", baseline_settings(Settings()), progress=False)
    findings = {finding.binds: finding for finding in diagnose(read(before, tmp_path))}
    assert findings["refusals"].changes["throttle"] == "learned"
    assert findings["cache too small"].changes["cache_enabled"] is True


def test_rerun_that_only_lists_is_held_up_by_confluence() -> None:
    (finding,) = diagnose(replace(CALM, limit="listing of the pages"))
    assert (finding.binds, finding.changes) == ("Confluence", {})


def test_calm_run_is_held_up_by_nothing() -> None:
    (finding,) = diagnose(replace(CALM, limit="longest call"))
    assert (finding.binds, finding.changes) == ("nothing", {})


def test_numbers_that_do_not_show_the_limit_ask_for_a_trace() -> None:
    (finding,) = diagnose(CALM)
    assert (finding.binds, finding.changes) == ("unknown", {})
    assert "--trace" in finding.advice


def test_few_refusals_are_how_a_limit_is_found() -> None:
    assert diagnose(replace(CALM, attempts=20, refusals=2))[0].binds == "unknown"


def test_run_without_an_answer_says_why() -> None:
    failed = replace(CALM, asked=0, refusals=0, limit="requests", errors=("primary: HTTP 401 (1 attempts)",))
    (finding,) = diagnose(failed)
    assert finding.binds == "errors"
    assert "HTTP 401" in finding.words


def test_memory_is_weighed_against_what_is_free() -> None:
    huge = replace(CALM, settings=Settings(cache_size=10_000_000))
    (finding,) = diagnose(huge, available_bytes=8e9)
    assert (finding.binds, finding.changes) == ("memory", {"cache_size": 600})
    texts = Settings(batch_size=50, batch_tokens=1_000_000, page_tokens=100_000, max_ai_concurrency=100)
    (finding,) = diagnose(replace(CALM, settings=texts, calls=10), available_bytes=1e9)
    assert finding.binds == "memory"
    assert diagnose(replace(CALM, settings=proposed_settings(texts, [finding]), calls=10), 1e9)[0].binds != "memory"
    assert diagnose(huge)[0].binds == "unknown"


def test_provider_that_takes_fewer_calls_at_once_than_allowed_is_told_from_our_own_ceiling() -> None:
    ours = diagnose(replace(CALM, limit="concurrency"))[0]
    assert ours.changes == {"max_ai_concurrency": 20, "ai_concurrency": 10}
    theirs = diagnose(replace(CALM, limit="concurrency", peak_concurrency=6, settled_concurrency=5.1))[0]
    assert theirs.changes == {"ai_concurrency": 5, "batch_size": 10}


def test_refusals_of_a_throttle_that_learns_start_the_next_run_at_what_it_learned() -> None:
    (finding,) = diagnose(replace(CALM, refusals=20, rates=Rates(100.0, 30_000)))
    assert finding.changes == {"requests_per_min": 100.0, "tokens_per_min": 30_000}


def test_first_finding_wins_where_two_move_one_setting() -> None:
    wide = replace(CALM, settings=Settings(batch_size=8), calls=200, limit="requests")
    findings = diagnose(wide)
    assert [finding.changes["batch_size"] for finding in findings] == [2, 16]
    assert proposed_settings(wide.settings, findings).batch_size == 2


def test_proposal_is_a_portable_profile_that_says_it_is_unverified(tmp_path: Path) -> None:
    evidence = read(run("medium", "self-hosted", Settings()), tmp_path)
    write_proposal(tmp_path / "try.env", evidence, diagnose(evidence))
    profile = read_profile(tmp_path / "try.env")
    assert check_profile(tmp_path / "try.env") == []
    assert profile.settings.max_ai_concurrency == 20
    assert "unverified" in profile.comments[0]
    assert any("was not measured" in comment for comment in profile.comments)
    with pytest.raises(InputError):
        write_proposal(tmp_path / "try.env", evidence, diagnose(evidence))


def test_command_says_what_binds_and_writes_a_profile_to_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read(run("medium", "self-hosted", Settings()), tmp_path)
    shown = CliRunner().invoke(app, ["diagnose", "report.json", "-o", "try.env"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("1. concurrency: calls at once bind")
    assert "try: TAG_SPACE_MAX_AI_CONCURRENCY=20" in shown.stdout
    assert "unverified" in shown.stderr
    again = CliRunner().invoke(app, ["diagnose", "report.json", "-o", "try.env"])
    assert (again.exit_code, again.stdout) == (2, "")
    document = json.loads(CliRunner().invoke(app, ["diagnose", "report.json", "--json"]).stdout)
    assert document["binds"] == "concurrency"
    assert read_profile("try.env").settings.to_variables() == document["settings"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"runs": []}', "[" * 100_000, "\x00", '{"space": 1}', "nan"])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json"):
        read_evidence(tmp_path / "report.json", Settings())


def test_report_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_evidence(tmp_path / "nosuch.json", Settings())


_NUMBER = st.integers(0, 10**9)
_EVIDENCE = st.builds(
    Evidence,
    settings=st.builds(
        lambda size, cache, tokens: Settings(batch_size=size, cache_size=cache, batch_tokens=tokens),
        st.integers(1, 50),
        st.integers(1, 10_000_000),
        st.integers(100, 1_000_000),
    ),
    space=st.just("x"),
    scenario=st.just("x"),
    pages=_NUMBER,
    asked=_NUMBER,
    calls=_NUMBER,
    attempts=_NUMBER,
    refusals=_NUMBER,
    makespan_s=st.floats(0, 1e9),
    limit=st.sampled_from(["requests", "tokens", "output tokens", "concurrency", "longest call", "nosuch", ""]),
    peak_concurrency=st.integers(0, 1000),
    settled_concurrency=st.floats(0, 1000),
    page_tokens=st.floats(0, 1e9),
    bound_s=st.none() | st.floats(0, 1e9),
    best_bound_s=st.none() | st.floats(0, 1e9),
    hit_rate=st.none() | st.floats(0, 1),
    rates=st.builds(Rates, st.none() | st.floats(0.01, 1e6), st.none() | st.floats(1, 1e9)),
)


@given(_EVIDENCE, st.floats(0, 1e12) | st.just(math.inf))
@examples(300)
def test_any_numbers_give_findings_and_lawful_settings(evidence: Evidence, free: float) -> None:
    findings = diagnose(evidence, free)
    document: dict[str, Any] = json.loads(json.dumps(to_dict(evidence, findings), allow_nan=False))
    assert document["binds"] == findings[0].binds


def test_free_memory_is_what_machine_and_container_leave(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == math.inf
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2000 kB\n")
    assert available_bytes(tmp_path) == 2_048_000
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("400000\n")
    assert available_bytes(tmp_path) == 600_000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert available_bytes(tmp_path) == 2_048_000
