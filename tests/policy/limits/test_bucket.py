"""One limit, learned from a real bucket of the twin's, call by call."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits import Start
from tagspace_lab.policy.limits.bucket import LearnedBucket
from tagspace_lab.records import Cost, Quota
from tagspace_lab.twin.meters import Bucket
from tagspace_lab.twin.supply import Supply
from tests.fakes import examples


class Probe:
    """Sends calls whose end is known at once to a bucket, when `learned` says that there is room."""

    def __init__(self, learned: LearnedBucket, bucket: Bucket) -> None:
        self.learned, self.bucket = learned, bucket
        self.now_s, self.refused_s = 0.0, list[float]()

    def send(self, *, states: bool = False) -> bool:
        self.now_s = max(self.now_s, self.learned.ready_at(self.now_s, 1.0))
        start = Start(self.now_s, Cost(1, 0), 1)
        self.learned.on_start(start, 1.0, 0.0)
        admitted = self.bucket.wait_s(1, self.now_s) <= 0
        if admitted:
            self.bucket.take(1, self.now_s)
            sent = self.learned.on_let_in(start, 1.0)
        else:
            sent = self.learned.on_refused(self.now_s, start, 0.05, None, is_first=True)
            self.refused_s.append(self.now_s)
        if states:
            quota = Quota(600.0, float(int(self.bucket.remaining(self.now_s) + 1e-6)), self.bucket.reset_s(self.now_s))
            self.learned.on_stated(self.now_s, start, quota, sent, contradicts=False)
        self.now_s += 0.001 if admitted else 0.05
        return admitted


def test_nothing_is_known_and_nothing_held_back_before_a_refusal() -> None:
    probe = Probe(LearnedBucket(), Bucket(1e6, 1e6, Supply()))
    assert all(probe.send() for _ in range(100))
    learned = probe.learned
    assert (learned.rate, learned.is_known, learned.learned_per_s) == (math.inf, False, None)


@examples(40)
@given(st.floats(2, 50), st.integers(1, 20))
def test_rate_closes_in_on_the_true_one_with_refusals_that_grow_ever_rarer(true_per_s: float, burst: int) -> None:
    probe = Probe(LearnedBucket(), Bucket(true_per_s, burst, Supply()))
    for _ in range(600):
        probe.send()
    learned = probe.learned
    assert learned.is_known
    assert 0.85 * true_per_s <= learned.rate <= 1.15 * true_per_s
    assert learned.low <= true_per_s * 1.02
    assert len(probe.refused_s) <= 60


def test_statements_of_a_bucket_are_followed_without_a_refusal() -> None:
    probe = Probe(LearnedBucket(), Bucket(10.0, 5, Supply()))
    for _ in range(200):
        assert probe.send(states=True)
    assert probe.learned.learned_per_s == pytest.approx(10.0)
    assert probe.now_s == pytest.approx(195 / 10, rel=0.02)


def test_limit_that_is_stated_lower_from_now_on_paces_from_now_on() -> None:
    learned = LearnedBucket()
    for limit, rate in ((600.0, 10.0), (300.0, 5.0)):
        start = Start(1.0, Cost(1, 0), 1)
        learned.on_start(start, 1.0, 0.0)
        learned.on_stated(1.0, start, Quota(limit, 3.0, 1.0), learned.on_let_in(start, 1.0), contradicts=False)
        assert learned.rate == pytest.approx(rate)


def test_header_that_contradicts_a_refusal_no_longer_raises_the_level() -> None:
    learned = LearnedBucket()
    first, second = Start(0.0, Cost(1, 0), 1), Start(1.0, Cost(1, 0), 1)
    learned.on_start(first, 1.0, 0.0)
    learned.on_stated(0.1, first, Quota(60.0, 9.0, None), learned.on_let_in(first, 1.0), contradicts=False)
    learned.on_start(second, 1.0, 0.0)
    sent = learned.on_refused(1.1, second, 1.0, None, is_first=True)
    learned.on_stated(1.1, second, Quota(60.0, 7.0, None), sent, contradicts=True)
    assert learned.ready_at(1.1, 1.0) > 1.5


def test_one_refusal_of_a_congestion_teaches_and_the_others_only_count_for_nothing() -> None:
    learned, starts = LearnedBucket(), [Start(number / 100, Cost(1, 0), number + 1) for number in range(4)]
    for start in starts:
        learned.on_start(start, 1.0, 0.0)
    learned.on_refused(0.1, starts[1], 0.1, None, is_first=True)
    rate = learned.rate
    for start in starts[2:]:
        learned.on_refused(0.11, start, 0.1, None, is_first=False)
    assert learned.rate == rate


def test_a_dear_refusal_is_not_risked_again() -> None:
    """Every refusal holds everybody for a minute: the search begins with two calls in that time."""
    learned, start = LearnedBucket(), Start(0.0, Cost(1, 0), 1)
    learned.on_start(start, 1.0, 0.0)
    learned.on_refused(0.1, start, 60.0, 60.0, is_first=True)
    assert learned.rate == pytest.approx(2 / 60)


def test_outage_is_forgotten_and_the_rate_before_it_holds_again() -> None:
    probe = Probe(LearnedBucket(), Bucket(10.0, 5, Supply()))
    for _ in range(300):
        probe.send()
    rate = probe.learned.rate
    for _ in range(6):  # a minute in which everything is refused
        start = Start(probe.now_s, Cost(1, 0), 1)
        probe.learned.on_start(start, 1.0, 0.0)
        probe.learned.on_refused(probe.now_s, start, 10.0, 10.0, is_first=True)
        probe.now_s += 10.0
    probe.learned.end_row()
    assert probe.learned.rate == pytest.approx(rate, rel=0.15)
