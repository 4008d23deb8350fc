from __future__ import annotations

from math import inf

import pytest

from tagspace_lab.twin.dialects import go_duration, rate_limit_headers, refusal_headers, refusal_message
from tagspace_lab.twin.quotas import Gauge, Verdict

WALL_S = 1_767_225_600.0
TOKENS = {"requests": Gauge(500, 59.5, 6.51), "tokens": Gauge(40_000, 515, 360)}
REFUSED = Verdict("tokens", 429, 0.408, 0.408, 787, Gauge(40_000, 515, 59))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.012, "12ms"), (0.4071, "408ms"), (1, "1s"), (6.51, "6.51s"), (360, "6m0s"), (3600, "1h0m0s")],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_openai_states_both_limits_and_refuses_in_its_words() -> None:
    assert rate_limit_headers("openai", TOKENS, WALL_S) == {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "6.51s",
        "x-ratelimit-limit-tokens": "40000",
        "x-ratelimit-remaining-tokens": "515",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert refusal_headers("openai", REFUSED) == {"retry-after": "1", "retry-after-ms": "408"}
    message = refusal_message("openai", REFUSED, "gpt-4o-mini")
    assert message.endswith("(TPM): Limit 40000, Used 39485, Requested 787. Please try again in 408ms.")


def test_openai_says_when_a_request_is_too_large_for_ever() -> None:
    verdict = Verdict("tokens", 429, inf, None, 50_000, Gauge(40_000, 40_000, 0))
    assert refusal_message("openai", verdict, "m").startswith("Request too large for m")
    assert refusal_headers("openai", verdict) == {}


def test_anthropic_states_instants_and_rounds_tokens_to_thousands() -> None:
    gauges = {
        "requests": Gauge(50, 9, 1.2),
        "input_tokens": Gauge(30_000, 28_501, 3.1),
        "output_tokens": Gauge(8_000, 499, 56),
    }
    headers = rate_limit_headers("anthropic", gauges, WALL_S)
    assert headers["anthropic-ratelimit-requests-remaining"] == "9"
    assert headers["anthropic-ratelimit-requests-reset"] == "2026-01-01T00:00:02Z"
    assert headers["anthropic-ratelimit-input-tokens-remaining"] == "29000"
    assert headers["anthropic-ratelimit-output-tokens-remaining"] == "0"
    assert headers["anthropic-ratelimit-tokens-limit"] == "8000"
    assert refusal_headers("anthropic", Verdict("requests", 429, 1.2, 1.2)) == {"retry-after": "2"}


def test_azure_states_no_resets_and_misleads_in_refusals() -> None:
    assert not any("reset" in name for name in rate_limit_headers("azure", TOKENS, WALL_S))
    assert refusal_headers("azure", REFUSED) == {
        "retry-after": "1",
        "retry-after-ms": "0",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "0",
    }
    assert refusal_message("azure", REFUSED, "m").endswith("Please retry after 1 second.")


def test_gateway_states_one_limit_and_epoch_milliseconds() -> None:
    assert rate_limit_headers("gateway", TOKENS, WALL_S) == {
        "x-ratelimit-limit": "500",
        "x-ratelimit-remaining": "59",
        "x-ratelimit-reset": "1767225606510",
    }


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "azure", "gateway", "none"])
def test_without_limits_there_are_no_headers_but_refusals_have_words(dialect: str) -> None:
    assert rate_limit_headers(dialect, {}, WALL_S) == {}
    for limit in ("requests", "tokens", "input_tokens", "output_tokens", "concurrency", "outage"):
        assert refusal_message(dialect, Verdict(limit, 429), "m")
