"""Two passes over a small space with the settings that are to go live: in the simulated world, or dry on a live one."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from tagspace_lab.clients.http import open_http
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.lab.replay import replay
from tagspace_lab.live.connections import Connections
from tagspace_lab.live.job import TagResult
from tagspace_lab.live.opening import open_confluence
from tagspace_lab.live.running import run_task, start_task
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal
from tagspace_lab.records import Status
from tagspace_lab.settings import Settings

__all__ = ["Pass", "rehearse_live", "rehearse_simulated"]

_PAGES = 15


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over so many `pages`: those that came to no good end (`failed`), and why the first of them."""

    pages: int
    failed: int
    makespan_s: float
    hit_rate: float
    where: str
    reason: str = ""


def rehearse_simulated(scenario: str | Path, settings: Settings) -> list[Pass]:
    """The shipped small space on `scenario`, a day of edits between the passes."""
    report = replay("small", scenario, settings, runs=2, progress=False)
    reasons: list[str] = report.to_dict()["errors"]
    return [
        Pass(
            pages=run.pages,
            failed=run.errors,
            makespan_s=run.makespan_s,
            hit_rate=run.hit_rate,
            where=f"simulated on {report.scenario['name']}",
            reason=next(iter(reasons), ""),
        )
        for run in report.runs
    ]


def rehearse_live(space: str, connections: Connections, settings: Settings, most_s: float) -> list[Pass]:
    """The first pages of a live space, twice, with a cache and a journal of their own; no label is written.

    Each pass is stopped after `most_s`. Raises SettingsError and ConfluenceError.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = SecretStr(f"sqlite:///{folder}/cache.sqlite")
        apart = connections.model_copy(update={"state_dir": Path(folder), "cache_url": cache})
        pages = asyncio.run(_first_pages(space, connections, most_s))
        with Journal(Path(folder, "journal.sqlite")) as journal:
            return [asyncio.run(_tag(space, pages, apart, settings, journal, most_s, name)) for name in ("one", "two")]


async def _first_pages(space: str, connections: Connections, most_s: float) -> frozenset[str]:
    rng = random.Random(0)  # noqa: S311 - jitter
    try:
        async with asyncio.timeout(most_s), open_http() as http:
            async for pages in open_confluence(connections, http, rng, time.time, give_up_s=most_s).listings(space):
                if pages:
                    return frozenset(page.id for page in pages[:_PAGES])
    except TimeoutError:
        raise ConfluenceError(f"{space} was not listed within {most_s:g} s; try again later") from None
    raise ConfluenceError(f"the space {space} has no page that this account may see; name another")


async def _tag(
    space: str,
    pages: frozenset[str],
    connections: Connections,
    settings: Settings,
    journal: Journal,
    most_s: float,
    task_id: str,
) -> Pass:
    request = Request(space, mode="suggest", pages=pages)
    start_task(journal, request, connections, task_id=task_id, now_s=time.time())
    ends_s = asyncio.get_running_loop().time() + most_s
    result: TagResult = await run_task(
        task_id,
        request,
        connections,
        settings,
        journal,
        rng=random.Random(task_id),  # noqa: S311 - jitter
        wall_clock=time.time,
        check_stop=lambda: asyncio.get_running_loop().time() > ends_s,
    )
    unfinished = [tagging for tagging in result.run.results if tagging.status in (Status.ERROR, Status.STOPPED)]
    return Pass(
        pages=len(pages),
        failed=len(pages) - len(result.run.results) + len(unfinished),
        makespan_s=result.run.makespan_s,
        hit_rate=result.run.cache_stats.hit_rate,
        where=f"live in {space}, nothing written",
        reason=next((tagging.reason for tagging in unfinished), result.run.broke_off),
    )
