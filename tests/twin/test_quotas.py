from __future__ import annotations

from heapq import heappop, heappush
from math import inf, log

import pytest

from tagspace_lab.twin.noise import uniforms
from tagspace_lab.twin.quotas import Charge, Gate
from tagspace_lab.twin.schema import Limits, LimitStep, Outage, Tenants


def test_refused_call_takes_from_no_limit() -> None:
    gate = Gate(Limits(requests_per_min=60, tokens_per_min=1000))
    assert gate.admit(Charge(tokens=900), 0.0).is_admitted
    before = gate.gauges(0.0)
    verdict = gate.admit(Charge(tokens=200), 0.0)
    assert (verdict.limit, verdict.status) == ("tokens", 429)
    assert verdict.wait_s == verdict.claim_s == pytest.approx(100 / (1000 / 60))
    assert gate.gauges(0.0) == before
    assert gate.in_flight == 1


def test_the_longest_wait_names_the_limit_and_is_exact() -> None:
    gate = Gate(Limits(requests_per_min=60, burst_requests=1, input_tokens_per_min=600, output_tokens_per_min=60))
    charge = Charge(input_tokens=600, output_tokens=1)
    gate.admit(charge, 0.0)
    verdict = gate.admit(charge, 0.0)
    assert verdict.limit == "input_tokens"
    assert verdict.wait_s == pytest.approx(60.0)
    assert not gate.admit(charge, 59.9).is_admitted
    assert gate.admit(charge, 60.0).is_admitted


def test_settled_output_is_owed_even_if_there_is_not_enough() -> None:
    gate = Gate(Limits(output_tokens_per_min=600, burst_tokens=100))
    assert gate.admit(Charge(output_tokens=1), 0.0).is_admitted
    gate.settle(Charge(0, output_tokens=149), 1.0)
    verdict = gate.admit(Charge(output_tokens=1), 1.0)
    assert verdict.wait_s == pytest.approx(5.0)


def test_cap_admits_again_the_moment_a_call_ends() -> None:
    gate = Gate(Limits(concurrency_cap=2))
    assert [gate.admit(Charge(), 0.0).limit for _ in range(3)] == ["", "", "concurrency"]
    refused = gate.admit(Charge(), 0.0)
    assert refused.wait_s is None
    assert refused.claim_s is None
    gate.leave()
    assert gate.admit(Charge(), 0.0).is_admitted


def test_cap_loses_calls_by_erlangs_formula() -> None:
    """M/G/c/c: Poisson arrivals, no retries; the share of refused calls is Erlang's B, whatever the latencies are."""
    cap, load, lost, now_s = 8, 6.0, 1.0, 0.0
    for servers in range(1, cap + 1):
        lost = load * lost / (servers + load * lost)
    gate, ends_s = Gate(Limits(concurrency_cap=cap)), list[float]()
    refused = 0
    for call in range(20_000):
        gap, service = uniforms(2, "erlang", call)
        now_s -= log(gap)
        while ends_s and ends_s[0] <= now_s:
            heappop(ends_s)
            gate.leave()
        if gate.admit(Charge(), now_s).is_admitted:
            heappush(ends_s, now_s + 2 * load * service)
        else:
            refused += 1
    assert refused / 20_000 == pytest.approx(lost, abs=0.01)


def test_storm_of_rejected_calls_keeps_everybody_out_where_they_count() -> None:
    gates = [Gate(Limits(requests_per_min=600, burst_requests=5, rejected_count=flag)) for flag in (False, True)]
    admitted = [sum(gate.admit(Charge(), call / 12).is_admitted for call in range(1200)) for gate in gates]
    assert admitted[0] == pytest.approx(1004, abs=2)
    assert admitted[1] < 40


