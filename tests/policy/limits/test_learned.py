"""The contract of the default limiter; how well it paces is measured in the throttle's tests."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits import Learned, Start
from tagspace_lab.records import Cost, Outcome, Quota, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, examples, failed, refused

COST = Cost(900, 100)
replies = st.sampled_from(
    [
        *([answered(["1"])] * 3),
        *(refused(), refused(0.5), refused(30.0), refused(1.0, requests=Quota(60, 10, 20)), refused(None)),
        *(failed(), failed(Outcome.TIMED_OUT, 0), failed(Outcome.EXHAUSTED, 429), Reply(Outcome.CANCELLED)),
    ]
)


class Drive:
    """Starts calls as early as the limiter lets them, and ends them."""

    def __init__(self, concurrency: int = 3, max_concurrency: int = 10, seed: int = 0) -> None:
        settings = Settings(ai_concurrency=concurrency, max_ai_concurrency=max_concurrency)
        self.limiter = Learned(settings, random.Random(seed))
        self.now_s = 0.0
        self.running: list[Start] = []

    def start(self) -> Start | None:
        ready_s = self.limiter.ready_at(self.now_s, len(self.running), COST)
        if math.isinf(ready_s):
            return None
        self.now_s = ready_s
        start = Start(self.now_s, COST, len(self.running) + 1)
        self.running.append(start)
        self.limiter.on_start(start)
        return start

    def fill(self) -> None:
        while self.start():
            pass

    def end(self, reply: Reply, after_s: float = 1.0, which: int = 0) -> None:
        self.now_s += after_s
        self.limiter.on_end(self.now_s, self.running.pop(which), reply)


def test_starts_with_the_configured_window_and_adds_one_call_at_a_time() -> None:
    drive = Drive(concurrency=4, max_concurrency=10)
    drive.fill()
    starts_s = [start.at_s for start in drive.running]
    assert starts_s[:4] == [0.0] * 4
    assert starts_s[4:] == pytest.approx([0.025 * step for step in range(1, 7)])
    assert drive.limiter.cooling_until_s == 0.0


def test_window_grows_while_full_and_stops_at_the_ceiling() -> None:
    drive = Drive(concurrency=2, max_concurrency=7)
    for _ in range(40):
        drive.fill()
        drive.end(answered(["1"]))
    assert int(drive.limiter.window) == 7


def test_window_that_is_not_full_does_not_grow() -> None:
    drive = Drive(concurrency=3)
    for _ in range(40):
        drive.start()
        drive.end(answered(["1"]))
    assert drive.limiter.window == 3


@examples(200)
@given(st.lists(st.tuples(replies, st.floats(0, 5), st.integers(0, 9)), max_size=60), st.integers(1, 6))
def test_whatever_ends_the_calls_the_contract_holds(ends: list[tuple[Reply, float, int]], concurrency: int) -> None:
    drive = Drive(concurrency, 6)
    limiter = drive.limiter
    for reply, after_s, which in ends:
        drive.fill()
        assert 1 <= len(drive.running) <= 6
        drive.end(reply, after_s, which % len(drive.running))
        assert limiter.window <= 6
        gate_s = limiter.cooling_until_s
        ready_s = limiter.ready_at(drive.now_s, 0, COST)
        assert ready_s >= max(drive.now_s, gate_s)
        assert ready_s < drive.now_s + 200, "an idle provider keeps a call waiting"
        asked_s = reply.rate_limit.retry_after_s
        is_event = reply.outcome is Outcome.RATE_LIMITED and gate_s > drive.now_s
        assert asked_s is None or not is_event or gate_s <= drive.now_s + 61


@pytest.mark.parametrize("asked_s", [0.05, 1.0, 20.0, 600.0])
def test_retry_after_holds_everybody_and_lets_go_a_little_later_never_earlier(asked_s: float) -> None:
    gates_s = []
    for seed in range(30):
        drive = Drive(seed=seed)
        drive.fill()
        drive.end(refused(asked_s))
        gates_s.append(drive.limiter.cooling_until_s - drive.now_s)
        assert drive.limiter.ready_at(drive.now_s, len(drive.running), COST) >= drive.now_s + asked_s
    assert asked_s <= min(gates_s) < max(gates_s) <= asked_s * 1.5 + 1
    assert len(set(gates_s)) == 30


def test_refusals_of_one_congestion_cut_once() -> None:
    drive = Drive(concurrency=6)
    drive.fill()
    drive.end(refused())
    window, gate_s = drive.limiter.window, drive.limiter.cooling_until_s
    while drive.running:
        drive.end(refused(), after_s=0.001)
    assert drive.limiter.window == window
    assert drive.limiter.cooling_until_s == gate_s


def test_refusals_in_a_row_wait_longer_and_longer_up_to_a_ceiling() -> None:
    drive = Drive()
    waits_s = []
    for _ in range(12):
        drive.start()
        drive.end(refused(), after_s=0.01)
        waits_s.append(drive.limiter.cooling_until_s - drive.now_s)
    assert waits_s[0] < 2
    assert waits_s == pytest.approx(sorted(waits_s))
    assert waits_s[5] > 2 * waits_s[0]
    assert waits_s[-1] <= 30


def test_refusals_without_end_break_nothing() -> None:
    drive = Drive()
    for _ in range(1_100):
        drive.start()
        drive.end(refused(), after_s=0.01)
    assert drive.limiter.cooling_until_s <= drive.now_s + 120


def test_one_call_goes_first_when_the_gate_opens() -> None:
    drive = Drive(concurrency=6)
    drive.fill()
    for _ in range(6):
        drive.end(refused(2.0), after_s=0.01)
    first = drive.start()
    assert first is not None
    assert first.at_s >= 2.0
    assert drive.limiter.ready_at(drive.now_s, 1, COST) > first.at_s


def test_stated_quota_caps_although_nothing_was_refused() -> None:
    drive = Drive()
    drive.start()
    drive.end(Reply(Outcome.OK, 200, rate_limit=refused(requests=Quota(60, 0, 60)).rate_limit))
    assert drive.now_s < drive.limiter.ready_at(drive.now_s, 0, COST) <= drive.now_s + 61


def test_stated_quota_never_overrules_a_refusal() -> None:
    drive = Drive()
    drive.start()
    drive.end(refused(5.0, requests=Quota(1000, 1000, 0.0)))
    assert drive.limiter.ready_at(drive.now_s, 0, COST) >= drive.now_s + 5


def test_waiting_and_cancelled_calls_teach_nothing() -> None:
    drive = Drive()
    drive.fill()
    window = drive.limiter.window
    while drive.running:
        drive.end(Reply(Outcome.CANCELLED))
    assert drive.limiter.window == window
    assert drive.limiter.ready_at(drive.now_s, 0, COST) == drive.now_s


def test_run_that_is_told_a_rate_starts_at_its_pace() -> None:
    limiter = Learned(Settings(requests_per_min=60, tokens_per_min=None), random.Random(0))
    limiter.on_start(Start(0.0, COST, 1))
    assert limiter.ready_at(0.0, 1, COST) == pytest.approx(1.0)


def test_rate_that_was_too_low_is_outgrown() -> None:
    limiter, now_s = Learned(Settings(requests_per_min=60), random.Random(0)), 0.0
    for _ in range(200):
        now_s = limiter.ready_at(now_s, 0, COST)
        start = Start(now_s, COST, 1)
        limiter.on_start(start)
        limiter.on_end(now_s, start, answered(["1"]))
    assert limiter.ready_at(now_s, 0, COST) - now_s < 0.3


def test_rate_that_is_absurdly_low_costs_seconds_not_days() -> None:
    limiter = Learned(Settings(tokens_per_min=1), random.Random(0))
    limiter.on_start(Start(0.0, COST, 1))
    assert limiter.ready_at(0.0, 1, COST) <= 5.0
