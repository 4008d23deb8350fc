"""`tag --apply` killed at random moments over sockets, and resumed: nothing lost, nothing written or paid twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.fakes import RULES, TinySpace, make_scenario

PAGES = 30
BATCH = 3
IN_FLIGHT = 3
Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


@dataclass
class Watched:
    """The twin's app. It kills the client of the moment at request number `at`: before, or after it was answered."""

    app: Asgi
    at: int = 0
    is_after: bool = False
    victim: int = 0
    requests: int = 0
    paid: int = 0  # prompts that were answered

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.requests += 1
        is_last = self.requests == self.at
        if is_last and not self.is_after:
            self._kill()

        async def count(message: MutableMapping[str, Any]) -> None:
            is_prompt = scope["path"].endswith("/chat/completions") and message.get("status") == 200
            self.paid += is_prompt and message["type"] == "http.response.start"
            await send(message)

        await self.app(scope, receive, count)
        if is_last and self.is_after:
            self._kill()
        return None

    def _kill(self) -> None:
        os.kill(self.victim, signal.SIGKILL)


def command(base_url: str, kind: str, folder: Path, *options: str) -> tuple[list[str], dict[str, str]]:
    """The command as it is typed, and its environment."""
    (folder / "labels.txt").write_text("\n".join(RULES.vocabulary))
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(folder),
        "CONFLUENCE_URL": f"{base_url}{'/wiki' if kind == 'cloud' else '/confluence'}",
        "CONFLUENCE_USERNAME": "me@example.com",
        "CONFLUENCE_API_TOKEN": "twin-token",
        "CONFLUENCE_PERSONAL_TOKEN": "twin-token",
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "OPENAI_API_KEY": "twin-key",
        "TAG_SPACE_MODEL": "openai:twin",
        "TAG_SPACE_BATCH_SIZE": str(BATCH),
        "TAG_SPACE_AI_CONCURRENCY": str(IN_FLIGHT),
        "TAG_SPACE_MAX_AI_CONCURRENCY": str(IN_FLIGHT),
    }
    line = [sys.executable, "-m", "tagspace_lab", "tag", "TINY", "--apply", "--labels", "labels.txt", *options]
    return line, environ


@pytest.mark.parametrize("number", range(10))
def test_killed_task_goes_on_where_it_was(number: int, tmp_path: Path) -> None:
    rng = random.Random(number)
    kind = ("cloud", "data-center")[number % 2]
    scenario = make_scenario(
        provider={"latency": {"first_token_s": 0.1, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}},
        confluence={"latency_s": 0.005},
    )
    app = build_app(scenario, TinySpace(PAGES), wall_clock=time.time)
    requests_in_all = 3 + PAGES // BATCH + 2 * PAGES
    watched = Watched(app, at=rng.randint(2, requests_in_all), is_after=rng.random() < 0.5)
    with serve(watched) as base_url:
        line, environ = command(base_url, kind, tmp_path)
        first = subprocess.Popen(line, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watched.victim = first.pid
        first.communicate(timeout=60)
        killed = first.returncode == -signal.SIGKILL
        watched.at = 0
        done = subprocess.run(
            [*line, "--resume", "--json"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert killed, "the run ended before the moment that was drawn: draw an earlier one"
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sorted(detail["page_id"] for detail in result["details"]) == [str(1000 + page) for page in range(PAGES)]
    assert {detail["status"] for detail in result["details"]} <= {"tagged", "cached"}
    confluence = app.state.confluence
    for page in map(str, range(1000, 1000 + PAGES)):
        assert {label["name"] for label in confluence.labels.read(page)} == set(TinySpace(PAGES).gold(page))
    assert max(confluence.writes.values()) == 1, "a label was written twice"
    assert watched.paid <= PAGES // BATCH + IN_FLIGHT, "more was paid twice than was in flight"
