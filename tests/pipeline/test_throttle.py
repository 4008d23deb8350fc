from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.pipeline.throttle import Closed, Slot, Throttle
from tagspace_lab.policy.limits import Start, make_limiter
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.quotas import Charge, Gate
from tagspace_lab.twin.schema import Limits
from tests.fakes import Obedient, answered, examples, refused

COST = Cost(100, 10)
OK = answered(["1"])


async def hold(throttle: Throttle, turn: int, for_s: float, done: list[int]) -> None:
    slot = await throttle.acquire(COST, turn)
    done.append(turn)
    try:
        await asyncio.sleep(for_s)
    except asyncio.CancelledError:
        throttle.release(slot, None)
        raise
    throttle.release(slot, OK)


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(main)


arrivals = st.lists(
    st.tuples(
        st.integers(0, 20).map(lambda tenths: tenths / 10),  # arrives at
        st.integers(0, 10).map(lambda tenths: tenths / 10),  # takes
        st.none() | st.integers(0, 40).map(lambda tenths: tenths / 10),  # cancelled after
    ),
    max_size=25,
)


@examples(300)
@given(arrivals, st.integers(1, 4), st.sampled_from([0.0, 0.3]), st.randoms(use_true_random=False))
def test_books_balance_whatever_comes_goes_and_is_cancelled(
    calls: list[tuple[float, float, float | None]], window: int, gap_s: float, rng: random.Random
) -> None:
    limiter = Obedient(window, gap_s)
    throttle = Throttle(limiter)
    turns = list(range(len(calls)))
    rng.shuffle(turns)
    done: list[int] = []

    async def call(turn: int, at_s: float, for_s: float, cancel_after_s: float | None) -> None:
        await asyncio.sleep(at_s)
        task = asyncio.ensure_future(hold(throttle, turn, for_s, done))
        if cancel_after_s is not None:
            asyncio.get_running_loop().call_later(cancel_after_s, task.cancel)
        await asyncio.gather(task, return_exceptions=True)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for turn, (at_s, for_s, cancel_after_s) in zip(turns, calls, strict=True):
                group.create_task(call(turn, at_s, for_s, cancel_after_s))

    in_virtual_time(main)
    assert throttle.in_flight == 0
    assert len(limiter.starts) == len(limiter.ends)
    assert all(1 <= start.in_flight <= window for start in limiter.starts)
    assert all(
        after.at_s - before.at_s >= gap_s - 1e-9
        for before, after in zip(limiter.starts, limiter.starts[1:], strict=False)
    )
    assert len(done) == len(set(done))
    whole = {turn for turn, (_, _, cancel) in zip(turns, calls, strict=True) if cancel is None}
    assert whole <= set(done), "a call that nobody cancelled never got its turn"


@examples(60)
@given(st.permutations(range(8)))
def test_lower_turns_go_first(turns: list[int]) -> None:
    throttle, done = Throttle(Obedient(1)), list[int]()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for turn in turns:
                group.create_task(hold(throttle, turn, 1.0, done))

    in_virtual_time(main)
    assert done == [turns[0], *sorted(turns[1:])]


def test_large_call_at_the_head_is_not_overtaken() -> None:
    class Strict(Obedient):
        def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
            return max(now_s, 10.0) if cost.tokens > 500 else now_s

    throttle, began = Throttle(Strict()), dict[int, float]()

    async def ask(turn: int, cost: Cost) -> None:
        slot = await throttle.acquire(cost, turn)
        began[turn] = slot.start.at_s
        throttle.release(slot, OK)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for turn, tokens in enumerate((10, 900, 10)):
                group.create_task(ask(turn, Cost(tokens)))

    in_virtual_time(main)
    assert began == {0: 0.0, 1: 10.0, 2: 10.0}


def test_waiting_is_measured_and_the_window_is_noted() -> None:
    throttle, slots = Throttle(Obedient(1)), list[Slot]()

    async def main() -> None:
        first = await throttle.acquire(COST, 0)
        waiting = asyncio.ensure_future(throttle.acquire(COST, 1))
        await asyncio.sleep(2.5)
        throttle.release(first, OK)
        slots.extend((first, await waiting))
        throttle.release(slots[1], OK)

    in_virtual_time(main)
    assert [slot.waited_s for slot in slots] == [0.0, 2.5]
    assert [slot.window for slot in slots] == [1, 1]


