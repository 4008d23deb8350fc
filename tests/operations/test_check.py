from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tagspace_lab import integration
from tagspace_lab.cli.app import app
from tagspace_lab.errors import InputError
from tagspace_lab.lab.world import serve
from tagspace_lab.operations.check import CHECKS, Check, Line, is_ready, run_checks
from tagspace_lab.twin.app import build_app
from tests.fakes import TinySpace, make_scenario

KEY = "sk-planted-0123456789"
NAMES = tuple(CHECKS)
QUICK = make_scenario(
    provider={"latency": {"first_token_s": 0.02, "first_token_sigma": 0.0}}, confluence={"latency_s": 0.01}
)
SETTINGS, PROVIDER, FALLBACK, CONFLUENCE, SMALL, SECOND, CONCURRENCY, DROP_IN, LOGS, PROFILE = NAMES


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("TAG_SPACE_BATCH_SIZE", "TAG_SPACE_LOG_DIR"):
        monkeypatch.delenv(name, raising=False)
    integration.reset()
    yield
    integration.reset()


def connected(base_url: str, **more: str) -> dict[str, str]:
    return {
        "CONFLUENCE_URL": f"{base_url}/wiki",
        "CONFLUENCE_USERNAME": "me@example.com",
        "CONFLUENCE_API_TOKEN": KEY,
        "TAG_SPACE_MODEL": "openai:twin",
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "OPENAI_API_KEY": KEY,
    } | more


def look(name: str, variables: dict[str, str], **options: Any) -> Line:
    lines = run_checks(Check(variables, **options), only=(SETTINGS, name))
    return lines[-1]


@pytest.fixture(scope="module")
def twin() -> Iterator[str]:
    with serve(build_app(QUICK, TinySpace(), wall_clock=time.time)) as base_url:
        yield base_url


def test_everything_is_in_order_on_the_served_twin(twin: str, tmp_path: Path) -> None:
    variables = connected(twin, TAG_SPACE_LOG_DIR=str(tmp_path / "logs"))
    variables |= {"TAG_SPACE_FALLBACK_MODEL": "anthropic:twin", "ANTHROPIC_BASE_URL": twin, "ANTHROPIC_API_KEY": KEY}
    told: list[Line] = []
    began_s = time.perf_counter()
    lines = run_checks(Check(variables), told.append)
    assert time.perf_counter() - began_s < 30
    assert [(line.name, line.state) for line in lines] == [(name, "ok") for name in NAMES]
    assert told == lines
    assert is_ready(lines)
    assert KEY not in repr(lines)


def test_offline_asks_nobody_and_says_so(twin: str) -> None:
    lines = run_checks(Check(connected("http://127.0.0.1:9"), is_offline=True))
    assert is_ready(lines)
    skipped = {line.name: line.found for line in lines if line.state == "skipped"}
    assert skipped == {
        PROVIDER: "not tried: --offline",
        FALLBACK: "TAG_SPACE_FALLBACK_MODEL is not set: the run has no second provider",
        CONFLUENCE: "not tried: --offline",
    }


def test_settings_that_cannot_be_read_fail_and_the_rest_is_not_tried() -> None:
    lines = run_checks(Check({"TAG_SPACE_BATCH_SIZE": "0"}))
    assert (lines[0].state, lines[0].cure) == ("failed", "allowed: an integer from 1 to 50")
    assert {line.state for line in lines[1:-1]} == {"skipped"}
    assert lines[-1].state == "ok"


def test_provider_without_a_valid_key_fails(twin: str) -> None:
    line = look(PROVIDER, connected(twin, OPENAI_API_KEY=""))
    assert (line.state, line.cure) == ("failed", "check its key, its name and its base URL")
    assert "HTTP 401" in line.found


def test_provider_and_confluence_that_are_not_there_fail() -> None:
    with serve(build_app(make_scenario(), TinySpace())) as base_url:
        variables = connected(base_url)
    line = look(PROVIDER, variables)
    assert (line.state, line.cure) == ("failed", "check its base URL, the network and the proxy")
    line = look(CONFLUENCE, variables, live_s=0.5)
    assert line.state == "failed"
    assert KEY not in line.found


def test_provider_and_confluence_that_never_answer_fail_in_time() -> None:
    async def hang(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    with serve(hang) as base_url:
        for name in (PROVIDER, CONFLUENCE):
            line = look(name, connected(base_url), live_s=0.3)
            assert (line.state, line.found[-22:]) == ("failed", "no answer within 0.3 s")


def test_provider_that_is_rate_limited_takes_the_key() -> None:
    scenario = make_scenario(provider={"limits": {"requests_per_min": 1, "burst_requests": 1}})
    with serve(build_app(scenario, TinySpace(), wall_clock=time.time)) as base_url:
        first, second = (look(PROVIDER, connected(base_url)) for _ in range(2))
    assert (first.state, second.state) == ("ok", "ok")
    assert "rate limited now" in second.found


def test_confluence_that_takes_nobody_fails(twin: str) -> None:
    line = look(CONFLUENCE, connected(twin, CONFLUENCE_URL=f"{twin}/nosuch/wiki"), live_s=2)
    assert line.state == "failed"
    assert line.cure or line.found


def test_confluence_that_is_not_named_is_skipped() -> None:
    assert look(CONFLUENCE, {}) == Line(CONFLUENCE, "skipped", "CONFLUENCE_URL is not set: not tried")


def scenario_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'name = "mine"\ndescription = "x"\nsource = "x"\n{text}', "utf-8")
    return path


