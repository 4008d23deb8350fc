from __future__ import annotations

import heapq
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.bounds import Bound, Change, Demand, Quota, Supply, lower_bound, useful_concurrency
from tagspace_lab.twin.meters import Bucket, FixedWindow, Meter, SlidingWindow
from tagspace_lab.twin.schema import LimitStep, Outage
from tagspace_lab.twin.supply import Supply as TwinSupply
from tests.fakes import examples

FREE = math.inf


def bound(calls: float, quota: Quota, *changes: Change) -> Bound:
    return lower_bound(Demand({"requests": calls}, 0.0, 0.0, 0.0), Supply((quota,), FREE, changes))


def admit_greedily(calls: int, meter: Meter, supply: TwinSupply) -> float:
    """When the last of so many calls gets in that all wait at the door from the start."""
    now_s = 0.0
    for _ in range(calls):
        while True:
            wait_s = meter.wait_s(1, now_s)
            outage = supply.outage(now_s + wait_s)
            if outage is None:
                break
            now_s = outage.until_s or math.inf
        now_s += wait_s
        meter.take(1, now_s)
    return now_s


def serve_greedily(latencies_s: list[float], slots: int, outages: list[Change]) -> float:
    """The makespan of calls that start in order on the first free slot, never within an outage."""
    free_s = [0.0] * slots
    for latency_s in latencies_s:
        start_s = heapq.heappop(free_s)
        for outage in sorted(outages, key=lambda change: change.at_s):
            if outage.at_s <= start_s < outage.until_s:
                start_s = outage.until_s
        heapq.heappush(free_s, start_s + latency_s)
    return max(free_s)


spans = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda span: (span[0], span[0] + span[1]))
changes_ = st.lists(st.tuples(spans, st.sampled_from([0.0, 0.5, 2.0])), max_size=3)


def make_world(changes: list[tuple[tuple[int, int], float]]) -> tuple[TwinSupply, list[Change]]:
    events = [
        LimitStep(kind="limits", at_s=at, until_s=until, factor=factor)
        if factor
        else Outage(kind="outage", at_s=at, until_s=until)
        for (at, until), factor in changes
    ]
    return TwinSupply(events), [Change(at, until, factor) for (at, until), factor in changes]


def test_nothing_to_ask_takes_no_time() -> None:
    assert lower_bound(Demand({"requests": 0}, 0, 0, 0), Supply((), 1)) == Bound(0.0, "nothing to ask")


@examples(100)
@given(st.integers(1, 300), st.integers(1, 50), st.integers(6, 600))
def test_bucket_bound_is_the_exact_admission_of_the_last_call(calls: int, burst: int, per_min: int) -> None:
    supply = TwinSupply()
    exact_s = admit_greedily(calls, Bucket(per_min / 60, burst, supply), supply)
    assert bound(calls, Quota("requests", per_min, burst)).seconds == pytest.approx(exact_s, abs=1e-3)


@examples(300)
@given(st.integers(1, 150), st.integers(1, 40), changes_)
def test_bucket_bound_holds_through_steps_and_outages(
    calls: int, burst: int, changes: list[tuple[tuple[int, int], float]]
) -> None:
    supply, changed = make_world(changes)
    exact_s = admit_greedily(calls, Bucket(2.0, burst, supply), supply)
    assert bound(calls, Quota("requests", 120, burst), *changed).seconds <= exact_s + 1e-3


def test_bucket_fills_while_an_outage_lasts() -> None:
    outage = Change(20, 80, 0.0)
    # 20 at once, 40 by 20 s, 20 more are saved up by 80 s, then 2 a second.
    assert bound(60, Quota("requests", 120, 20), outage).seconds == pytest.approx(20)
    assert bound(80, Quota("requests", 120, 20), outage).seconds == pytest.approx(80)
    assert bound(90, Quota("requests", 120, 20), outage).seconds == pytest.approx(85)


def test_steps_multiply_the_rate_while_they_last() -> None:
    quota = Quota("requests", 60, 1)
    assert bound(11, quota, Change(0, 8, 0.5)).seconds == pytest.approx(14)
    assert bound(11, quota, Change(4, math.inf, 2)).seconds == pytest.approx(7)
    assert bound(11, quota, Change(0, math.inf, 0.5), Change(4, math.inf, 2)).seconds == pytest.approx(12)


def test_outage_without_end_is_an_infinite_bound() -> None:
    assert bound(11, Quota("requests", 60, 1), Change(5, math.inf, 0.0)).seconds == math.inf
    assert bound(3, Quota("requests", 60, 1), Change(5, math.inf, 0.0)).seconds == pytest.approx(2)


@examples(150)
@given(st.integers(1, 100), st.integers(1, 20), st.integers(0, 59), changes_)
def test_window_bounds_hold_and_are_exact_without_events(
    calls: int, per_window: int, phase_s: int, changes: list[tuple[tuple[int, int], float]]
) -> None:
    for quiet in (True, False):
        supply, changed = make_world([] if quiet else changes)
        fixed_s = admit_greedily(calls, FixedWindow(per_window, 60.0, supply, phase_s=phase_s), supply)
        sliding_s = admit_greedily(calls, SlidingWindow(per_window, 60.0, supply), supply)
        for exact_s, phase in ((fixed_s, phase_s), (sliding_s, 0)):
            quota = Quota("requests", per_window, 0.0, 60.0, phase)
            seconds = bound(calls, quota, *changed).seconds
            assert seconds == pytest.approx(exact_s, abs=1e-3) if quiet else seconds <= exact_s + 1e-3


@examples(200)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 5), st.lists(spans, max_size=2))
def test_concurrency_bound_holds_through_outages(
    latencies_s: list[float], slots: int, spans_s: list[tuple[int, int]]
) -> None:
    outages = [Change(at, until, 0.0) for at, until in spans_s]
    demand = Demand({"requests": len(latencies_s)}, sum(latencies_s), min(latencies_s), max(latencies_s))
    assert lower_bound(demand, Supply((), slots, tuple(outages))).seconds <= serve_greedily(latencies_s, slots, outages)


def test_concurrency_bound_shares_the_work() -> None:
    assert lower_bound(Demand({"requests": 10}, 40.0, 4.0, 4.0), Supply((), 4)) == Bound(10.0, "concurrency")
    assert lower_bound(Demand({"requests": 10}, 40.0, 1.0, 13.0), Supply((), 4)) == Bound(13.0, "longest call")


def test_what_binds_is_named_and_the_last_call_is_still_served() -> None:
    quotas = (Quota("requests", 600, 5), Quota("input_tokens", 60_000, 1_000))
    demand = Demand({"requests": 20, "input_tokens": 31_000}, 20.0, 0.5, 2.0)
    assert lower_bound(demand, Supply(quotas, 10)) == Bound(30.5, "input tokens")


def test_useful_concurrency_is_littles_law() -> None:
    quotas = (Quota("requests", 600), Quota("tokens", 60_000))
    assert useful_concurrency(2.0, {"requests": 1, "tokens": 500}, quotas) == pytest.approx(4.0)
    assert useful_concurrency(2.0, {"requests": 1}, ()) == math.inf