def test_pace_and_those_who_wait_behind_are_noted_at_each_start() -> None:
    class Paced(Obedient):
        pace_per_s = 0.5

    slots = dict[int, Slot]()

    async def call(throttle: Throttle, turn: int) -> None:
        slots[turn] = await throttle.acquire(COST, turn)
        await asyncio.sleep(1.0)
        throttle.release(slots[turn], OK)

    async def main() -> None:
        throttle = Throttle(Paced(2))
        async with asyncio.TaskGroup() as group:
            for turn in range(5):
                group.create_task(call(throttle, turn))
            await asyncio.sleep(0.5)
            assert throttle.queued == 3

    in_virtual_time(main)
    assert {turn: slot.queued for turn, slot in slots.items()} == {0: 0, 1: 0, 2: 2, 3: 1, 4: 0}
    assert {slot.pace_per_s for slot in slots.values()} == {0.5}


def test_close_wakes_everybody_and_turns_newcomers_away() -> None:
    throttle, closed = Throttle(Obedient(1, gate_s=1.0)), list[int]()

    async def ask(turn: int) -> None:
        try:
            await throttle.acquire(COST, turn)
        except Closed:
            closed.append(turn)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for turn in range(5):
                group.create_task(ask(turn))
            await asyncio.sleep(2.0)
            assert throttle.in_flight == 1
            throttle.close()
        with pytest.raises(Closed):
            await throttle.acquire(COST, 9)

    in_virtual_time(main)
    assert sorted(closed) == [1, 2, 3, 4]


def test_call_in_flight_when_it_closes_ends_as_any_other() -> None:
    limiter = Obedient(1)
    throttle = Throttle(limiter)

    async def main() -> None:
        slot = await throttle.acquire(COST, 0)
        throttle.close()
        throttle.release(slot, OK)

    in_virtual_time(main)
    assert throttle.in_flight == 0
    assert [reply.outcome for _, reply in limiter.ends] == [Outcome.OK]


def test_slot_freed_in_the_instant_of_a_cancellation_goes_to_the_next() -> None:
    throttle = Throttle(Obedient(1))

    async def main() -> None:
        held = await throttle.acquire(COST, 0)
        cancelled, waiting = (asyncio.ensure_future(throttle.acquire(COST, turn)) for turn in (1, 2))
        await asyncio.sleep(1)
        cancelled.cancel()
        throttle.release(held, OK)
        throttle.release(await waiting, OK)

    in_virtual_time(main)
    assert throttle.in_flight == 0


def test_slot_given_in_the_instant_before_a_cancellation_is_handed_back() -> None:
    limiter = Obedient(1)
    throttle = Throttle(limiter)

    async def main() -> None:
        held = await throttle.acquire(COST, 0)
        first, second = (asyncio.ensure_future(throttle.acquire(COST, turn)) for turn in (1, 2))
        await asyncio.sleep(1)
        throttle.release(held, OK)
        first.cancel()
        throttle.release(await second, OK)

    in_virtual_time(main)
    assert throttle.in_flight == 0
    assert [reply.outcome for _, reply in limiter.ends] == [Outcome.OK, Outcome.CANCELLED, Outcome.OK]


def test_cancelled_call_frees_its_slot() -> None:
    throttle, done = Throttle(Obedient(1)), list[int]()

    async def main() -> None:
        first = asyncio.ensure_future(hold(throttle, 0, 100.0, done))
        second = asyncio.ensure_future(hold(throttle, 1, 1.0, done))
        await asyncio.sleep(1)
        first.cancel()
        await second
        assert asyncio.get_running_loop().time() == 2.0

    in_virtual_time(main)
    assert done == [0, 1]


LIMITS = {
    "bucket": Limits(requests_per_min=600, burst_requests=5, retry_after="missing"),
    "told": Limits(requests_per_min=600, burst_requests=5),
    "penalty": Limits(requests_per_min=600, burst_requests=5, retry_after="missing", rejected_count=True),
    "cap": Limits(concurrency_cap=8, retry_after="missing"),
}


