"""The oracle in regimes whose best course can be worked out by hand, and in drawn ones."""

from __future__ import annotations

from typing import Any

import pytest

from tagspace_lab.lab.arena import ORACLE, Race, race
from tagspace_lab.lab.oracle import Oracle
from tagspace_lab.lab.races import admitted_s
from tagspace_lab.policy.limits import Start
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.twin.regimes import Regime, draw_regime
from tagspace_lab.twin.scenario import Provider

LATENCY_S = 0.3


def run(calls: int, clients: int = 1, **limits: Any) -> Race:
    """The oracle's race with steady latencies of LATENCY_S."""
    provider = Provider.model_validate(
        {
            "limits": limits,
            "latency": {"first_token_s": LATENCY_S, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9},
            "max_context_tokens": 1_000_000,
        }
    )
    return race(Regime(0, "by hand", "none", provider, calls, (250,) * calls, clients), ORACLE)


def test_bucket_gives_its_burst_and_then_its_rate() -> None:
    done = run(100, requests_per_min=600, burst_requests=5)
    assert (done.done, done.refusals) == (100, 0)
    assert done.makespan_s == pytest.approx(9.5 + LATENCY_S, abs=1e-3)
    assert admitted_s(done) == pytest.approx([max(0, number - 4) / 10 for number in range(100)], abs=1e-3)


def test_window_that_starts_with_the_first_request_is_used_up_at_once_each_time() -> None:
    done = run(35, requests_per_min=60, window="fixed", window_s=10, aligned=False)
    assert (done.done, done.refusals) == (35, 0)
    assert done.makespan_s == pytest.approx(30 + LATENCY_S, abs=1e-3)


def test_cap_is_always_full() -> None:
    done = run(40, concurrency_cap=4)
    assert (done.done, done.refusals) == (40, 0)
    assert done.makespan_s == pytest.approx(10 * LATENCY_S, abs=1e-3)


def test_ceiling_holds_where_there_is_no_limit() -> None:
    assert run(40).makespan_s == pytest.approx(4 * LATENCY_S, abs=1e-3)


def test_two_clients_never_start_on_the_same_token() -> None:
    done = run(60, clients=2, requests_per_min=600, burst_requests=5)
    assert (done.done, done.refusals) == (60, 0)
    assert done.makespan_s == pytest.approx(5.5 + LATENCY_S, abs=1e-3)


def test_charge_is_known_to_the_token() -> None:
    """A bucket of tokens that was over- or underestimated would be waited for too long or refuse."""
    done = run(50, tokens_per_min=60_000, burst_tokens=1_000)
    assert done.refusals == 0
    spent = [attempt.input_tokens + attempt.output_tokens for attempt in done.attempts[0]]
    before_last = sum(spent) - done.attempts[0][-1].output_tokens
    assert done.makespan_s == pytest.approx((before_last - 1_000) / 1_000 + LATENCY_S, abs=1e-3)


IN_STEP = 14
"""Its window is a multiple of what its calls take: one ends, and is charged, in the very instant of an admission."""


@pytest.mark.parametrize("number", [number for number in range(40) if draw_regime(number).clients == 1])
def test_oracle_is_never_refused_and_does_every_call(number: int) -> None:
    done = race(draw_regime(number), ORACLE)
    assert done.is_complete
    assert number == IN_STEP or done.refusals == 0


def test_slot_that_another_client_holds_is_looked_for_again() -> None:
    oracle = Oracle(lambda cost: None, ceiling=2)
    assert oracle.ready_at(5.0, 1, Cost()) == float("inf")
    assert oracle.ready_at(5.0, 0, Cost()) == pytest.approx(5.01)


def test_refused_oracle_stays_away_for_a_moment() -> None:
    oracle = Oracle(lambda cost: 0.0, ceiling=2)
    oracle.on_end(5.0, Start(4.9, Cost(), 1), Reply(Outcome.RATE_LIMITED, 429))
    assert oracle.ready_at(5.0, 0, Cost()) == pytest.approx(5.01)
    assert oracle.ready_at(5.02, 0, Cost()) == 5.02
