"""A recorded run, calibrated and replayed: what must come out within a few per cent, and what is said of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagspace_lab.lab.calibration.calibration import Calibration, calibrate
from tagspace_lab.lab.calibration.check import check
from tagspace_lab.lab.calibration.claims import read_claims
from tagspace_lab.lab.calibration.decisions import decide
from tagspace_lab.lab.calibration.findings import NOT_SEEN, roundest
from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.lab.world import World
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.records import Outcome, Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Limits, Scenario, load_scenario
from tagspace_lab.twin.spaces import shipped_space
from tests.fakes import TinySpace, make_scenario
from tests.pipeline.test_traces import make_attempt

LARGE = shipped_space("large")
FAST = {"first_token_s": 0.2, "first_token_sigma": 0.2, "output_tokens_per_s": 200.0}


def make_record(
    path: Path, space: Space, scenario: Scenario, settings: Settings | None = None, *, wall_clock: bool = False
) -> Calibration:
    with TraceWriter(path) as trace:
        World(space, scenario, seed=1).run(settings or Settings(), trace=trace, wall_clock=wall_clock)
    return calibrate(path)


def value(calibration: Calibration, key: str) -> Any:
    return next((finding.value for finding in calibration.findings if finding.key == key), None)


CAPPED = make_scenario(provider={"limits": {"concurrency_cap": 6, "retry_after": "missing"}, "latency": FAST})
PENALISED = make_scenario(
    provider={
        "limits": {"requests_per_min": 90.0, "burst_requests": 8.0, "rejected_count": True, "retry_after": "exact"},
        "latency": FAST,
    }
)
SLIDING = make_scenario(
    provider={
        "limits": {"requests_per_min": 120.0, "window": "sliding", "window_s": 10.0, "retry_after": "exact"},
        "latency": FAST,
    }
)
HALVED = make_scenario(
    provider={
        "headers": "openai",
        "limits": {"requests_per_min": 240.0, "burst_requests": 10.0},
        "latency": FAST,
        "events": [{"kind": "limits", "at_s": 15.0, "factor": 0.5}],
    }
)
RECORDED: dict[str, tuple[Space, Scenario, Settings]] = {
    **{
        name: (LARGE, load_scenario(name), Settings())
        for name in (
            *("anthropic-tier1", "azure", "blind-bucket", "gateway-fixed-window"),
            *("guide", "openai-tier1", "outage", "penalty", "self-hosted"),
        )
    },
    "capped": (TinySpace(400), CAPPED, Settings(batch_size=2)),
    "penalised": (TinySpace(150), PENALISED, Settings(batch_size=1)),
    "sliding": (TinySpace(150), SLIDING, Settings(batch_size=1)),
    "halved": (TinySpace(150), HALVED, Settings(batch_size=1)),
}


@pytest.mark.parametrize("name", RECORDED)
def test_twin_comes_close_to_the_recorded_run(name: str, tmp_path: Path) -> None:
    """Makespan within 5 %, p95 latency within 10 %, 429s within 2, in a space made up after the trace."""
    result = check(make_record(tmp_path / "run.jsonl", *RECORDED[name]), seeds=range(5))
    assert result.misses == [], result.rows()


@pytest.mark.parametrize(
    ("name", "key", "true"),
    [
        ("blind-bucket", "requests_per_min", 600),
        ("blind-bucket", "burst_requests", 5),
        ("penalty", "requests_per_min", 600),
        ("penalty", "rejected_count", True),
        ("penalised", "requests_per_min", 90),
        ("capped", "concurrency_cap", 6),
        ("sliding", "window", "sliding"),
        ("sliding", "requests_per_min", 120),
        ("gateway-fixed-window", "window", "fixed"),
        ("openai-tier1", "reserve_max_tokens", True),
        ("openai-tier1", "burst_requests", 60),
        ("guide", "burst_tokens", 50_000),
        ("anthropic-tier1", "input_tokens_per_min", 30_000),
        ("halved", "requests_per_min", 240),
    ],
)
def test_limit_that_was_hit_or_stated_is_recovered(name: str, key: str, true: object, tmp_path: Path) -> None:
    found = value(make_record(tmp_path / "run.jsonl", *RECORDED[name]), f"provider.limits.{key}")
    assert found == (pytest.approx(true, rel=0.05) if isinstance(true, int) and true is not True else true)


def test_self_hosted_cap_is_recovered_where_it_was_reached(tmp_path: Path) -> None:
    settings = Settings(max_ai_concurrency=40)
    calibration = make_record(tmp_path / "run.jsonl", LARGE, load_scenario("self-hosted"), settings)
    assert value(calibration, "provider.limits.concurrency_cap") == 16
    assert check(calibration, seeds=range(5)).error("makespan_s") == pytest.approx(0, abs=0.08)


def test_dialects_are_told_apart(tmp_path: Path) -> None:
    for name in ("anthropic-tier1", "azure", "gateway-fixed-window", "openai-tier1", "self-hosted"):
        calibration = make_record(tmp_path / f"{name}.jsonl", shipped_space("medium"), load_scenario(name))
        assert value(calibration, "provider.headers") == load_scenario(name).provider.headers


@pytest.mark.parametrize("claim", ["exact", "window", "missing"])
def test_habit_of_retry_after_is_recognised(claim: str, tmp_path: Path) -> None:
    limits = {"requests_per_min": 30.0, "burst_requests": 2.0, "window_s": 20.0, "retry_after": claim}
    scenario = make_scenario(provider={"limits": limits, "latency": FAST})
    settings = Settings(batch_size=1, throttle="fixed")
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(60), scenario, settings)
    assert value(calibration, "provider.limits.retry_after") == claim


def test_latency_is_taken_apart(tmp_path: Path) -> None:
    latency = {"first_token_s": 0.8, "first_token_sigma": 0.3, "output_tokens_per_s": 50.0}
    provider = {
        "latency": latency | {"load_factor": 0.8, "load_reference": 10.0},
        "output": {"tokens_per_page": 40.0, "tokens_per_call": 20.0},
    }
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(900), make_scenario(provider=provider))
    fitted = calibration.scenario.provider.latency
    assert fitted.first_token_s == pytest.approx(0.8, rel=0.2)
    assert fitted.first_token_sigma == pytest.approx(0.3, abs=0.1)
    assert fitted.output_tokens_per_s == pytest.approx(50.0, rel=0.15)
    assert fitted.load_factor / (fitted.load_reference or 0) == pytest.approx(0.08, rel=0.15)


def test_several_batch_sizes_tell_pages_from_calls(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    scenario = make_scenario(provider={"output": {"tokens_per_page": 40.0, "tokens_per_call": 20.0}})
    with TraceWriter(path) as trace:
        for size in (1, 5, 10):
            World(TinySpace(200), scenario).run(Settings(batch_size=size), trace=trace)
    calibration = calibrate(path)
    assert value(calibration, "provider.output.tokens_per_page") == pytest.approx(40, rel=0.05)
    assert value(calibration, "provider.output.tokens_per_call") == pytest.approx(20, abs=5)
    assert not any("pages a call" in note for note in calibration.notes)


def test_error_shares_are_counted(tmp_path: Path) -> None:
    faults = {"server_error_share": 0.1, "timeout_share": 0.02, "timeout_s": 20.0, "partial_share": 0.1}
    scenario = make_scenario(provider={"faults": faults})
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(1500), scenario)
    fitted = calibration.scenario.provider.faults
    assert fitted.server_error_share == pytest.approx(0.1, abs=0.04)
    assert fitted.timeout_share == pytest.approx(0.02, abs=0.015)
    assert fitted.timeout_s == 20.0
    assert fitted.partial_share == pytest.approx(0.1, abs=0.04)


def test_fallback_is_calibrated_too(tmp_path: Path) -> None:
    fallback = {"latency": {"first_token_s": 2.0, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}}
    limits = {"requests_per_min": 4.0, "burst_requests": 2.0}
    scenario = make_scenario(provider={"limits": limits}, fallback=fallback)
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(60), scenario, Settings(batch_size=1))
    assert calibration.scenario.fallback is not None
    latency = calibration.scenario.fallback.latency
    assert latency.first_token_s + 35 / latency.output_tokens_per_s == pytest.approx(2.0, rel=0.05)


def test_what_was_not_seen_is_said_and_left_out(tmp_path: Path) -> None:
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(50), make_scenario())
    unseen = {finding.key: finding.note for finding in calibration.findings if finding.source == NOT_SEEN}
    assert "never reached: 10 calls at once were let in" in unseen["provider.limits.concurrency_cap"]
    assert "nothing was refused" in unseen["provider.limits.requests_per_min"]
    assert calibration.scenario.provider.limits == Limits()
    assert any("every run asked 5 pages a call" in note for note in calibration.notes)
    assert any("decisions only" in note for note in calibration.notes)


def test_scenario_file_reads_back_the_same(tmp_path: Path) -> None:
    for name in ("guide", "outage", "self-hosted"):
        calibration = make_record(tmp_path / f"{name}.jsonl", shipped_space("medium"), load_scenario(name))
        path = tmp_path / f"{name}.toml"
        path.write_text(calibration.to_toml(), "utf-8")
        assert load_scenario(path).content_hash == calibration.scenario.content_hash
        assert "# concurrency_cap: not seen" in path.read_text("utf-8")


def test_same_trace_gives_the_same_file(tmp_path: Path) -> None:
    calibration = make_record(tmp_path / "run.jsonl", shipped_space("medium"), load_scenario("guide"))
    assert calibrate(tmp_path / "run.jsonl").to_toml() == calibration.to_toml()
    json.dumps(calibration.to_dict(), allow_nan=False)


def test_recorded_space_can_be_given(tmp_path: Path) -> None:
    calibration = make_record(tmp_path / "run.jsonl", LARGE, load_scenario("blind-bucket"))
    assert check(calibration, LARGE, seeds=[7]).is_close


SOCKETS = {"first_token_s": 0.2, "first_token_sigma": 0.05, "output_tokens_per_s": 1e6, "reject_s": 0.01}
PACED = make_scenario(
    provider={
        "limits": {"requests_per_min": 600.0, "burst_requests": 5.0, "retry_after": "missing"},
        "latency": SOCKETS,
    },
    confluence={"latency_s": 0.01},
)
CROWDED = make_scenario(
    provider={"limits": {"concurrency_cap": 6, "retry_after": "missing"}, "latency": SOCKETS},
    confluence={"latency_s": 0.01},
)
WIRED = [(PACED, 90, "requests_per_min"), (CROWDED, 200, "concurrency_cap")]


@pytest.mark.parametrize(("scenario", "pages", "key"), WIRED)
def test_run_over_sockets_is_recovered(scenario: Scenario, pages: int, key: str, tmp_path: Path) -> None:
    calibration = make_record(
        tmp_path / "run.jsonl", TinySpace(pages), scenario, Settings(batch_size=1), wall_clock=True
    )
    true = getattr(scenario.provider.limits, key)
    assert value(calibration, f"provider.limits.{key}") == pytest.approx(true, rel=0.05)
    result = check(calibration, seeds=range(5))
    assert result.misses == [], result.rows()


def send_earlier(run: TraceRun, by_s: Sequence[float]) -> TraceRun:
    """The same run as if each call had been on its way for so long."""
    moved = [
        replace(attempt, started_s=max(0.0, attempt.started_s - early_s))
        for attempt, early_s in zip(run.attempts, by_s, strict=True)
    ]
    return replace(run, attempts=moved)


@pytest.mark.parametrize("seed", range(3))
def test_rate_is_recovered_where_calls_arrive_late(seed: int, tmp_path: Path) -> None:
    """As it was measured over sockets: half of the calls are on their way for 1 ms, one in twenty for 9 ms or more."""
    (run,) = make_record(tmp_path / "run.jsonl", TinySpace(90), PACED, Settings(batch_size=1)).runs
    late_s = 0.001 * np.random.default_rng(seed).lognormal(0.0, 1.3, len(run.attempts))
    calibration = calibrate([send_earlier(run, late_s.tolist())])
    assert value(calibration, "provider.limits.requests_per_min") == pytest.approx(600, rel=0.05)


def test_cap_is_recovered_where_a_call_is_sent_as_another_ends(tmp_path: Path) -> None:
    (run,) = make_record(tmp_path / "run.jsonl", TinySpace(200), CROWDED, Settings(batch_size=1)).runs
    calibration = calibrate([send_earlier(run, [0.0001] * len(run.attempts))])
    assert value(calibration, "provider.limits.concurrency_cap") == 6


def test_changed_limit_without_headers_is_said(tmp_path: Path) -> None:
    events = [{"kind": "tenants", "at_s": 0.0, "share": 0.4}]
    limits = {"requests_per_min": 300.0, "burst_requests": 2.0, "retry_after": "missing"}
    scenario = make_scenario(provider={"limits": limits, "latency": FAST, "events": events})
    calibration = make_record(tmp_path / "run.jsonl", TinySpace(400), scenario, Settings(batch_size=1))
    assert any("limits may have changed" in note for note in calibration.notes)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([3.0, 4.0, 2.0, 6.0], "exact"),
        ([5.5, 7.0, 4.0, 10.0], "late"),
        ([60.0, 60.0, 60.0, 60.0], "window"),
        ([9.0, 31.0, 17.0, 55.0], "wrong"),
        ([None, None, None, None], "missing"),
    ],
)
def test_claims_are_compared_with_the_waits_that_were_due(told: list[float | None], words: str) -> None:
    attempts = [
        replace(make_attempt(number, Outcome.RATE_LIMITED), retry_after_s=wait_s) for number, wait_s in enumerate(told)
    ]
    decisions = decide([TraceRun("docs", 4, 0.0, {}, Settings(), attempts=attempts)], "primary")
    assert read_claims(decisions, np.array([3.0, 4.0, 2.0, 6.0]))[0].value == words


@pytest.mark.parametrize(
    ("low", "high", "number"), [(593.0, 607.0, 600.0), (4.97, 5.01, 5.0), (137.2, 137.9, 137.5), (2.0, 2.0, 2.0)]
)
def test_roundest_number_of_a_range(low: float, high: float, number: float) -> None:
    assert roundest(low, high) == pytest.approx(number)
