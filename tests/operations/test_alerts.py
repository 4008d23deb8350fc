from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tagspace_lab.errors import SettingsError
from tagspace_lab.lab.world import serve
from tagspace_lab.live.connections import load_connections
from tagspace_lab.operations.alerts import Alarm, AlertSettings, open_alarm, read_alerts
from tagspace_lab.records import Attempt, Outcome

PLANTED = "planted-0123456789"


def attempt(number: int = 1, outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt(number, 1, "primary", 0.0, float(number), outcome, 200, 1, 0, 0, 0, 0.0, 1, 1.0)


def feed(alarm: Alarm, pattern: str) -> None:
    """x: refused."""
    for number, letter in enumerate(pattern):
        alarm(attempt(number, Outcome.RATE_LIMITED if letter == "x" else Outcome.OK))


def sounded(pattern: str, share: float = 0.2) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = []
    feed(Alarm(share, alerts.append, {"task_id": "night"}), pattern)
    return alerts


def test_alarm_sounds_once_when_the_share_passes_the_threshold() -> None:
    (alert,) = sounded("." * 30 + "x" * 40)
    assert alert == {
        "task_id": "night",
        "event": "rate_limited",
        "text": "tagspace-lab: 21% of the last 38 requests were refused with HTTP 429, the last by primary",
        "provider": "primary",
        "share": 0.2105,
        "threshold": 0.2,
        "attempts": 38,
        "rate_limit_errors": 8,
        "at_s": 37.0,
    }


@pytest.mark.parametrize(
    ("pattern", "count"), [("x" * 19, 0), ("x" * 20, 1), ("." * 100, 0), ("....x" * 20, 0), ("...x" * 20, 1)]
)
def test_alarm_waits_for_enough_attempts(pattern: str, count: int) -> None:
    assert len(sounded(pattern)) == count


def test_alarm_sounds_again_only_after_it_recovered() -> None:
    storm = "x" * 50
    assert len(sounded(storm + "." * 44 + storm)) == 1  # below the threshold, not yet down to half of it
    assert len(sounded(storm + "." * 45 + storm)) == 2


def test_settings_are_read_and_never_shown() -> None:
    settings = read_alerts(
        load_connections(
            {
                "TAG_SPACE_ALERT_URL": f"https://hooks.example.com/{PLANTED}",
                "TAG_SPACE_ALERT_COMMAND": f"notify --key '{PLANTED} x'",
                "TAG_SPACE_ALERT_429_SHARE": "0.5",
            }
        )
    )
    assert (settings.command, settings.share) == (("notify", "--key", f"{PLANTED} x"), 0.5)
    assert PLANTED not in repr(settings)
    assert not read_alerts(load_connections())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("URL", f"ftp://x/{PLANTED}", "allowed: http:// or https://"),
        ("URL", f"http://[{PLANTED}", "allowed: http:// or https://"),
        ("URL", f"https:///{PLANTED}", "allowed: http:// or https://"),
        ("COMMAND", f"notify '{PLANTED}", "close its quotes"),
    ],
)
def test_wrong_settings_are_told_without_their_secrets(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_alerts(load_connections({f"TAG_SPACE_ALERT_{name}": value}))
    assert words in str(error.value)
    assert PLANTED not in str(error.value)


def webhook(seen: list[Any], status: int = 204) -> Starlette:
    async def receive(request: Request) -> Response:
        seen.append(await request.json())
        return Response(status_code=status)

    return Starlette(routes=[Route(f"/{PLANTED}", receive, methods=["POST"])])


def storm(settings: AlertSettings, timeout_s: float = 5.0) -> float:
    """Seconds that the attempts themselves took."""
    with open_alarm(settings, {"space": "DOCS"}, timeout_s=timeout_s) as alarm:
        began_s = time.perf_counter()
        feed(alarm, "x" * 60)
        return time.perf_counter() - began_s


def test_webhook_gets_the_alert(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    with serve(webhook(seen)) as base_url:
        storm(AlertSettings(f"{base_url}/{PLANTED}"))
    (alert,) = seen
    assert (alert["event"], alert["space"], alert["rate_limit_errors"]) == ("rate_limited", "DOCS", 20)
    assert PLANTED not in json.dumps(alert)
    assert PLANTED not in "".join(record.message for record in caplog.records if record.levelno >= logging.WARNING)


@pytest.mark.parametrize("status", [500, 302])
def test_webhook_that_refuses_is_logged(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with serve(webhook([], status)) as base_url:
        storm(AlertSettings(f"{base_url}/{PLANTED}"))
    assert f"An alert was answered with HTTP {status}" in caplog.messages


def test_webhook_that_is_not_there_is_logged_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    with serve(webhook([])) as base_url:
        pass
    storm(AlertSettings(f"{base_url}/{PLANTED}"))
    assert "An alert could not be delivered: ConnectError" in caplog.messages
    assert PLANTED not in caplog.text


def test_webhook_that_never_ends_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    with serve(hang) as base_url:
        assert storm(AlertSettings(base_url), timeout_s=0.3) < 0.2
    assert "An alert could not be delivered: TimeoutError" in caplog.messages


def command(code: str) -> AlertSettings:
    return AlertSettings(command=(sys.executable, "-c", code))


def test_command_gets_the_alert_on_standard_input_and_no_shell_sees_it(tmp_path: Path) -> None:
    target = tmp_path / "alert; $(x).json"
    storm(AlertSettings(command=(sys.executable, "-c", _COPY, str(target))))
    assert json.loads(target.read_text())["text"].startswith("tagspace-lab: 100% of the last 20")


_COPY = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (command("raise SystemExit(3)"), "The command of the alert ended with 3; no shell reads it: name a script"),
        (command("import threading; threading.Event().wait()"), "An alert could not be delivered: TimeoutExpired"),
        (AlertSettings(command=("/nosuch/command",)), "An alert could not be delivered: FileNotFoundError"),
    ],
    ids=["fails", "hangs", "is missing"],
)
def test_command_that_fails_hangs_or_is_missing_is_logged(
    settings: AlertSettings, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert storm(settings, timeout_s=1.0) < 0.5
    assert words in caplog.messages


def test_alarm_without_a_target_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    storm(AlertSettings())
    assert caplog.messages == []
