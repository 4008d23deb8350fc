"""A model asked over the real HTTP stack, in virtual time, and servers that answer as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tagspace_lab.clients.models import AnthropicModel, Model, OpenAIModel
from tagspace_lab.policy.prompts import build_prompt
from tagspace_lab.records import Reply
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import RULES, make_batch

Client = type[OpenAIModel] | type[AnthropicModel]
Answer = tuple[int, Any]
"""Status and body: JSON, or bytes as they are."""


@dataclass
class Server:
    """Answers each request with what `script(body of the request)` says, and keeps what it was sent."""

    script: Callable[[dict[str, Any]], Answer]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        async def serve(request: Request) -> Response:
            self.bodies.append(json.loads(await request.body()))
            self.headers.append(dict(request.headers))
            self.urls.append(str(request.url))
            status, document = self.script(self.bodies[-1])
            await asyncio.sleep(1)
            return Response(document if isinstance(document, bytes) else json.dumps(document), status)

        return Starlette(routes=[Route("/{path:path}", serve, methods=["POST"])])


@dataclass(frozen=True)
class Asker:
    """Asks one model so many times, one after the other, at an ASGI app or over a transport."""

    client: Client = OpenAIModel

    def ask(
        self, app: Any, times: int = 1, *, base_url: str = "http://server/v1", key: str = "k", pages: int = 2
    ) -> list[Reply]:
        async def act(model: Model) -> list[Reply]:
            return [await model.send(build_prompt(make_batch(pages), RULES)) for _ in range(times)]

        return self.run(app, act, base_url=base_url, key=key)

    def run(
        self,
        app: Any,
        act: Callable[[Model], Awaitable[list[Reply]]],
        *,
        base_url: str = "http://server/v1",
        key: str = "k",
    ) -> list[Reply]:
        async def main() -> list[Reply]:
            transport = app if isinstance(app, httpx.AsyncBaseTransport) else httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport) as http:
                return await act(self.client(http, base_url, "m", key, 30.0, lambda: 0.0))

        return run_virtual(main)


@pytest.fixture
def openai_asker() -> Asker:
    return Asker(OpenAIModel)


@pytest.fixture
def anthropic_asker() -> Asker:
    return Asker(AnthropicModel)


@pytest.fixture
def make_server() -> type[Server]:
    return Server
