"""Sounds an alarm while a run is refused too often: a POST to a webhook, or a command.

    TAG_SPACE_ALERT_URL         gets the alert as JSON; its `text` is what chat webhooks show
    TAG_SPACE_ALERT_COMMAND     gets it on standard input; it is split into words, and no shell sees it
    TAG_SPACE_ALERT_429_SHARE   share of 429s among the last attempts above which it sounds

An alert never holds the run up and never fails it: it is delivered by a thread of its own within a time-out, and what
went wrong with it is a line in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tagspace_lab.clients.http import open_http
from tagspace_lab.errors import SettingsError
from tagspace_lab.live.connections import Connections
from tagspace_lab.records import Attempt, Outcome

__all__ = ["Alarm", "AlertSettings", "open_alarm", "read_alerts"]

_LOG = logging.getLogger(__name__)
_WINDOW = 50
"""Attempts that are looked at."""
_LEAST = 20
"""Attempts before which nothing is said: a throttle that learns is refused a few times at the start."""
_RECOVERED = 0.5
"""Of the share that sounds it: there the alarm is armed again."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Where alerts go, and the share of 429s (0 to 1) above which. Its text may hold secrets: never show it."""

    url: str = ""
    command: tuple[str, ...] = ()
    share: float = 0.1

    def __bool__(self) -> bool:
        return bool(self.url or self.command)

    def __repr__(self) -> str:
        return f"AlertSettings(url={bool(self.url)}, command={bool(self.command)}, share={self.share})"


def read_alerts(connections: Connections) -> AlertSettings:
    """What `connections` say of alerts; SettingsError, without the value, for a target that cannot be meant."""
    url = connections.alert_url.get_secret_value().strip()
    try:
        is_address = not url or (urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname))
    except ValueError:
        is_address = False
    if not is_address:
        raise SettingsError("TAG_SPACE_ALERT_URL is no address; allowed: http:// or https://, and a host")
    try:
        command = tuple(shlex.split(connections.alert_command))
    except ValueError as error:
        raise SettingsError("TAG_SPACE_ALERT_COMMAND cannot be split into words; close its quotes") from error
    return AlertSettings(url, command, connections.alert_429_share)


@contextmanager
def open_alarm(
    settings: AlertSettings, context: Mapping[str, str] | None = None, *, timeout_s: float = _TIMEOUT_S
) -> Iterator[Alarm]:
    """An alarm for one run: give it every attempt as it ends. At the end a delivery that is under way is waited for.

    `context` (as in {"task_id": ..., "space": ...}) goes into every alert.
    """
    delivery = _Delivery(settings, timeout_s)
    alarm = Alarm(settings.share, delivery if settings else _drop, context or {})
    try:
        yield alarm
    finally:
        delivery.finish()


class Alarm:
    """Watches the share of 429s among the last attempts, and calls `sound` once when it passes `share`.

    It may sound again only after the share fell to half of that.
    """

    def __init__(self, share: float, sound: Callable[[dict[str, Any]], None], context: Mapping[str, str]) -> None:
        self._share = share
        self._sound = sound
        self._context = dict(context)
        self._refused: deque[bool] = deque(maxlen=_WINDOW)
        self._is_armed = True

    def __call__(self, attempt: Attempt) -> None:
        self._refused.append(attempt.outcome is Outcome.RATE_LIMITED)
        seen = len(self._refused)
        if seen < _LEAST:
            return
        share = sum(self._refused) / seen
        if self._is_armed and share > self._share:
            self._is_armed = False
            self._sound(self._word(attempt, share, seen))
        elif share <= self._share * _RECOVERED:
            self._is_armed = True

    def _word(self, attempt: Attempt, share: float, seen: int) -> dict[str, Any]:
        return self._context | {
            "event": "rate_limited",
            "text": f"tagspace-lab: {share:.0%} of the last {seen} requests were refused with HTTP 429, "
            f"the last by {attempt.provider}",
            "provider": attempt.provider,
            "share": round(share, 4),
            "threshold": self._share,
            "attempts": seen,
            "rate_limit_errors": sum(self._refused),
            "at_s": round(attempt.ended_s, 3),
        }


def _drop(alert: dict[str, Any]) -> None:
    """Nobody wants to know."""


class _Delivery:
    """Hands alerts to a thread; one at a time, and none while one is under way."""

    def __init__(self, settings: AlertSettings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._thread: threading.Thread | None = None

    def __call__(self, alert: dict[str, Any]) -> None:
        _LOG.warning("%s", alert["text"])
        if self._thread is not None and self._thread.is_alive():
            return
        try:
            body = json.dumps(alert).encode()
            self._thread = threading.Thread(target=self._deliver, args=(body,), name="alert", daemon=True)
            self._thread.start()
        except Exception as error:
            _LOG.warning("An alert could not be delivered: %s", type(error).__name__)

    def finish(self) -> None:
        """Wait for the delivery that is under way, for as long as it may take."""
        if self._thread is not None:
            self._thread.join(2 * self._timeout_s + 1)

    def _deliver(self, body: bytes) -> None:
        ways = ((self._settings.url, self._post), (self._settings.command, self._run))
        for target, deliver in ways:
            try:
                if target:
                    deliver(body)
            except Exception as error:  # whatever it is, the run goes on; its words may hold the address
                _LOG.warning("An alert could not be delivered: %s", type(error).__name__)

    def _post(self, body: bytes) -> None:
        async def post() -> httpx.Response:
            async with asyncio.timeout(self._timeout_s), open_http() as http:
                headers = {"content-type": "application/json"}
                async with http.stream("POST", self._settings.url, content=body, headers=headers) as response:
                    return response

        response = asyncio.run(post())
        if not response.is_success:
            _LOG.warning("An alert was answered with HTTP %d", response.status_code)

    def _run(self, body: bytes) -> None:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(  # noqa: S603 - the command is the operator's own setting
            self._settings.command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            process.communicate(body, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode:
            _LOG.warning("The command of the alert ended with %d; no shell reads it: name a script", process.returncode)
