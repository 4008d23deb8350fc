"""What refusals and acceptances prove, on sequences worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits.history import Call, History
from tests.fakes import examples


def sent(*starts_s: float, units: float = 1.0) -> History:
    history = History()
    for key, at_s in enumerate(starts_s):
        history.start(key, at_s, units, 0.0)
    return history


def anchor(at_s: float, before: float = 0.0) -> Call:
    return Call(at_s, 0.0, 0.0, before)


def test_calls_let_in_between_two_refusals_tell_the_rate() -> None:
    history = sent(*(0.1 * number for number in range(1, 10)))
    assert history.solve(anchor(0.0), anchor(1.0), 0.0, math.inf) == pytest.approx(9.0)
    assert history.solve(anchor(0.0), anchor(1.0), 1.0, math.inf) == pytest.approx(10.0)


def test_bucket_that_ran_over_while_calls_were_held_back_is_replayed() -> None:
    # Held for 10 s a bucket of 5 holds 5; then 9 calls in 1 s, and it is empty: 9 - 5 came in that second.
    history = sent(*(10 + number / 9 for number in range(9)))
    assert history.solve(anchor(0.0), anchor(11.0), 0.0, 5.0) == pytest.approx(4.0, rel=0.05)
    assert history.solve(anchor(0.0), anchor(11.0), 0.0, math.inf) == pytest.approx(9 / 11)


@examples(100)
@given(st.floats(0.2, 50), st.floats(1, 20), st.integers(5, 60))
def test_replay_finds_the_least_rate_that_explains_what_a_bucket_let_in(rate: float, burst: float, calls: int) -> None:
    history, level, at_s = History(), 0.0, 0.0
    for key in range(calls):  # each call waits until there is room for it, every third one longer
        wait_s = max(0.0, 1 - level) / rate * (3 if key % 3 == 0 else 1)
        level, at_s = min(burst, level + rate * wait_s) - 1, at_s + wait_s
        history.start(key, at_s, 1.0, 0.0)
    end_s = at_s + 0.5 / rate
    left = min(burst, level + 0.5)
    assert 0 < history.solve(anchor(-1e-9), anchor(end_s), left, burst) <= rate * 1.001


def test_refused_call_counts_for_nothing_and_neither_does_what_was_counted_after_it() -> None:
    history = sent(0.0, 0.1, 0.2)
    call, units = history.take_back(1, [])
    assert (units, call.units, history.sent) == (1.0, 0.0, 2.0)
    assert history.settle(2, None)[0].before == 1.0


def test_call_is_settled_with_what_it_took() -> None:
    history = sent(0.0, units=100.0)
    call, more = history.settle(0, 130.0)
    assert (call.units, more, history.sent) == (130.0, 30.0, 130.0)


def test_what_is_owed_is_what_calls_in_flight_take_at_their_end() -> None:
    history = History()
    history.start(0, 0.0, 10.0, 4.0)
    history.start(1, 0.0, 10.0, 3.0)
    assert history.owed == 7.0
    history.settle(0, None)
    assert history.owed == 3.0


def test_latest_rate_is_that_of_the_last_burst() -> None:
    history = sent(0.0, 1.0, 8.0, 9.0, 10.0)
    assert history.latest_per_s(anchor(12.0), 3.0) == pytest.approx(3 / 4)
    assert history.latest_per_s(anchor(12.0), 9.0) == 0.0
