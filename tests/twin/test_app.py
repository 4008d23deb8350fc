from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest
import uvicorn

from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.scenario import load_scenario, shipped_scenarios


async def ask(client: httpx.AsyncClient, caller: Any, times: int) -> list[tuple[int, str]]:
    replies = await asyncio.gather(*(client.post(**caller.chat([str(1000 + n)])) for n in range(times)))
    return [(reply.status_code, reply.text) for reply in replies]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenario_answers_the_same_twice(name: str, space: Any, caller: Any) -> None:
    async def main() -> list[tuple[int, str]]:
        app = build_app(load_scenario(name), space, seed=5)
        async with caller.connect(app) as client:
            return await ask(client, caller, 40)

    first = run_virtual(main)
    assert first == run_virtual(main)
    assert first[0][0] == 200


def test_fallback_has_its_own_limits_and_luck(space: Any, caller: Any) -> None:
    async def main() -> tuple[int, int, str, str]:
        app = build_app(load_scenario("guide"), space)
        async with caller.connect(app) as client:
            first = await client.post(**caller.chat())
            second = await client.post(**caller.chat() | {"url": "/fallback/v1/chat/completions"})
        return len(app.state.provider.log), len(app.state.fallback.log), first.json()["id"], second.json()["id"]

    calls, fallback_calls, first_id, second_id = run_virtual(main)
    assert (calls, fallback_calls) == (1, 1)
    assert first_id != second_id


def test_scenario_without_fallback_has_none(space: Any, caller: Any) -> None:
    async def main() -> tuple[Any, int]:
        app = build_app(load_scenario("azure"), space)
        async with caller.connect(app) as client:
            return app.state.fallback, (await client.post("/fallback/v1/messages")).status_code

    assert run_virtual(main) == (None, 404)


def test_time_is_that_of_the_first_request(space: Any, caller: Any) -> None:
    async def main() -> tuple[float, float]:
        app = build_app(load_scenario("blind-bucket"), space)
        async with caller.connect(app) as client:
            await asyncio.sleep(50)
            await client.post(**caller.chat())
            await asyncio.sleep(7)
        return app.state.provider.log[0].at_s, app.state.elapsed_s()

    first_s, last_s = run_virtual(main)
    assert first_s == 0.0
    assert last_s == pytest.approx(7.05, abs=0.01)


def test_wall_clock_is_read_at_the_first_request(space: Any, caller: Any) -> None:
    async def main() -> tuple[list[float], int, int]:
        readings = iter([1_800_000_030.0])
        read: list[float] = []

        def wall_clock() -> float:
            read.append(next(readings))
            return read[-1]

        app = build_app(load_scenario("openai-tier1"), space, wall_clock=wall_clock)
        async with caller.connect(app) as client:
            idle = len(read) + app.state.provider.in_flight
            reply = await client.post(**caller.chat())
            await client.get("/wiki/api/v2/spaces", auth=("any", "any"))
        return read, idle, reply.json()["created"]

    assert run_virtual(main) == ([1_800_000_030.0], 0, 1_800_000_030)


def test_served_app_answers_as_in_process(space: Any, caller: Any) -> None:
    scenario = load_scenario("blind-bucket")

    async def in_process() -> list[tuple[int, str]]:
        async with caller.connect(build_app(scenario, space)) as client:
            return await ask(client, caller, 3)

    async def over_sockets() -> list[tuple[int, str]]:
        server = uvicorn.Server(uvicorn.Config(build_app(scenario, space), log_level="error", lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                replies = await ask(client, caller, 3)
            server.should_exit = True
            await serving
            return replies

    assert asyncio.run(over_sockets()) == run_virtual(in_process)
