from __future__ import annotations

import math
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.headers import MAX_WAIT_S, is_exhausted, read_rate_limit
from tagspace_lab.records import Quota, RateLimit
from tagspace_lab.twin.dialects import go_duration, rate_limit_headers, rfc3339
from tagspace_lab.twin.quotas import Gauge
from tests.fakes import examples

WALL_S = 1_774_540_800.0  # 2026-03-26T16:00:00Z

names = st.sampled_from(
    [
        *("retry-after", "retry-after-ms", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-reset"),
        *("x-ratelimit-remaining", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens"),
        *("x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-tokens-reset"),
        *("anthropic-ratelimit-input-tokens-remaining", "x-ratelimit-", "anthropic-ratelimit-limit-requests-limit"),
    ]
)
values = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["1e999", "1e308", "-1e5", "٣", "３", "²", "1_000", "0x10", "nan", "inf", "-inf", "+5", "1e-400", ""]
    ),
    st.integers(0, 10**18).map(str),
    st.from_regex(r"[0-9]{1,400}(h|ms|m|s|us)?", fullmatch=True),
    st.from_regex(r'"x";[rtqw]=-?[0-9]{1,400}', fullmatch=True),
    st.from_regex(r"(Mon, )?[0-9]{1,25} Jan [0-9]{1,25} [0-9]{1,20}:00:00 [+-][0-9]{1,25}", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-9]{2})?(Z|[+-][0-9]{2}:00)?", fullmatch=True
    ),
)
bodies = st.recursive(
    st.none() | st.floats() | st.text(max_size=20) | values.map("try again in {}".format),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "retryDelay", "code", "quotaId"]), inner)
    ),
    max_leaves=8,
)


def read(body: Any = None, **headers: str) -> RateLimit:
    return read_rate_limit({name.replace("_", "-"): value for name, value in headers.items()}, body, wall_s=WALL_S)


@examples(600)
@given(st.dictionaries(names, values, max_size=6), bodies)
def test_no_header_or_body_crashes_the_reader_or_makes_nonsense(headers: dict[str, str], body: Any) -> None:
    stated = read_rate_limit(headers, body, wall_s=WALL_S)
    is_exhausted(body)
    assert stated.retry_after_s is None or 0 < stated.retry_after_s <= MAX_WAIT_S
    for quota in stated.quotas.values():
        numbers = [number for number in (quota.limit, quota.remaining, quota.reset_s) if number is not None]
        assert all(math.isfinite(number) and number >= 0 for number in numbers)
        assert quota.limit is None or quota.limit > 0
        assert quota.reset_s is None or quota.reset_s <= 32 * 86_400
        assert max(quota.limit or 0, quota.remaining or 0) <= 1e12


def test_openai_states_resets_as_go_durations() -> None:
    stated = read(
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="499",
        x_ratelimit_reset_requests="6m0s",
        x_ratelimit_limit_tokens="40000",
        x_ratelimit_remaining_tokens="515",
        x_ratelimit_reset_tokens="6.51s",
    )
    assert stated == RateLimit({"requests": Quota(500, 499, 360), "tokens": Quota(40_000, 515, 6.51)})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("1s", 1.0), ("6m0s", 360.0), ("12ms", 0.012), ("6.51s", 6.51), ("1h2m3s", 3723.0), ("250µs", 250e-6)),
        *(("0s", 0.0), ("17", 17.0), ("1.5", 1.5)),
        *(("1 s", None), ("s", None), ("1s2", None), ("-1s", None), ("soon", None), ("nan", None), ("inf", None)),
    ],
)
def test_durations_are_read_whole_or_not_at_all(text: str, seconds: float | None) -> None:
    quota = read(x_ratelimit_limit_tokens="1", x_ratelimit_reset_tokens=text).quotas["tokens"]
    assert quota.reset_s == (None if seconds is None else pytest.approx(seconds))


@examples(100)
@given(st.integers(0, 3_599_999))
def test_go_durations_of_the_twin_are_read_back(milliseconds: int) -> None:
    stated = read(x_ratelimit_limit_requests="9", x_ratelimit_reset_requests=go_duration(milliseconds / 1000))
    assert stated.quotas["requests"].reset_s == pytest.approx(milliseconds / 1000)