def test_verdict_tells_the_time_after_the_penalty() -> None:
    gate = Gate(Limits(requests_per_min=60, burst_requests=1, rejected_count=True))
    gate.admit(Charge(), 0.0)
    assert gate.admit(Charge(), 0.9).wait_s == pytest.approx(1.1)
    assert gate.admit(Charge(), 0.9).wait_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("retry_after", "claim_s"), [("exact", 1.0), ("late", 2.5), ("window", 60.0), ("missing", None)]
)
def test_retry_after_claims_what_the_scenario_says(retry_after: str, claim_s: float | None) -> None:
    limits = Limits.model_validate({"requests_per_min": 60, "burst_requests": 1, "retry_after": retry_after})
    gate = Gate(limits)
    gate.admit(Charge(), 0.0)
    assert gate.admit(Charge(), 0.0).claim_s == (claim_s if claim_s is None else pytest.approx(claim_s))


def test_wrong_retry_after_is_anything_up_to_a_window_and_the_same_every_time() -> None:
    gates = [Gate(Limits(requests_per_min=60, burst_requests=1, retry_after="wrong"), seed=7) for _ in range(2)]
    claims_s = [[gate.admit(Charge(), step / 100).claim_s for step in range(60)][1:] for gate in gates]
    assert claims_s[0] == claims_s[1]
    known_s = [claim_s for claim_s in claims_s[0] if claim_s is not None]
    assert len(set(known_s)) == 59
    assert 0.0 <= min(known_s) < 6.0
    assert 54.0 < max(known_s) <= 60.0


def test_late_retry_after_says_nothing_where_no_time_is_known() -> None:
    gate = Gate(Limits(concurrency_cap=1, retry_after="late"))
    gate.admit(Charge(), 0.0)
    assert gate.admit(Charge(), 0.0).claim_s is None


def test_wait_is_told_without_taking_anything() -> None:
    gate = Gate(Limits(requests_per_min=60, burst_requests=1, concurrency_cap=2))
    assert gate.wait_s(Charge(), 0.0) == 0.0
    assert gate.admit(Charge(), 0.0).is_admitted
    assert gate.wait_s(Charge(), 0.25) == pytest.approx(0.75)
    assert gate.admit(Charge(), 1.0).is_admitted
    assert gate.wait_s(Charge(), 2.0) is None


def test_call_larger_than_any_burst_is_told_no_time() -> None:
    verdict = Gate(Limits(tokens_per_min=1000)).admit(Charge(tokens=1001), 0.0)
    assert (verdict.wait_s, verdict.claim_s) == (inf, None)


def test_outage_refuses_everything_with_its_own_status() -> None:
    gate = Gate(Limits(), [Outage(kind="outage", at_s=20, until_s=80, status=503, retry_after_s=7)])
    verdict = gate.admit(Charge(), 20.0)
    assert (verdict.limit, verdict.status, verdict.wait_s, verdict.claim_s) == ("outage", 503, 60.0, 7)
    assert gate.admit(Charge(), 80.0).is_admitted


def test_gauges_state_the_limit_per_minute_however_it_is_enforced() -> None:
    gate = Gate(
        Limits(requests_per_min=500, burst_requests=60), [LimitStep(kind="limits", at_s=10, until_s=20, factor=0.5)]
    )
    assert gate.gauges(0.0)["requests"].limit == 500
    assert gate.gauges(0.0)["requests"].remaining == 60
    assert gate.gauges(15.0)["requests"].limit == 250


def test_tenants_leave_the_rest_of_the_rate() -> None:
    gate = Gate(Limits(requests_per_min=600, burst_requests=2), [Tenants(kind="tenants", at_s=0, share=0.4)], seed=1)
    admitted = sum(gate.admit(Charge(), step / 20).is_admitted for step in range(40_000))
    assert admitted / 2000 == pytest.approx(6.0, rel=0.08)


def test_clock_windows_know_the_outside_clock() -> None:
    gate = Gate(Limits(requests_per_min=1, window="fixed"), phase_s=1_767_225_600.0 + 45)
    assert gate.admit(Charge(), 0.0).is_admitted
    assert gate.admit(Charge(), 0.0).wait_s == pytest.approx(15.0)
