from __future__ import annotations

import math
from collections import Counter

import pytest

from tagspace_lab.twin.quotas import Charge, Gate
from tagspace_lab.twin.regimes import CEILING, FIRST_CONCURRENCY, Regime, draw_regime
from tagspace_lab.twin.schema import LimitStep, Tenants

REGIMES = [draw_regime(number) for number in range(1_000)]


def test_regime_is_the_same_every_time() -> None:
    assert [draw_regime(number) for number in range(30)] == REGIMES[:30]
    assert [regime.number for regime in REGIMES] == list(range(1_000))


def test_first_regimes_stay_what_they_are() -> None:
    """Numbers in reports name regimes: a change in the order of draws would make others of them."""
    assert [(regime.kind, regime.calls, sum(regime.tokens)) for regime in REGIMES[:3]] == [
        ("anthropic bucket halving", 81, 211418),
        ("self-hosted cap", 211, 819652),
        ("anthropic bucket tenants", 61, 76292),
    ]


def test_calls_and_latencies_lie_within_the_stated_ranges() -> None:
    for regime in REGIMES:
        latency = regime.provider.latency
        assert 50 <= regime.calls == len(regime.tokens) <= 500
        assert min(regime.tokens) >= 200
        assert 0.3 <= latency.first_token_s <= 3.0
        assert 40 <= latency.output_tokens_per_s <= 200


def test_limits_lie_within_the_stated_ranges() -> None:
    for regime in REGIMES:
        limits = regime.provider.limits
        quota = (limits.requests_per_min or 6) * limits.window_s / 60
        assert quota == pytest.approx(round(quota), abs=1e-9)
        assert 6 <= (limits.requests_per_min or 6) <= 60_000
        assert 2 <= (limits.concurrency_cap or 2) <= 64
        assert limits.window == "bucket" or quota >= 2
        assert limits.retry_after != "window" or limits.window != "bucket"


def test_any_call_fits_even_when_the_limits_halve() -> None:
    """Charged for its page, 1,000 characters around it and 140 tokens of output; the client itself asks for 138."""
    halved = [LimitStep(kind="limits", at_s=0.0, factor=0.5)]
    for regime in REGIMES:
        gate = Gate(regime.provider.limits, halved)
        charged = math.ceil((4 * max(regime.tokens) + 1_000) / regime.provider.chars_per_token)
        wait_s = gate.wait_s(Charge(1, charged, charged, 140), 0.0)
        assert wait_s is not None, regime.kind
        assert wait_s < math.inf, regime.kind


@pytest.mark.parametrize(
    ("kind", "share"),
    [("openai", 0.28), ("anthropic", 0.2), ("azure", 0.1), ("gateway", 0.16), ("blind", 0.16), ("self-hosted", 0.1)],
)
def test_families_have_their_shares(kind: str, share: float) -> None:
    """Within four standard deviations of a thousand draws."""
    counts = Counter(regime.family for regime in REGIMES)
    assert counts[kind] == pytest.approx(1_000 * share, abs=4 * math.sqrt(1_000 * share * (1 - share)))


@pytest.mark.parametrize(("kind", "share"), [("none", 0.7), ("halving", 0.1), ("outage", 0.07), ("tenants", 0.05)])
def test_events_have_their_shares(kind: str, share: float) -> None:
    counts = Counter(regime.event for regime in REGIMES)
    assert counts[kind] == pytest.approx(1_000 * share, abs=4 * math.sqrt(1_000 * share * (1 - share)))
    assert all(bool(regime.provider.events) == (regime.event != "none") for regime in REGIMES)


def test_steps_and_outages_come_in_the_run_and_tenants_stay_all_along() -> None:
    events = [event for regime in REGIMES for event in regime.provider.events]
    assert all((event.at_s == 0.0) == isinstance(event, Tenants) for event in events)


def test_a_tenth_is_shared_by_two_clients() -> None:
    assert Counter(regime.clients for regime in REGIMES)[2] == pytest.approx(100, abs=38)
    assert FIRST_CONCURRENCY < CEILING


def test_kind_names_what_sets_a_regime_apart() -> None:
    shared: Regime = next(
        regime for regime in REGIMES if regime.clients == 2 and regime.provider.limits.concurrency_cap
    )
    assert shared.kind.startswith(shared.family)
    assert shared.kind.endswith("cap shared")
