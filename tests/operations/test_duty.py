from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Mount, Route

from tagspace_lab.errors import SettingsError
from tagspace_lab.lab.world import serve
from tagspace_lab.live.connections import load_connections
from tagspace_lab.live.logs import APP_LOG, ROUTER_LOG
from tagspace_lab.live.running import run_task, start_task
from tagspace_lab.live.task import Request
from tagspace_lab.operations.duty import on_duty, secrets_of
from tagspace_lab.operations.monitor import LogWatch, TaskWatch, View
from tagspace_lab.pipeline.journal import Journal
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import build_app
from tests.fakes import RULES, TinySpace, make_scenario

KEY = "sk-planted-0123456789"
TOKEN = "atatt-planted/9876543210="
WORDS = (KEY, TOKEN, b64encode(f"me@example.com:{TOKEN}".encode()).decode(), "planted")
TALKATIVE = ("httpx", "httpcore", "asyncio", "uvicorn")


@pytest.fixture(autouse=True)
def everybody_talks() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate


def world(alerts: list[Any]) -> Starlette:
    """A provider that takes three calls at once and refuses the others, a wiki, and a webhook."""
    limits = {"concurrency_cap": 3, "retry_after": "missing"}
    latency = {"first_token_s": 0.03, "first_token_sigma": 0.0}
    scenario = make_scenario(provider={"limits": limits, "latency": latency}, confluence={"latency_s": 0.01})
    twin = build_app(scenario, TinySpace(24), wall_clock=time.time)

    async def receive(request: HttpRequest) -> Response:
        alerts.append(await request.json())
        return Response(status_code=204)

    return Starlette(routes=[Route("/hook/{rest:path}", receive, methods=["POST"]), Mount("/", twin)])


def test_live_run_is_logged_alerted_and_watched_and_no_secret_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts: list[Any] = []
    views: list[View] = []
    with ExitStack() as stack:
        base_url = stack.enter_context(serve(world(alerts)))
        copy = f"import sys; open({str(tmp_path / 'alert.json')!r}, 'w').write(sys.stdin.read())"
        variables = {
            "CONFLUENCE_URL": f"{base_url}/wiki",
            "CONFLUENCE_USERNAME": "me@example.com",
            "CONFLUENCE_API_TOKEN": TOKEN,
            "TAG_SPACE_MODEL": "openai:twin",
            "OPENAI_BASE_URL": f"{base_url}/v1",
            "OPENAI_API_KEY": KEY,
            "TAG_SPACE_STATE_DIR": str(tmp_path / "state"),
            "TAG_SPACE_LOG_DIR": str(tmp_path / "logs"),
            "TAG_SPACE_ALERT_URL": f"{base_url}/hook/{KEY}?token=planted-query",
            "TAG_SPACE_ALERT_COMMAND": f'{sys.executable} -c "{copy}" {KEY}',
            "TAG_SPACE_ALERT_429_SHARE": "0.3",
        }
        connections = load_connections(variables)
        journal = stack.enter_context(Journal(tmp_path / "state/journal.sqlite"))
        request = Request("TINY", apply=True, labels=RULES.vocabulary)
        start_task(journal, request, connections, task_id="TINY-1", now_s=time.time())
        alarm = stack.enter_context(on_duty(connections, variables, {"task_id": "TINY-1", "space": "TINY"}))
        settings = Settings(batch_size=1, ai_concurrency=20, max_ai_concurrency=20, throttle="fixed")
        result = asyncio.run(
            run_task(
                "TINY-1",
                request,
                connections,
                settings,
                journal,
                rng=random.Random(1),
                wall_clock=time.time,
                listeners=[alarm],
                on_progress=lambda job, done, known: views.append(TaskWatch(journal, "TINY-1", time.time).look()),
            )
        )
        view = TaskWatch(journal, "TINY-1", time.time).look()
    assert result.errors == 0
    assert (view.state, view.processed, view.total) == ("done", 24, 24)
    assert view.rate_limit_errors > 6
    assert any(0 < (each.processed or 0) < 24 and each.concurrency and not each.is_ended for each in views)
    assert [(alert["event"], alert["task_id"]) for alert in alerts] == [("rate_limited", "TINY-1")]
    assert json.loads((tmp_path / "alert.json").read_text()) == alerts[0]
    watch = LogWatch(tmp_path / "logs")
    logged = watch.look()
    watch.close()
    assert (logged.state, logged.processed, logged.rate_limit_errors) == ("ended", 24, view.rate_limit_errors)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {ROUTER_LOG, APP_LOG} <= {path.name for path in written}
    assert b"httpcore" in written[tmp_path / "logs" / APP_LOG]
    heard = "".join(capfd.readouterr()).encode()
    for word in map(str.encode, WORDS):
        assert [path for path, text in written.items() if word in text] == []
        assert word not in heard


def test_secrets_of_a_file_are_known_although_the_environment_has_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"CONFLUENCE_USERNAME=me@example.com\nCONFLUENCE_API_TOKEN={TOKEN}\n")
    assert set(WORDS[1:3]) <= set(secrets_of(load_connections({}, tmp_path / ".env"), {}))


def test_alert_that_cannot_be_meant_is_told_before_the_run(tmp_path: Path) -> None:
    connections = load_connections({"TAG_SPACE_ALERT_URL": "nowhere", "TAG_SPACE_LOG_DIR": str(tmp_path / "logs")})
    with pytest.raises(SettingsError), on_duty(connections, {}):
        pass
    assert not (tmp_path / "logs").exists()
