"""The service over real sockets: events as they come, and its end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.pipeline.journal import Journal, TaskState
from tagspace_lab.service.app import create_app
from tagspace_lab.service.server import Server, listen
from tests.service.taggers import SlowTagger

TAG = "/bulk/tag-space/DOCS"


def run(
    folder: Path, tagger: SlowTagger, main: Callable[[httpx.AsyncClient, Server], Awaitable[None]], grace_s: float = 5.0
) -> None:
    async def serve() -> None:
        app = create_app(tagger, lambda: Journal(folder / "journal.sqlite"), grace_s=grace_s)
        server = Server(app, grace_s)
        with listen("127.0.0.1", 0) as listener:
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with (
                asyncio.timeout(30),
                asyncio.TaskGroup() as group,
                httpx.AsyncClient(base_url=base_url) as client,
            ):
                serving = group.create_task(server.serve([listener]))
                await main(client, server)
                server.should_exit = True
                await serving

    asyncio.run(serve())


async def begin(client: httpx.AsyncClient) -> str:
    task_id: str = (await client.post(TAG, json={"background": True})).json()["task_id"]
    return task_id


async def follow(client: httpx.AsyncClient, task_id: str, most: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    kind = ""
    async with client.stream("GET", f"/bulk/tasks/{task_id}/events", timeout=20) as response:
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                events.append((kind, json.loads(value)))
                if len(events) == most:
                    break
    return events


def test_events_come_while_the_task_runs_and_who_comes_back_is_told_all(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient, server: Server) -> None:
        task_id = await begin(client)
        first = await follow(client, task_id, most=2)
        assert [kind for kind, _ in first] == ["progress", "progress"]
        assert first[-1][1]["status"] == "running"
        one, other = await asyncio.gather(follow(client, task_id), follow(client, task_id))
        assert one[-1] == other[-1]
        assert (one[-1][0], one[-1][1]["processed"]) == ("end", 20)

    run(tmp_path, SlowTagger(pages=20, page_s=0.02), main)


def test_end_answers_who_waits_and_stops_the_task(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient, server: Server) -> None:
        waiting = asyncio.create_task(client.post(TAG, json={}, timeout=20))
        while not (tasks := (await client.get("/bulk/tasks")).json()["tasks"]):  # noqa: ASYNC110
            await asyncio.sleep(0)
        task_id = tasks[0]["task_id"]
        following = asyncio.create_task(follow(client, task_id))
        await follow(client, task_id, most=4)  # queued, running, its first page
        server.should_exit = True
        result = (await waiting).json()
        assert result["state"] == "stopped"
        assert 0 < result["processed"] < 1_000
        assert (await following)[-1][0] == "end"

    run(tmp_path, SlowTagger(pages=1_000, page_s=0.02), main)
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert [task.state for task in journal.tasks()] == [TaskState.STOPPED]


def test_end_is_bounded_by_the_grace(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient, server: Server) -> None:
        await begin(client)
        await client.get("/healthz")

    run(tmp_path, SlowTagger(page_s=3600.0), main, grace_s=0.2)
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.tasks()[0].state in (TaskState.FAILED, TaskState.STOPPED)


def test_client_that_goes_away_ends_no_task(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient, server: Server) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(TAG, json={}, timeout=0.1)
        task_id = (await client.get("/bulk/tasks")).json()["tasks"][0]["task_id"]
        assert (await follow(client, task_id))[-1][1]["status"] == "done"

    run(tmp_path, SlowTagger(pages=10, page_s=0.05), main)


def test_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} on 127.0.0.1 cannot be used"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="cannot be used"):
        listen("no-such-host.invalid", 0)
