from __future__ import annotations

from typing import Any

import httpx
import pytest

from tagspace_lab.integration.failures import read_failure
from tagspace_lab.records import Outcome
from tests.integration.hosts import RateLimitError


class _HostError(Exception):
    def __init__(self, words: str = "", **attributes: Any) -> None:
        super().__init__(words)
        self.__dict__.update(attributes)


def _response(status: int, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=httpx.Request("POST", "http://x"))


def _http_error(status: int, **headers: str) -> httpx.HTTPStatusError:
    response = _response(status, {name.replace("_", "-"): value for name, value in headers.items()})
    return httpx.HTTPStatusError("failed", request=response.request, response=response)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RateLimitError(), Outcome.RATE_LIMITED),
        (Exception("429 Too Many Requests"), Outcome.RATE_LIMITED),
        (RuntimeError("Rate limit exceeded"), Outcome.RATE_LIMITED),
        (_HostError("no", status=429), Outcome.RATE_LIMITED),
        (_HostError("no", code="429"), Outcome.RATE_LIMITED),
        (_http_error(429), Outcome.RATE_LIMITED),
        (_HostError("You exceeded your quota: insufficient_quota", status_code=429), Outcome.EXHAUSTED),
        (_HostError("x", status_code=429, body={"error": {"code": "insufficient_quota"}}), Outcome.EXHAUSTED),
        (_http_error(402), Outcome.EXHAUSTED),
        (_http_error(503), Outcome.OVERLOADED),
        (Exception("model is overloaded"), Outcome.OVERLOADED),
        (Exception("HTTP 502"), Outcome.OVERLOADED),
        (TimeoutError(), Outcome.TIMED_OUT),
        (httpx.ReadTimeout("slow"), Outcome.TIMED_OUT),
        (Exception("request timed out"), Outcome.TIMED_OUT),
        (ConnectionResetError(), Outcome.UNREACHABLE),
        (httpx.ConnectError("no"), Outcome.UNREACHABLE),
        (_http_error(401), Outcome.REFUSED),
        (ValueError("page 4290 is odd"), Outcome.REFUSED),
        (KeyError("x"), Outcome.REFUSED),
    ],
)
def test_error_becomes_an_outcome(error: Exception, outcome: Outcome) -> None:
    assert read_failure(error).outcome is outcome


def test_cause_of_an_error_is_looked_at() -> None:
    def call() -> None:
        try:
            raise RateLimitError
        except RateLimitError as error:
            raise RuntimeError("the agent failed") from error

    with pytest.raises(RuntimeError) as raised:
        call()
    assert read_failure(raised.value).outcome is Outcome.RATE_LIMITED


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (RateLimitError("7"), 7.0),
        (_http_error(429, retry_after="3"), 3.0),
        (_HostError("no", status_code=429, retry_after=2), 2.0),
        (_HostError("Rate limit reached. Please try again in 500ms", status_code=429), 0.5),
        (_HostError("no", status_code=429, retry_after=-5), None),
        (RateLimitError("soon"), None),
    ],
)
def test_wait_that_is_asked_for_is_read(error: Exception, wait_s: float | None) -> None:
    assert read_failure(error).rate_limit.retry_after_s == wait_s


def test_headers_state_limits() -> None:
    error = _http_error(429, x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="0")
    assert read_failure(error).rate_limit.quotas["requests"].limit == 60


def test_message_quotes_nothing() -> None:
    assert read_failure(RateLimitError()).message == "HTTP 429 (RateLimitError)"
    assert read_failure(ValueError("SECRET")).message == "ValueError"
