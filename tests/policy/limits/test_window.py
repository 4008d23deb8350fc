"""Slots: found from below, cut by caps, probed one at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from tagspace_lab.policy.limits import Start
from tagspace_lab.policy.limits.window import Window
from tagspace_lab.records import Cost


class Crowd:
    """Calls in flight at a provider that refuses the one above its cap after `reject_s`."""

    def __init__(self, window: Window, cap: int, reject_s: float = 0.02) -> None:
        self.window, self.cap, self.reject_s = window, cap, reject_s
        self.now_s, self.running, self.refusals = 0.0, list[Start](), 0

    def fill(self) -> None:
        while (opens_s := self.window.opens_at(self.now_s, len(self.running))) < math.inf:
            if opens_s > self.now_s + 0.2:
                return
            self.now_s = opens_s
            start = Start(self.now_s, Cost(1, 1), len(self.running) + 1)
            self.window.on_start(start)
            self.running.append(start)
            if len(self.running) > self.cap:
                self.refuse(start)

    def refuse(self, start: Start) -> None:
        self.now_s += self.reject_s
        self.running.remove(start)
        self.window.on_end(start, was_let_in=False)
        self.window.on_refused(self.now_s, start)
        self.window.on_full(self.now_s, start, is_first=True, is_named=True)
        self.refusals += 1

    def end_all(self) -> None:
        self.now_s += 1.0
        for start in self.running:
            self.window.on_end(start, was_let_in=True)
        self.running.clear()


@pytest.mark.parametrize("cap", [1, 4, 8, 31])
def test_cap_is_found_with_one_refusal_and_then_filled(cap: int) -> None:
    crowd = Crowd(Window(1, 32), cap)
    crowd.fill()
    assert (len(crowd.running), crowd.refusals, crowd.window.size) == (cap, 1, cap)


def test_nothing_is_above_the_ceiling() -> None:
    crowd = Crowd(Window(3, 10), 1000)
    crowd.fill()
    assert (len(crowd.running), crowd.refusals, crowd.window.size) == (10, 0, 10)


def test_what_was_let_in_before_starts_together_the_next_time() -> None:
    crowd = Crowd(Window(3, 10), 1000)
    crowd.fill()
    crowd.end_all()
    began_s = crowd.now_s
    crowd.fill()
    assert {start.at_s for start in crowd.running} == {began_s}


def test_failed_probes_of_a_cap_come_at_intervals_that_double_up_to_a_limit() -> None:
    crowd = Crowd(Window(1, 32), 4)
    probes_s = []
    while crowd.now_s < 200:
        before = crowd.refusals
        crowd.fill()
        if crowd.refusals > before:
            probes_s.append(crowd.now_s)
        crowd.end_all()
    gaps_s = [later - former for former, later in pairwise(probes_s)]
    assert gaps_s[:3] == pytest.approx([10, 20, 40], abs=1.5)
    assert max(gaps_s) < 42


def test_cap_that_rises_is_followed_at_once() -> None:
    crowd = Crowd(Window(1, 32), 4)
    crowd.fill()
    crowd.cap = 20
    while crowd.now_s < 12:
        crowd.end_all()
        crowd.fill()
    crowd.end_all()
    crowd.fill()
    assert len(crowd.running) == 20


def test_cap_that_nobody_named_is_given_up_when_a_call_above_it_is_let_in() -> None:
    window = Window(5, 32)
    starts = [Start(0.0, Cost(1, 1), number) for number in (1, 2, 3)]
    for start in starts:
        window.on_start(start)
    window.on_refused(0.02, starts[2])
    window.on_end(starts[2], was_let_in=False)
    window.on_full(0.02, starts[2], is_first=True, is_named=False)
    assert window.cap == 2
    probe = Start(window.opens_at(0.1, 2), Cost(1, 1), 3)
    window.on_start(probe)
    window.on_end(probe, was_let_in=True)
    assert window.cap == math.inf
