"""`tagspace-lab serve` as a process: over the served twin, killed and started again, and asked to end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.fakes import RULES, TinySpace, make_scenario

PAGES = 30
Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
SECRETS = {
    "CONFLUENCE_API_TOKEN": "planted-confluence",
    "OPENAI_API_KEY": "planted-openai",
    "TAG_SPACE_SERVICE_TOKEN": "planted-service",
}


@dataclass
class Deadly:
    """The twin's app, which kills `victim` before request number `at`."""

    app: Asgi
    at: int
    victim: int = 0
    requests: int = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.requests += scope["type"] == "http"
        if self.requests == self.at and self.victim:
            os.kill(self.victim, signal.SIGKILL)
        await self.app(scope, receive, send)


def environ(base_url: str, folder: Path) -> dict[str, str]:
    return SECRETS | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(folder),
        "CONFLUENCE_URL": f"{base_url}/wiki",
        "CONFLUENCE_USERNAME": "me@example.com",
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "TAG_SPACE_MODEL": "openai:twin",
        "TAG_SPACE_BATCH_SIZE": "3",
        "TAG_SPACE_LOG_DIR": str(folder / "logs"),
    }


@dataclass
class Service:
    process: subprocess.Popen[str]
    client: httpx.Client
    base_url: str


@contextmanager
def service(variables: dict[str, str], folder: Path, *options: str) -> Iterator[Service]:
    """A service in a process of its own, killed at the end if it still runs."""
    (folder / "labels.txt").write_text("\n".join(RULES.vocabulary))
    line = [sys.executable, "-m", "tagspace_lab", "serve", "--port", "0", "--labels", "labels.txt", *options]
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(line, env=variables, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=output)
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert base_url.startswith("http://127.0.0.1:"), (folder / "output.txt").read_text()
        headers = {"authorization": f"Bearer {SECRETS['TAG_SPACE_SERVICE_TOKEN']}"}
        with httpx.Client(base_url=base_url, headers=headers, timeout=30) as client:
            yield Service(process, client, base_url)
    finally:
        process.kill()
        process.communicate()


def test_task_survives_a_kill_and_every_page_is_labelled_once(tmp_path: Path) -> None:
    scenario = make_scenario(
        provider={"latency": {"first_token_s": 0.05, "first_token_sigma": 0.0}}, confluence={"latency_s": 0.005}
    )
    app = build_app(scenario, TinySpace(PAGES), wall_clock=time.time)
    deadly = Deadly(app, at=30)
    with serve(deadly) as base_url:
        variables = environ(base_url, tmp_path)
        with service(variables, tmp_path) as first:
            assert httpx.get(f"{first.base_url}/bulk/tasks").status_code == 401
            deadly.victim = first.process.pid
            task_id = first.client.post("/bulk/tag-space/TINY", json={"background": True, "dry_run": False}).json()[
                "task_id"
            ]
            assert first.process.wait(30) == -signal.SIGKILL
        deadly.victim = 0
        with service(variables, tmp_path) as second:
            view = second.client.get(f"/bulk/tasks/{task_id}").json()
            assert view["status"] == "interrupted"
            assert 0 < len(view["result"]["details"]) < PAGES
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(30) == 0
        with service(variables, tmp_path, "--resume", "--trace", "trace.jsonl") as third:
            assert "event: end" in third.client.get(f"/bulk/tasks/{task_id}/events").text
            view = third.client.get(f"/bulk/tasks/{task_id}").json()
            third.process.send_signal(signal.SIGINT)
            assert third.process.wait(30) == 0
    assert (view["status"], view["result"]["success"], len(view["result"]["details"])) == ("done", PAGES, PAGES)
    assert '"kind":"attempt"' in (tmp_path / "trace.jsonl").read_text()
    confluence = app.state.confluence
    for page in map(str, range(1000, 1000 + PAGES)):
        assert {label["name"] for label in confluence.labels.read(page)} == set(TinySpace(PAGES).gold(page))
    assert max(confluence.writes.values()) == 1, "a label was written twice"
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and b"planted-" in path.read_bytes()), f"{path.name} holds a token"


def test_end_finishes_what_is_in_flight(tmp_path: Path) -> None:
    scenario = make_scenario(provider={"latency": {"first_token_s": 0.3, "first_token_sigma": 0.0}})
    with serve(build_app(scenario, TinySpace(600), wall_clock=time.time)) as base_url:
        with service(environ(base_url, tmp_path), tmp_path) as running:
            task_id = running.client.post("/bulk/tag-space/TINY", json={"background": True}).json()["task_id"]
            with running.client.stream("GET", f"/bulk/tasks/{task_id}/events") as response:
                for line in response.iter_lines():
                    if re.search(r'"processed": [1-9]', line):
                        running.process.send_signal(signal.SIGTERM)
                        break
            assert running.process.wait(30) == 0
        with service(environ(base_url, tmp_path), tmp_path) as again:
            view = again.client.get(f"/bulk/tasks/{task_id}").json()
    assert view["status"] == "stopped"
    assert 0 < view["processed"] < 600


def test_missing_extra_is_named(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["fastapi"], sys.argv = None, ["tagspace-lab", "serve"]
from tagspace_lab.cli import main
main()
"""
    variables = environ("http://127.0.0.1:9", tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "the service needs fastapi; install it with: pip install 'tagspace-lab[serve]'" in done.stderr


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ({"TAG_SPACE_SERVICE_TOKEN": ""}, ("--host", "0.0.0.0"), "set TAG_SPACE_SERVICE_TOKEN"),
        ({"CONFLUENCE_URL": ""}, (), "CONFLUENCE_URL is not set"),
        ({}, ("--trace", "."), "Is a directory"),
        ({"TAG_SPACE_BATCH_SIZE": "0"}, (), "TAG_SPACE_BATCH_SIZE is 0"),
    ],
)
def test_service_that_cannot_work_does_not_start(
    tmp_path: Path, variables: dict[str, str], options: tuple[str, ...], message: str
) -> None:
    line = [sys.executable, "-m", "tagspace_lab", "serve", "--port", "0", *options]
    done = subprocess.run(
        line,
        env=environ("http://127.0.0.1:9", tmp_path) | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
