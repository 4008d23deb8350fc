from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from tagspace_lab.clients.confluence.valve import ImpatientError, Valve
from tagspace_lab.twin.clock import run_virtual


def play(act: Callable[[Valve], Awaitable[Any]], patience_s: float = 100.0) -> Any:
    async def main() -> Any:
        return await act(Valve(random.Random(0), patience_s))

    return run_virtual(main)


async def call(valve: Valve, status: int = 200, ticket: int | None = None, **headers: str) -> float:
    """One call that takes a second; gives when it began."""
    loop = asyncio.get_running_loop()
    async with valve.slot(valve.ticket() if ticket is None else ticket, float("inf")):
        began_s = loop.time()
        await asyncio.sleep(1.0)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        valve.learn(status, named, started_s=began_s, now_s=loop.time(), wall_s=0.0)
    return began_s


async def call_many(valve: Valve, count: int) -> list[float]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(valve)) for _ in range(count)]
    return [task.result() for task in tasks]


def test_four_calls_run_at_once_in_the_order_in_which_they_came() -> None:
    assert play(lambda valve: call_many(valve, 10)) == [0.0] * 4 + [1.0] * 4 + [2.0] * 2


@pytest.mark.parametrize("status", [429, 503])
def test_refusal_holds_everybody_and_then_one_goes_first(status: int) -> None:
    async def act(valve: Valve) -> list[float]:
        await call(valve, status, retry_after="10")
        return await call_many(valve, 4)

    first, second, *others = play(act)
    assert 11.0 < first <= 12.0
    assert second >= first + 1.0
    assert max(others) <= second + 1.1


@pytest.mark.parametrize("headers", [{}, {"retry_after": "0"}, {"retry_after": "-3"}, {"retry_after": "soon"}])
def test_refusal_without_a_time_waits_longer_each_time_up_to_half_a_minute(headers: dict[str, Any]) -> None:
    async def act(valve: Valve) -> list[float]:
        begun_s = [await call(valve, 429, **headers) for _ in range(7)]
        return [later - former - 1.0 for former, later in pairwise(begun_s)]

    waits_s = play(act)
    for wait_s, least_s in zip(waits_s, (2, 4, 8, 16, 30, 30), strict=True):
        assert least_s < wait_s <= 1.3 * least_s


def test_wait_that_leads_to_nothing_is_doubted() -> None:
    async def act(valve: Valve) -> float:
        for _ in range(12):
            await call(valve, 429, retry_after="1")
        return asyncio.get_running_loop().time()

    assert 3 * 2 + 8 * 20 < play(act) < 12 * 40


def test_refusals_of_calls_that_were_under_way_count_once() -> None:
    async def act(valve: Valve) -> float:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(call(valve, 429))
        return await call(valve)

    assert 3.0 < play(act) <= 3.6


def test_answer_of_a_call_from_before_a_refusal_does_not_open_the_valve() -> None:
    async def act(valve: Valve) -> list[float]:
        loop = asyncio.get_running_loop()
        early_s = loop.time()
        await call(valve, 429, retry_after="10")
        valve.learn(200, {}, started_s=early_s, now_s=loop.time(), wall_s=0.0)
        return await call_many(valve, 2)

    first, second = play(act)
    assert second >= first + 1.0


def test_bucket_that_is_nearly_empty_is_waited_for() -> None:
    bucket: dict[str, Any] = {
        "x_ratelimit_fillrate": "1",
        "x_ratelimit_interval_seconds": "5",
        "x_ratelimit_limit": "10",
    }

    async def act(valve: Valve) -> list[float]:
        return [
            await call(valve, x_ratelimit_remaining="2", **bucket),
            await call(valve, x_ratelimit_remaining="0", **bucket),
            await call(valve),
        ]

    assert play(act) == [0.0, 1.0, 7.0]


def test_reset_alone_is_waited_for_shortly() -> None:
    async def act(valve: Valve) -> list[float]:
        used_up: dict[str, Any] = {
            "x_ratelimit_remaining": "0",
            "x_ratelimit_limit": "10",
            "x_ratelimit_reset": "1970-01-01T00:01Z",
        }
        return [await call(valve, **used_up), await call(valve)]

    assert play(act) == [0.0, 3.0]


def test_near_limit_leaves_one_call_at_a_time() -> None:
    async def act(valve: Valve) -> list[float]:
        await call(valve, x_ratelimit_nearlimit="true")
        return await call_many(valve, 2)

    assert play(act) == [1.0, 2.0]


def test_wait_beyond_patience_is_told_at_once() -> None:
    async def act(valve: Valve) -> float:
        await call(valve, 429, retry_after="3000")
        for _ in range(3):
            with pytest.raises(ImpatientError):
                await call(valve)
        return asyncio.get_running_loop().time()

    assert play(act) == 1.0


def test_call_that_is_tried_again_keeps_its_place() -> None:
    async def act(valve: Valve) -> bool:
        mine = valve.ticket()
        await call(valve, 429, ticket=mine)
        async with asyncio.TaskGroup() as group:
            head = group.create_task(call(valve))
            others = [group.create_task(call(valve)) for _ in range(5)]
            await asyncio.sleep(0)
            again = group.create_task(call(valve, ticket=mine))
        return head.result() < again.result() < min(other.result() for other in others)

    assert play(act)


def test_caller_that_is_cancelled_in_the_queue_holds_nobody_up() -> None:
    async def act(valve: Valve) -> list[float]:
        await call(valve, 429, retry_after="10")
        tasks = [asyncio.create_task(call(valve)) for _ in range(3)]
        await asyncio.sleep(0.5)
        for task in tasks[:2]:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, True, False]
        return await call_many(valve, 1)

    assert len(play(act)) == 1
