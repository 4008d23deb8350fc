from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.twin.meters import Bucket, FixedWindow, Meter, SlidingWindow
from tagspace_lab.twin.schema import LimitStep
from tagspace_lab.twin.supply import Supply

HALVED = Supply([LimitStep(kind="limits", at_s=10, factor=0.5)])
BUILDERS: dict[str, Callable[[Supply], Meter]] = {
    "bucket": lambda supply: Bucket(2.0, 5.0, supply),
    "fixed": lambda supply: FixedWindow(5.0, 3.0, supply),
    "first request": lambda supply: FixedWindow(5.0, 3.0, supply, phase_s=None),
    "sliding": lambda supply: SlidingWindow(5.0, 3.0, supply),
}


def admit_all(meter: Meter, count: int) -> list[float]:
    """When each of `count` requests is admitted, if each comes at the very time that it was told."""
    now_s, times_s = 0.0, []
    for _ in range(count):
        now_s += meter.wait_s(1.0, now_s)
        assert meter.wait_s(1.0, now_s) == 0.0
        meter.take(1.0, now_s)
        times_s.append(now_s)
    return times_s


def test_bucket_admits_its_burst_and_then_its_rate() -> None:
    times_s = admit_all(Bucket(10.0, 5.0, Supply()), 1000)
    assert times_s == pytest.approx([max(0, number - 4) / 10 for number in range(1000)], abs=1e-4)


def test_bucket_fills_up_to_its_capacity_only() -> None:
    bucket = Bucket(10.0, 5.0, Supply())
    bucket.take(5.0, 0.0)
    assert bucket.reset_s(0.1) == pytest.approx(0.4)
    assert bucket.remaining(100.0) == 5.0
    assert bucket.wait_s(6.0, 100.0) == inf


def test_bucket_works_off_a_debt() -> None:
    bucket = Bucket(10.0, 5.0, Supply())
    bucket.take(25.0, 0.0)
    assert bucket.remaining(0.0) == -20.0
    assert bucket.wait_s(1.0, 1.0) == pytest.approx(1.1)


def test_bucket_follows_a_step_that_lies_ahead() -> None:
    bucket = Bucket(1.0, 20.0, Supply([LimitStep(kind="limits", at_s=10, factor=0.5)]))
    bucket.take(20.0, 0.0)
    assert bucket.wait_s(10.0, 0.0) == pytest.approx(10.0)
    assert bucket.wait_s(10.0, 9.0) == pytest.approx(1.0)
    bucket.take(5.0, 10.0)
    assert bucket.wait_s(10.0, 10.0) == pytest.approx(10.0)
    assert bucket.wait_s(11.0, 10.0) == inf


def test_clock_windows_begin_with_the_outside_clock() -> None:
    window = FixedWindow(3.0, 60.0, Supply(), phase_s=45.0)
    assert admit_all(window, 7) == pytest.approx([0, 0, 0, 15, 15, 15, 75])
    assert window.reset_s(80.0) == pytest.approx(55.0)


def test_other_windows_begin_with_the_first_request_after_the_last() -> None:
    window = FixedWindow(2.0, 60.0, Supply(), phase_s=None)
    window.take(1.0, 50.0)
    window.take(1.0, 70.0)
    assert window.wait_s(1.0, 70.0) == pytest.approx(40.0)
    window.take(1.0, 200.0)
    assert window.reset_s(200.0) == pytest.approx(60.0)


def test_sliding_window_frees_what_was_taken_a_window_ago() -> None:
    window = SlidingWindow(3.0, 60.0, Supply())
    for now_s in (0.0, 10.0, 20.0):
        window.take(1.0, now_s)
    assert window.wait_s(1.0, 20.0) == pytest.approx(40.0)
    assert window.wait_s(2.0, 20.0) == pytest.approx(50.0)
    assert window.reset_s(20.0) == pytest.approx(60.0)
    assert window.remaining(65.0) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", BUILDERS)
def test_more_than_the_limit_is_never_admitted(kind: str) -> None:
    assert BUILDERS[kind](Supply()).wait_s(6.0, 0.0) == inf


@pytest.mark.parametrize("kind", BUILDERS)
def test_halved_limit_admits_half_as_much(kind: str) -> None:
    times_s = admit_all(BUILDERS[kind](HALVED), 200)
    rates = [sum(start <= time_s < start + 12 for time_s in times_s) / 12 for start in (40, 52, 64)]
    full = admit_all(BUILDERS[kind](Supply()), 400)
    assert all(rate <= 0.65 * sum(40 <= time_s < 76 for time_s in full) / 36 for rate in rates)


def test_refused_call_costs_one_even_if_nothing_is_left() -> None:
    bucket = Bucket(10.0, 5.0, Supply())
    bucket.take(4.5, 0.0)
    bucket.punish(0.0)
    assert bucket.remaining(0.0) == -0.5
    assert bucket.wait_s(1.0, 0.0) == pytest.approx(0.15)


def test_refused_calls_leave_a_debt_of_no_more_than_the_bucket_holds() -> None:
    bucket = Bucket(10.0, 5.0, Supply())
    for _ in range(100):
        bucket.punish(0.0)
    assert bucket.remaining(0.0) == -5.0
    assert bucket.wait_s(1.0, 0.0) == pytest.approx(0.6)


def test_refused_call_forgives_no_larger_debt() -> None:
    bucket = Bucket(10.0, 5.0, Supply())
    bucket.take(25.0, 0.0)
    bucket.punish(0.0)
    assert bucket.remaining(0.0) == -20.0


def test_halved_bucket_still_holds_one_request() -> None:
    bucket = Bucket(1.0, 1.0, HALVED)
    bucket.take(1.0, 10.0)
    assert bucket.capacity(10.0) == 1.0
    assert bucket.wait_s(1.0, 10.0) == pytest.approx(2.0)
    assert bucket.remaining(100.0) == 1.0


@given(
    st.sampled_from(sorted(BUILDERS)),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 4), st.floats(0.1, 5)), min_size=1, max_size=30),
)
def test_told_wait_is_exact(kind: str, is_halved: bool, calls: list[tuple[float, float]]) -> None:
    meter = BUILDERS[kind](HALVED if is_halved else Supply())
    now_s = 0.0
    for gap_s, amount in calls:
        now_s += gap_s
        wait_s = meter.wait_s(amount, now_s)
        if wait_s == inf:
            continue
        if wait_s > 1e-3:
            assert meter.wait_s(amount, now_s + wait_s - 1e-3) > 0, "told to wait longer than needed"
            # A meter's time never goes back: the question above has moved it forward already.
        now_s += wait_s
        assert meter.wait_s(amount, now_s) == 0.0, "told to come back too early"
        meter.take(amount, now_s)