def test_small_space_that_is_slow_or_fails_fails(tmp_path: Path) -> None:
    slow = scenario_file(tmp_path, "[provider.latency]\nfirst_token_s = 40\n")
    line = look(SMALL, {}, scenario=slow)
    assert line.state == "failed"
    assert "more than 30 s" in line.found
    broken = scenario_file(tmp_path, "[provider.faults]\nmalformed_share = 1.0\n")
    assert "were not tagged" in look(SMALL, {}, scenario=broken).found


def test_second_run_without_cache_or_with_a_tiny_one_fails() -> None:
    assert look(SECOND, {"TAG_SPACE_CACHE_ENABLED": "false"}).cure == "set TAG_SPACE_CACHE_ENABLED=true"
    line = look(SECOND, {"TAG_SPACE_CACHE_SIZE": "3"})
    assert (line.state, line.cure) == (
        "failed",
        "set TAG_SPACE_CACHE_SIZE to more than the pages of the space (15 here)",
    )


def test_concurrency_that_does_not_settle_fails() -> None:
    storm = {"TAG_SPACE_THROTTLE": "fixed", "TAG_SPACE_AI_CONCURRENCY": "10", "TAG_SPACE_BATCH_SIZE": "1"}
    line = look(CONCURRENCY, storm)
    assert line.state == "failed"
    assert "TAG_SPACE_THROTTLE=learned" in line.cure


def test_drop_in_name_that_is_gone_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integration, "get_ai_cache", lambda: None)
    assert look(DROP_IN, {}).state == "failed"


def test_logs_without_marks_or_a_folder_fail(tmp_path: Path) -> None:
    logging.disable(logging.INFO)
    try:
        assert "these marks are missing: ROUTER" in look(LOGS, {}).found
    finally:
        logging.disable(logging.NOTSET)
    (tmp_path / "file").write_text("")
    line = look(LOGS, {"TAG_SPACE_LOG_DIR": str(tmp_path / "file")})
    assert (line.state, line.cure) == ("failed", "set TAG_SPACE_LOG_DIR to a folder that may be written")


def test_profile_that_is_gone_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise InputError("no profile 'conservative' is shipped; shipped: default")

    monkeypatch.setattr("tagspace_lab.operations.check.read_profile", gone)
    assert look(PROFILE, {}) == Line(PROFILE, "failed", "no profile 'conservative' is shipped", "shipped: default")


def run(line: str, **environ: str) -> Result:
    return CliRunner().invoke(app, line.split(), env=environ)


def test_command_ends_with_0_where_all_is_well_and_prints_the_documented_object(twin: str) -> None:
    result = run("check --json", **connected(twin))
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ready"], len(document["lines"])) == (0, True, len(NAMES))
    assert set(document) == {"ready", "offline", "space", "scenario", "lines"}


def test_command_ends_with_1_and_says_what_failed_and_what_to_do() -> None:
    result = run("check --offline", TAG_SPACE_CACHE_ENABLED="false")
    assert result.exit_code == 1
    assert "failed  a second run finds more than half in the cache: the cache is switched off" in result.stdout
    assert "-> set TAG_SPACE_CACHE_ENABLED=true" in result.stdout
    assert result.stderr == "Not ready: a line failed.\n"


def test_pages_of_a_live_space_are_tagged_twice_and_no_label_is_written(tmp_path: Path) -> None:
    world = build_app(QUICK, TinySpace(40), wall_clock=time.time)
    with serve(world) as base_url:
        variables = connected(base_url, TAG_SPACE_STATE_DIR=str(tmp_path / "state"))
        small, second = run_checks(Check(variables, space="TINY"), only=(SMALL, SECOND))
        missing = look(SMALL, variables, space="NOSUCH")
    assert small.state == second.state == "ok"
    assert small.found.startswith("15 pages in ")
    assert "100% of the pages of the second run" in second.found
    assert missing.state == "failed"
    assert "NOSUCH" in missing.found
    assert not world.state.confluence.writes
    assert not (tmp_path / "state").exists()


def test_live_space_that_takes_too_long_fails_in_time() -> None:
    slow = make_scenario(confluence={"latency_s": 0.01})
    with serve(build_app(slow, TinySpace(40), wall_clock=time.time)) as base_url:
        line = look(SMALL, connected(base_url, TAG_SPACE_BATCH_SIZE="1"), space="TINY", live_s=0.4)
    assert line.state == "failed"
    assert "pages were not tagged: the run was stopped" in line.found


def test_secret_in_what_a_server_says_is_blotted_out(twin: str) -> None:
    lines = run_checks(Check({"TAG_SPACE_BATCH_SIZE": KEY, "OPENAI_API_KEY": KEY}), only=(SETTINGS,))
    assert KEY not in repr(lines)
