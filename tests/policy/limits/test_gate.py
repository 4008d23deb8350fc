"""The wait after a refusal, and who goes first."""

from __future__ import annotations

import math
import random

import pytest

from tagspace_lab.policy.limits import Start
from tagspace_lab.policy.limits.gate import Gate
from tagspace_lab.records import Cost


def start(at_s: float) -> Start:
    return Start(at_s, Cost(1, 1), 1)


def refuse(gate: Gate, times: int = 1, *, was_probe: bool = False) -> None:
    for _ in range(times):
        gate.on_refused(was_probe=was_probe)


def test_what_is_asked_is_waited_and_a_little_more_never_less() -> None:
    waits_s = []
    for seed in range(50):
        gate = Gate(random.Random(seed))
        refuse(gate)
        waits_s.append(gate.asked_wait_s(20.0, math.inf))
    assert 20.0 <= min(waits_s) < max(waits_s) <= 21.0
    assert len(set(waits_s)) == 50


def test_wait_that_acceptances_prove_overstated_is_cut_and_doubted_less_each_time_that_was_wrong() -> None:
    gate = Gate(random.Random(0))
    refuse(gate)
    assert gate.asked_wait_s(60.0, 0.5) == pytest.approx(1.0, rel=0.11)
    refuse(gate, was_probe=True)
    assert gate.asked_wait_s(60.0, 0.5) == pytest.approx(4.0, rel=0.11)
    refuse(gate, was_probe=True)
    refuse(gate, was_probe=True)
    assert gate.asked_wait_s(60.0, 0.5) >= 60.0


def test_wait_of_a_few_gaps_is_not_disputed() -> None:
    gate = Gate(random.Random(0))
    refuse(gate)
    assert gate.asked_wait_s(4.0, 1.0) >= 4.0


def test_own_wait_doubles_in_a_row_up_to_a_limit_and_beyond_it_only_after_a_minute() -> None:
    gate = Gate(random.Random(0))
    waits_s = []
    for _ in range(16):
        refuse(gate)
        waits_s.append(gate.own_wait_s(0.0, 0.1))
    assert waits_s[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert waits_s[11:14] == [5.0, 10.0, 20.0]
    refuse(gate, 2_000)
    assert gate.own_wait_s(0.0, 0.1) == 120.0


def test_clients_that_push_each_others_retry_after_wait_ever_longer() -> None:
    gate = Gate(random.Random(0))
    refuse(gate, 14)
    assert gate.asked_wait_s(10.0, math.inf) > 40.0


def test_one_goes_first_and_the_others_follow_when_it_was_not_refused() -> None:
    gate = Gate(random.Random(0))
    refuse(gate)
    gate.close(1.0, 2.0)
    assert gate.opens_at(1.0, 0.2) == 3.0
    assert gate.on_start(start(3.0)) == (False, 2.0)
    assert gate.opens_at(3.0, 0.2) == pytest.approx(3.2)
    assert gate.on_start(start(3.2)) == (True, 0.0)
    assert gate.opens_at(3.3, 0.2) == 3.3
    assert gate.refusals == 0
