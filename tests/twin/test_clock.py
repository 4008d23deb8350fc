from __future__ import annotations

import asyncio
import heapq
import random
import socket

import httpx
import pytest

from tagspace_lab.errors import ClockError, DeadlockError
from tagspace_lab.twin.clock import run_virtual


def test_sleep_takes_exactly_its_time() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    expected = 0.0
    for _ in range(1000):
        expected += 0.1
    assert run_virtual(main) == expected


def test_semaphore_ends_when_a_discrete_event_reference_says() -> None:
    """M/G/c with all arrivals at zero: each job starts when the earliest of c servers is free."""
    rng = random.Random(1)
    durations = [rng.expovariate(1.0) for _ in range(5000)]
    servers = [0.0] * 7
    for duration in durations:
        heapq.heappush(servers, heapq.heappop(servers) + duration)

    async def main() -> float:
        slots = asyncio.Semaphore(7)

        async def job(duration: float) -> None:
            async with slots:
                await asyncio.sleep(duration)

        async with asyncio.TaskGroup() as group:
            for duration in durations:
                group.create_task(job(duration))
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == max(servers)


def test_timeout_fires_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.sleep(1_000_000)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 2.5


def test_deadlock_raises_at_once() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="every task waits"):
        run_virtual(main)


def test_real_socket_is_refused() -> None:
    async def main() -> None:
        async with httpx.AsyncClient() as client:
            await client.get("http://localhost:9/")

    with pytest.raises(ClockError, match="ASGITransport"):
        run_virtual(main)


def test_sockets_and_watched_files_are_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ClockError):
                await loop.sock_sendto(sock, b"", ("127.0.0.1", 9))
            with pytest.raises(ClockError):
                await loop.sock_recv_into(sock, bytearray(1))
            with pytest.raises(ClockError):
                await loop.sock_recvfrom(sock, 1)
            for watch in (loop.add_reader, loop.add_writer):
                with pytest.raises(ClockError, match="Virtual time"):
                    watch(sock.fileno(), print)

    run_virtual(main)


def test_executor_runs_inline_and_hands_errors_on() -> None:
    async def main() -> str:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(str.upper, "ok")

    assert run_virtual(main) == "OK"


def test_runs_where_a_loop_already_runs() -> None:
    async def inner() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    async def notebook_cell() -> float:
        return run_virtual(inner)

    assert asyncio.run(notebook_cell()) == 3600
