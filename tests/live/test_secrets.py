"""Keys are planted in every place that takes one; then everything that a run leaves behind is searched for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.fakes import TinySpace, make_scenario

PLANTED = "planted7f3a"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    scenario = make_scenario(
        provider={
            "latency": {"first_token_s": 0.02, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9},
            "limits": {"requests_per_min": 600.0, "burst_requests": 2.0},
            "headers": "openai",
        },
        confluence={"latency_s": 0.005},
    )
    with serve(build_app(scenario, TinySpace(20), wall_clock=time.time)) as url:
        yield url


@pytest.fixture
def environ(base_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "CONFLUENCE_URL": f"{base_url}/wiki",
        "CONFLUENCE_USERNAME": "me@example.com",
        "CONFLUENCE_API_TOKEN": f"{PLANTED}-confluence-token",
        "CONFLUENCE_PERSONAL_TOKEN": f"{PLANTED}-personal-token",
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "OPENAI_API_KEY": f"{PLANTED}-openai-key",
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_API_KEY": f"{PLANTED}-anthropic-key",
        "TAG_SPACE_MODEL": "openai:twin",
        "TAG_SPACE_FALLBACK_MODEL": "anthropic:twin",
        "TAG_SPACE_ALERT_URL": f"http://127.0.0.1:9/{PLANTED}-hook",
        "TAG_SPACE_SERVICE_TOKEN": f"{PLANTED}-service-token",
        "TAG_SPACE_LOG_DIR": str(tmp_path / "logs"),
        "TAG_SPACE_BATCH_SIZE": "1",
        "TAG_SPACE_MAX_AI_CONCURRENCY": "5",
        "TAG_SPACE_AI_CONCURRENCY": "5",
        "TAGSPACE_DEBUG": "1",
    }


Run = Callable[..., str]


@pytest.fixture
def run(environ: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command line; gives all that it printed."""

    def act(*words: str, **changes: str) -> str:
        line = [sys.executable, "-m", "tagspace_lab", *words]
        done = subprocess.run(
            line, env=environ | changes, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    return act


def assert_clean(printed: list[str], folder: Path) -> None:
    for text in printed:
        assert PLANTED not in text
    for path in folder.rglob("*"):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), path


def test_a_run_leaves_no_key_behind(run: Run, tmp_path: Path) -> None:
    printed = [
        run("tag", "TINY", "--apply", "--trace", "trace.jsonl", "-o", "changes.csv"),
        run("tag", "TINY", "--json", "-o", "changes.json"),
        run("calibrate", "trace.jsonl", "-o", "scenario.toml"),
        run("diagnose", "trace.jsonl", "-o", "try.env"),
        run("monitor", "--once"),
        run("snapshot", "confluence", "TINY", "-o", "tiny.jsonl.gz"),
    ]
    for name in ("trace.jsonl", "changes.csv", "changes.json", "scenario.toml", "try.env", "tiny.jsonl.gz"):
        assert (tmp_path / name).exists(), (name, printed)
    assert list((tmp_path / "logs").iterdir())
    assert_clean(printed, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"CONFLUENCE_URL": f"http://me:{PLANTED}@127.0.0.1:9/wiki"},
        {"OPENAI_BASE_URL": f"http://127.0.0.1:9/v1?key={PLANTED}", "TAG_SPACE_GIVE_UP_S": "1"},
        {"TAG_SPACE_CACHE_URL": f"redis://:{PLANTED}@127.0.0.1:9/0"},
        {"TAG_SPACE_CACHE_URL": f"memcached://{PLANTED}"},
        {"TAG_SPACE_MODEL": "mistral:x"},
        {"TAG_SPACE_OPENAI_KEY": f"{PLANTED}-in-the-wrong-place"},
        {"CONFLUENCE_API_TOKEN": f"{PLANTED}\n-two-lines"},
        {"OPENAI_API_KEY": f"{PLANTED}-schlüssel-東"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_error_shows_no_key(run: Run, tmp_path: Path, changes: dict[str, str]) -> None:
    printed = run("tag", "TINY", "--apply", "--trace", "trace.jsonl", "-o", "changes.csv", **changes)
    assert printed
    assert_clean([printed], tmp_path)
