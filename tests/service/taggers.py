"""A tagger that needs no wiki: a second a page, in whatever time the loop keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from tagspace_lab.errors import ConfluenceError
from tagspace_lab.live.task import Request, result_dict
from tagspace_lab.pipeline.journal import Journal, PageEnd, TaskState
from tagspace_lab.records import Attempt, Outcome, Status
from tagspace_lab.service.app import create_app
from tagspace_lab.service.tagger import Watcher
from tagspace_lab.twin.clock import run_virtual

T = TypeVar("T")

ATTEMPT = Attempt(
    call=1,
    number=1,
    provider="primary",
    started_s=0.0,
    ended_s=1.0,
    outcome=Outcome.RATE_LIMITED,
    status=429,
    pages=1,
    input_tokens=10,
    output_tokens=2,
    cached_tokens=0,
    waited_s=0.0,
    in_flight=1,
    window=3,
)


@dataclass
class SlowTagger:
    """`pages` pages; `broken` ones end as errors. The space BROKEN cannot be read, DEFECT is a defect."""

    pages: int = 5
    page_s: float = 1.0
    broken: int = 0
    site: str = "wiki.test"
    ran: list[tuple[str, Request, bool]] = field(default_factory=list)

    async def run(
        self, task_id: str, request: Request, journal: Journal, watcher: Watcher, *, is_resumed: bool
    ) -> dict[str, Any]:
        self.ran.append((task_id, request, is_resumed))
        if request.space == "BROKEN":
            raise ConfluenceError("the wiki gives no answer")
        if request.space == "DEFECT":
            raise ZeroDivisionError("SECRET")
        ends = journal.pages(task_id)
        for number in range(self.pages):
            if str(number) in ends:
                continue
            await asyncio.sleep(self.page_s)
            watcher.on_attempt(ATTEMPT)
            if watcher.should_stop():
                break
            status = Status.ERROR if number < self.broken else Status.TAGGED
            end = ends[str(number)] = PageEnd(str(number), 1, f"Page {number}", status, ("a",), (), ("a",))
            journal.keep_page(task_id, end)
            watcher.on_progress(len(ends), self.pages, {"processed": len(ends), "errors": min(self.broken, len(ends))})
        state = TaskState.DONE if len(ends) == self.pages else TaskState.STOPPED
        result = result_dict(task_id, ends.values(), request=request, total=self.pages) | {"state": str(state)}
        journal.note(task_id, total=self.pages, counters={"processed": len(ends), "errors": result["errors"]})
        journal.end(task_id, state, {name: result[name] for name in result if name != "details"}, 1e9)
        return result


@asynccontextmanager
async def served(app: FastAPI, **headers: str) -> Any:
    """A client of the application while it lives."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8766", headers=headers) as client,
    ):
        yield client


def use(
    folder: Path,
    main: Callable[[httpx.AsyncClient], Awaitable[T]],
    tagger: SlowTagger | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> T:
    """What `main` gives, with a client of the service, in virtual time."""
    tokens = (f"{number:06x}" for number in range(1_000))

    async def serve() -> T:
        app = create_app(
            tagger or SlowTagger(),
            lambda: Journal(folder / "journal.sqlite"),
            wall_clock=lambda: 1e9,
            make_token=lambda: next(tokens),
            **options,
        )
        async with served(app, **(headers or {})) as client:
            return await main(client)

    return run_virtual(serve)
