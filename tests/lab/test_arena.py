from __future__ import annotations

import math

import pytest

from tagspace_lab.lab import arena
from tagspace_lab.lab.arena import LONGEST_S, MOST_ATTEMPTS, ORACLE, Race, race
from tagspace_lab.lab.yardstick import bound_calls
from tagspace_lab.policy.limits import LIMITERS, Limiter
from tagspace_lab.records import Attempt, Cost, Outcome
from tagspace_lab.twin.regimes import CEILING, Regime, draw_regime
from tagspace_lab.twin.scenario import Provider

REGIMES = [draw_regime(number) for number in range(40)]
SHARED = next(regime for regime in REGIMES if regime.clients == 2)


def run_blocked(monkeypatch: pytest.MonkeyPatch, limiter: Limiter, **limits: object) -> Race:
    """A race of 20 calls behind `limiter`."""
    monkeypatch.setattr(arena, "make_limiter", lambda settings, rng: limiter)
    provider = Provider.model_validate({"limits": limits, "max_context_tokens": 1_000_000})
    return race(Regime(0, "by hand", "none", provider, 20, (250,) * 20, 1), "learned")


class Never(Limiter):
    """Lets no call through, and names no time."""

    @property
    def window(self) -> float:
        return 1

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        return math.inf


class Storm(Limiter):
    """Sends again at once, whatever is answered."""

    @property
    def window(self) -> float:
        return 10


@pytest.mark.parametrize("throttle", ["learned", "cubic", ORACLE])
def test_race_is_the_same_every_time(throttle: str) -> None:
    assert repr(race(SHARED, throttle)) == repr(race(SHARED, throttle))


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: f"{regime.number} {regime.kind}")
def test_learned_does_every_call_and_never_beats_the_bound(regime: Regime) -> None:
    done = race(regime, "learned")
    assert done.is_complete
    assert regime.event == "tenants" or done.makespan_s >= done.bound_s * (1 - 1e-6)
    assert 0 < done.efficiency <= 1 + 1e-6
    assert all(attempt.in_flight <= CEILING for attempts in done.attempts for attempt in attempts)


@pytest.mark.parametrize("throttle", LIMITERS)
def test_every_limiter_comes_to_an_end(throttle: str) -> None:
    done = race(REGIMES[3], throttle)
    assert done.is_complete
    assert done.makespan_s >= done.bound_s * (1 - 1e-6)


def test_two_clients_share_the_calls_and_the_limits() -> None:
    done = race(SHARED, "learned")
    calls = [{attempt.call for attempt in attempts} for attempts in done.attempts]
    assert sorted(map(len, calls)) == [SHARED.calls // 2, SHARED.calls - SHARED.calls // 2]
    assert done.done == SHARED.calls


def test_limiter_that_never_lets_go_ends_the_race_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_blocked(monkeypatch, Never())
    assert (done.done, done.is_complete, done.efficiency, done.makespan_s) == (0, False, 0.0, 0.0)
    assert done.attempts == ((),)
    assert LONGEST_S == 1e6


def test_endless_storm_ends_the_race_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_blocked(monkeypatch, Storm(), requests_per_min=6, burst_requests=2, rejected_count=True)
    assert 0 < done.done < 20
    assert done.efficiency == 0.0
    assert MOST_ATTEMPTS * 20 <= len(done.attempts[0]) <= MOST_ATTEMPTS * 20 + CEILING


def attempt(started_s: float, ended_s: float, in_flight: int = 1) -> Attempt:
    return Attempt(1, 1, "primary", started_s, ended_s, Outcome.OK, 200, 1, 100, 50, 0, 0.0, in_flight, 3.0)


def test_bound_of_calls_leaves_out_what_the_last_answers_cost() -> None:
    """Bucket 60 tokens/s, full with 100: 20 x 100 + 18 x 50 - 100 tokens have to come, then the shortest call."""
    provider = Provider.model_validate({"limits": {"tokens_per_min": 3_600, "burst_tokens": 100}})
    bound = bound_calls([attempt(0, 1)] * 20, provider, 2, 0.0)
    assert bound.binds == "tokens"
    assert bound.seconds == pytest.approx((2_000 + 900 - 100) / 60 + 1)


def test_bound_of_calls_counts_no_output_in_windows() -> None:
    """Ten calls of 100 tokens in a window of 60 s; the 50 that each answer takes are forgotten with the window."""
    limits = {"tokens_per_min": 1_000, "window": "fixed", "aligned": False}
    bound = bound_calls([attempt(0, 1)] * 20, Provider.model_validate({"limits": limits}), 10, 0.0)
    assert bound.seconds == pytest.approx(60 + 1)


def test_bound_of_calls_is_no_more_than_they_kept_slots_busy() -> None:
    """Each is slowed by those before it alone: 1.0, 1.1, 1.2 and 1.3 s over four slots, not 4 x 1.3 s."""
    provider = Provider.model_validate({"latency": {"load_factor": 1.0, "load_reference": 10.0}})
    calls = [attempt(0, 1.0 + 0.1 * others, others + 1) for others in range(4)]
    assert bound_calls(calls, provider, 4, 0.0).seconds == pytest.approx(1.15)


def test_nothing_answered_has_no_bound() -> None:
    assert bound_calls([], Provider(), 10, 0.0).seconds == 0.0