@pytest.mark.parametrize(
    ("name", "latency_s", "bound_s", "least"),
    [("bucket", 0.05, 29.5, 0.75), ("told", 0.05, 29.5, 0.75), ("penalty", 0.05, 29.5, 0.75), ("cap", 0.5, 18.75, 0.5)],
)
def test_learned_limiter_comes_near_the_bound_with_few_refusals(
    name: str, latency_s: float, bound_s: float, least: float
) -> None:
    throttle = Throttle(make_limiter(Settings(max_ai_concurrency=20), random.Random(0)))
    gate, refusals, ends_s = Gate(LIMITS[name]), list[float](), list[float]()

    async def call(turn: int) -> None:
        while True:
            slot = await throttle.acquire(COST, turn)
            verdict = gate.admit(Charge(), slot.start.at_s)
            await asyncio.sleep(latency_s if verdict.is_admitted else 0.005)
            if verdict.is_admitted:
                gate.leave()
                ends_s.append(asyncio.get_running_loop().time())
                return throttle.release(slot, OK)
            refusals.append(slot.start.at_s)
            throttle.release(slot, refused(verdict.claim_s))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for turn in range(300):
                group.create_task(call(turn))

    in_virtual_time(main)
    assert bound_s <= max(ends_s) + 1e-6
    assert max(ends_s) < bound_s / least, "slower than this share of the best possible"
    assert len(refusals) < 60


@pytest.mark.parametrize(
    ("waiting", "gate_s", "pace_per_s", "start_s"),
    [(0, 0.0, 0.5, 10.0), (4, 0.0, 0.5, 18.0), (4, 20.0, 0.5, 28.0), (0, 20.0, 0.5, 20.0), (4, 0.0, 100.0, 15.0)],
)
def test_start_is_predicted_from_gate_pace_and_slots(
    waiting: int, gate_s: float, pace_per_s: float, start_s: float
) -> None:
    """At 10 s, with one slot that is free, or three taken by calls of 3 s: four wait for them, and one more."""

    class Paced(Obedient):
        pace_per_s = 0.0

    limiter = Paced(3)
    limiter.pace_per_s = pace_per_s
    throttle = Throttle(limiter)

    async def main() -> None:
        slot = await throttle.acquire(COST, 0)
        await asyncio.sleep(3.0)
        throttle.release(slot, OK)
        await asyncio.sleep(7.0)
        held = [await throttle.acquire(COST, turn) for turn in range(3 if waiting else 0)]
        tasks = [asyncio.ensure_future(throttle.acquire(COST, 10 + turn)) for turn in range(waiting)]
        await asyncio.sleep(0)
        limiter.gate_s = gate_s
        assert throttle.predict_start_s(COST) == pytest.approx(start_s)
        throttle.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in held:
            throttle.release(slot, None)

    in_virtual_time(main)


@examples(60)
@given(arrivals, st.integers(1, 6), st.integers(0, 3), st.randoms(use_true_random=False))
def test_books_balance_with_the_learned_limiter_too(
    calls: list[tuple[float, float, float | None]], ceiling: int, refuse_every: int, rng: random.Random
) -> None:
    settings = Settings(ai_concurrency=1, max_ai_concurrency=ceiling)
    limiter = make_limiter(settings, rng)
    throttle, starts, ends, done = Throttle(limiter), list[int](), list[int](), set[int]()
    on_start, on_end = limiter.on_start, limiter.on_end

    def note_start(start: Start) -> None:
        starts.append(start.in_flight)
        on_start(start)

    def note_end(now_s: float, start: Start, reply: Reply) -> None:
        ends.append(start.in_flight)
        on_end(now_s, start, reply)

    limiter.on_start, limiter.on_end = note_start, note_end  # type: ignore[method-assign]

    async def call(turn: int, at_s: float, for_s: float) -> None:
        await asyncio.sleep(at_s)
        for number in range(2):
            slot = await throttle.acquire(COST, turn)
            assert throttle.in_flight <= ceiling
            reply = refused() if refuse_every and not number and turn % refuse_every == 0 else OK
            try:
                await asyncio.sleep(for_s)
            except asyncio.CancelledError:
                throttle.release(slot, None)
                raise
            throttle.release(slot, reply)
        done.add(turn)

    async def main() -> None:
        tasks = [asyncio.ensure_future(call(turn, at_s, for_s)) for turn, (at_s, for_s, _) in enumerate(calls)]
        for task, (at_s, _, cancel_after_s) in zip(tasks, calls, strict=True):
            if cancel_after_s is not None:
                asyncio.get_running_loop().call_later(at_s + cancel_after_s, task.cancel)
        async with asyncio.timeout(3_600):
            await asyncio.gather(*tasks, return_exceptions=True)

    in_virtual_time(main)
    assert throttle.in_flight == 0
    assert len(starts) == len(ends)
    assert all(in_flight <= ceiling for in_flight in starts)
    assert {turn for turn, (_, _, cancel) in enumerate(calls) if cancel is None} <= done