def test_anthropic_states_instants_by_unit() -> None:
    stated = read(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2026-03-26T16:00:02Z",
        anthropic_ratelimit_input_tokens_limit="30000",
        anthropic_ratelimit_input_tokens_remaining="12000",
        anthropic_ratelimit_input_tokens_reset="2026-03-26T16:00:36Z",
        anthropic_ratelimit_output_tokens_limit="8000",
        anthropic_ratelimit_output_tokens_remaining="8000",
        anthropic_ratelimit_output_tokens_reset="2026-03-26T15:59:59Z",
        retry_after="7",
    )
    assert stated.retry_after_s == 7
    assert stated.quotas == {
        "requests": Quota(50, 49, 2),
        "input_tokens": Quota(30_000, 12_000, 36),
        "output_tokens": Quota(8_000, 8_000, 0),
    }


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("2026-03-26T16:01Z", 60.0),
        ("2026-03-26T17:01:00+01:00", 60.0),
        ("2026-03-26T16:01:00.250Z", 60.25),
        ("1774540860000", 60.0),
        ("1774540860", 60.0),
        ("60", 60.0),
        ("Thu, 26 Mar 2026 16:01:00 GMT", 60.0),
        ("Thu, 26 Mar 2026 15:00:00 GMT", 0.0),
    ],
)
def test_reset_is_read_as_instant_epoch_or_seconds(reset: str, seconds: float) -> None:
    quota = read(x_ratelimit_limit="100", x_ratelimit_remaining="3", x_ratelimit_reset=reset).quotas["requests"]
    assert (quota.limit, quota.remaining) == (100, 3)
    assert quota.reset_s == pytest.approx(seconds)


def test_ietf_draft_states_requests() -> None:
    stated = read(ratelimit='"default";r=50;t=30', ratelimit_policy='"default";q=100;w=60')
    assert stated.quotas == {"requests": Quota(100, 50, 30)}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "20"}, 20.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after": "1", "retry_after_ms": "408"}, 0.408),
        ({"retry_after": "1", "retry_after_ms": "0"}, 1.0),
        ({"retry_after": "Thu, 26 Mar 2026 16:00:30 GMT"}, 30.0),
        ({"retry_after": "Thursday, 26-Mar-26 16:00:30 GMT"}, 30.0),
        ({"retry_after": "Thu Mar 26 16:00:30 2026"}, 30.0),
        ({"retry_after": "0"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "86400"}, None),
        ({"retry_after": "Thu, 26 Mar 2026 15:59:30 GMT"}, None),
        ({"retry_after": "1 Jan 99999999999999999999 00:00:00 +0000"}, None),
        ({"retry_after": "Mon, 01 Jan 2026 00:00:00 +9999999999999999999"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_the_finest_that_makes_sense(headers: dict[str, str], seconds: float | None) -> None:
    assert read(**headers).retry_after_s == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Limit 40000, Used 39485, Requested 787. Please try again in 408ms. Visit us.", 0.408),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 20s", 20.0),
        ("Please try again in a while", None),
    ],
)
def test_message_holds_the_wait(message: str, seconds: float | None) -> None:
    assert read({"error": {"message": message}}).retry_after_s == (None if seconds is None else pytest.approx(seconds))


def test_gemini_states_the_wait_in_its_body() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}]
    assert read({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}).retry_after_s == 37
    assert read([{"error": {"details": details}}]).retry_after_s == 37


def test_azure_zeros_are_not_believed() -> None:
    stated = read(
        retry_after="1",
        retry_after_ms="0",
        x_ratelimit_limit_tokens="0",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="0",
        x_ratelimit_limit_requests="-1",
        x_ratelimit_remaining_requests="-1",
    )
    assert stated == RateLimit({}, 1.0)


def test_remaining_is_never_above_the_limit() -> None:
    assert read(x_ratelimit_limit="10", x_ratelimit_remaining="99").quotas["requests"].remaining == 10


