"""Sites for the tests: clients of either kind against an app in virtual time, and apps that do wrong on purpose."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tagspace_lab.clients.confluence import Confluence, Credentials, connect
from tagspace_lab.twin.clock import run_virtual

SECRET = "planted-0123456789"
Found = Literal["cloud", "data-center"]
KINDS: tuple[Found, ...] = ("cloud", "data-center")
PREFIX = {"cloud": "/wiki", "data-center": "/confluence"}
CREDENTIALS = Credentials("me@example.org", SECRET, SECRET)

Serve = Callable[[Request, int], Awaitable[Response]]


def play(
    app: Any,
    kind: Found,
    act: Callable[[Confluence], Awaitable[Any]],
    *,
    host: str = "http://twin",
    credentials: Credentials = CREDENTIALS,
    **options: Any,
) -> Any:
    """What `act(confluence)` gives in virtual time, over an app in this process."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            rng, base_url = random.Random(0), f"{host}{PREFIX[kind]}"
            site = connect(
                http,
                base_url,
                auth=credentials,
                kind=kind,
                rng=rng,
                wall_clock=loop.time,
                **{"timeout_s": 5.0} | options,
            )
            return await act(site)

    return run_virtual(main)


def timed(act: Callable[[Confluence], Awaitable[Any]]) -> Callable[[Confluence], Awaitable[tuple[Any, float]]]:
    """`act`, and the seconds that it took."""

    async def measured(site: Confluence) -> tuple[Any, float]:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        result = await act(site)
        return result, loop.time() - begun_s

    return measured


def serving(serve: Serve) -> tuple[Starlette, list[Request]]:
    """An app that answers request number 0, 1 ... with `serve(request, number)`, and the requests that it saw."""
    seen: list[Request] = []

    async def count(request: Request) -> Response:
        seen.append(request)
        return await serve(request, len(seen) - 1)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", count, methods=methods)]), seen


def replying(*documents: Any) -> tuple[Starlette, list[Request]]:
    """An app that gives these documents (or responses) one after the other, and the last one again and again."""

    async def serve(request: Request, number: int) -> Response:
        document = documents[min(number, len(documents) - 1)]
        return document if isinstance(document, Response) else JSONResponse(document)

    return serving(serve)


class LossyPosts:
    """An app whose first `times` posts end badly: `how` is "timeout", "broken" or a status; taken all the same or not.

    `posts` counts them all.
    """

    def __init__(self, app: Any, times: int = 0, how: str | int = "broken", *, taken: bool = True) -> None:
        self.app, self.times, self.how, self.taken, self.posts = app, times, how, taken, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.posts += scope["method"] == "POST"
        if scope["method"] != "POST" or self.posts > self.times:
            await self.app(scope, receive, send)
            return
        if self.taken:
            await self.app(scope, receive, _swallow)
        if self.how == "timeout":
            await asyncio.sleep(600)
        if self.how == "broken":
            raise httpx.ReadError("broken")
        await Response(status_code=int(self.how))(scope, receive, send)


async def _swallow(message: Any) -> None:
    """The answer is lost."""