def test_infinite_numbers_are_not_stated() -> None:
    huge = "9" * 400
    stated = read(ratelimit=f'"x";r={huge}', ratelimit_policy=f'"x";q={huge}', x_ratelimit_limit_tokens=huge)
    assert stated == RateLimit()
    assert read(x_ratelimit_limit="1", x_ratelimit_reset=f"{huge}h").quotas["requests"].reset_s is None


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "azure", "gateway"])
def test_headers_of_the_twin_are_read_back(dialect: str) -> None:
    gauges = {"requests": Gauge(500, 120, 12.0), "tokens": Gauge(40_000, 9_000, 30.0)}
    stated = read_rate_limit(rate_limit_headers(dialect, gauges, WALL_S), wall_s=WALL_S)
    resets = {"requests": 12.0, "tokens": 30.0} if dialect != "azure" else {}
    told = {name: Quota(gauge.limit, gauge.remaining, resets.get(name)) for name, gauge in gauges.items()}
    assert stated.quotas == ({"requests": told["requests"]} if dialect == "gateway" else told)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}, True),
        ({"error": {"code": "project_spend_limit_exceeded"}}, True),
        ({"error": {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}}, True),
        ({"error": {"details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}]}}, True),
        ({"error": {"details": [{"violations": [{"quotaId": "GenerateRequestsPerMinute"}]}]}}, False),
        ({"error": {"code": "rate_limit_exceeded", "message": "not insufficient_quota"}}, False),
        ({"error": {"code": "slow_down"}}, False),
        ({"error": {"message": "insufficient_quota"}}, False),
        ("insufficient_quota", False),
        (None, False),
    ],
)
def test_money_that_ran_out_is_told_from_a_rate(body: Any, expected: bool) -> None:
    assert is_exhausted(body) is expected


def test_rfc3339_of_the_twin_is_read_back() -> None:
    stated = read(anthropic_ratelimit_tokens_limit="1", anthropic_ratelimit_tokens_reset=rfc3339(WALL_S + 90))
    assert stated.quotas["tokens"].reset_s == 90


@pytest.mark.parametrize(
    ("message", "is_oversized"),
    [
        ("Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12345.", True),
        ("Rate limit reached for m on tokens per min. Limit: 30,000 / min. Requested: 54,321.", True),
        ("Rate limit reached for m (TPM): Limit 30000, Used 0, Requested 30001.", True),
        ("Rate limit reached for m (TPM): Limit 30000, Used 29000, Requested 30000.", False),
        ("Rate limit reached for m (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.", False),
        ("Limit 0, Requested 5", False),
        ("Too many concurrent requests.", False),
        ("", False),
    ],
)
def test_request_that_alone_exceeds_its_limit_is_known_by_its_words(message: str, is_oversized: bool) -> None:
    body = {"error": {"message": message, "type": "tokens"}}
    assert read_rate_limit({}, body, wall_s=0.0).is_oversized is is_oversized
    assert not read_rate_limit({}, None, wall_s=0.0).is_oversized


@pytest.mark.parametrize(
    "value", ["1e999", "1e13", "-1", "-1e3", "nan", "inf", "٣", "３", "²", "1_000", "0x10", "1,000", "", " ", "9" * 65]
)
def test_number_that_nobody_means_is_not_stated(value: str) -> None:
    assert read(x_ratelimit_limit_requests=value, x_ratelimit_remaining_tokens=value) == RateLimit()
    assert read(retry_after=value, retry_after_ms=value).retry_after_s is None


@pytest.mark.parametrize(("value", "number"), [("5", 5), (" 5 ", 5), ("+5", 5), ("5.", 5), ("5.5", 5.5), ("5e2", 500)])
def test_number_is_read_as_ascii_writes_it(value: str, number: float) -> None:
    assert read(x_ratelimit_limit_requests=value).quotas["requests"].limit == number


@pytest.mark.parametrize(
    "reset", ["9999-12-31T23:59:59Z", "4102444800", "4102444800000", "1e300", "99999h", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_reset_far_away_is_not_stated(reset: str) -> None:
    quota = read(x_ratelimit_limit_requests="5", x_ratelimit_reset_requests=reset).quotas["requests"]
    assert quota == Quota(5)


@pytest.mark.parametrize("reset", ["0001-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "1000000000"])
def test_reset_long_ago_is_now(reset: str) -> None:
    quota = read(x_ratelimit_limit_requests="5", x_ratelimit_reset_requests=reset).quotas["requests"]
    assert quota == Quota(5, reset_s=0.0)


def test_body_of_a_million_strings_is_read_in_no_time() -> None:
    sentence = "limit 5 " + "requested " * 90
    body = {f"k{number}": [{"message": sentence} for _ in range(20)] for number in range(2_000)}
    started_s = time.process_time()
    assert read({"error": body}, retry_after="5").retry_after_s == 5
    assert not is_exhausted(body)
    assert time.process_time() - started_s < 0.5


@pytest.mark.parametrize("text", ["try again in " + "1" * 10_000, "limit " * 500, "1h" * 300, "Mon, " * 12, "T" * 64])
def test_text_meant_to_exhaust_a_pattern_does_not(text: str) -> None:
    started_s = time.process_time()
    read({"error": {"message": text}}, retry_after=text[:64], ratelimit=text, x_ratelimit_reset=text)
    assert time.process_time() - started_s < 0.5


@pytest.mark.parametrize("skew_s", [-3 * 3600, -60, 0, 60, 3 * 3600])
def test_dates_are_read_by_the_clock_of_the_server(skew_s: float) -> None:
    server_s = WALL_S + skew_s
    stated = read(date=formatdate(server_s, usegmt=True), retry_after=formatdate(server_s + 20, usegmt=True))
    assert stated.retry_after_s == pytest.approx(20.0, abs=1.0)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Feb 2026 00:00:00 GMT", "x" * 10_000])
def test_date_that_cannot_be_read_leaves_our_own_clock(date: str) -> None:
    assert read(date=date, retry_after=formatdate(WALL_S + 20, usegmt=True)).retry_after_s == pytest.approx(
        20.0, abs=1.0
    )
