"""One run of the real pipeline against the twin: in virtual time in this process, or on the wall clock over sockets.

The pipeline, its HTTP messages and the twin are the same both ways; only the loop and the transport differ.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette

from tagspace_lab.clients.confluence import ConfluenceCloud
from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import AnthropicModel, Model, OpenAIModel
from tagspace_lab.clients.stores import Store
from tagspace_lab.errors import InputError
from tagspace_lab.pipeline.cache import ResultCache
from tagspace_lab.pipeline.pipeline import Pipeline, RunResult
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.policy.isolation import addresses_model
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.policy.text import page_text
from tagspace_lab.records import Attempt, Space
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import EPOCH_S, build_app
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.scenario import Provider, Scenario

__all__ = ["TextMemo", "World", "serve"]

_MODEL_NAME = "twin"
_KEY = "twin"  # the twin wants a key, and takes any

T = TypeVar("T")

_is_suspect = lru_cache(maxsize=4096)(addresses_model)  # the same pages are replayed again and again


class TextMemo:
    """Texts of pages by the hash of the body, so that a page which is replayed again is not parsed again.

    Holds texts of at most `capacity` characters together, the newest ones.
    """

    def __init__(self, capacity: int = 32_000_000) -> None:
        self._room = capacity
        self._texts: dict[bytes, str] = {}

    def read(self, body: str) -> str:
        """The text of a page's body, as `page_text` gives it."""
        key = hashlib.sha256(body.encode("utf-8", "surrogatepass")).digest()
        text = self._texts.get(key)
        if text is None:
            self._texts[key] = text = page_text(body)
            self._room -= len(text)
            while self._room < 0:
                self._room += len(self._texts.pop(next(iter(self._texts))))
        return text


@dataclass(frozen=True)
class World:
    """A space behind a scenario's provider and Confluence, with a seed for all its luck."""

    space: Space
    scenario: Scenario
    seed: int = 0

    def run(
        self,
        settings: Settings,
        *,
        day: int = 0,
        store: Store | None = None,
        wall_clock: bool = False,
        read_text: Callable[[str], str] = page_text,
        on_progress: Callable[[int, int], None] | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        check_stop: Callable[[], bool] | None = None,
        on_epoch: Callable[[float], None] | None = None,
        trace: TraceWriter | None = None,
        epoch_s: float = EPOCH_S,
    ) -> RunResult:
        """One pass of the job over the space as it was on `day`. `store`: the cache; None runs without one.

        `on_attempt` is told of every attempt as it ends, `on_epoch` afterwards what the wall clock said at the first
        request; `trace` records the run.
        In virtual time the wall clock says `epoch_s` at the start.
        """

        async def job(http: httpx.AsyncClient, base_url: str, clock: Callable[[], float]) -> RunResult:
            wiring = _Wiring(self, settings, day, http, base_url, clock, trace, on_attempt)
            wiring.begin_trace()
            result = await wiring.pipeline(store, read_text, on_progress, check_stop).run(self.space.key)
            if trace is not None:
                trace.end(result)
            return result

        app = build_app(
            self.scenario, self.space, seed=self.seed, day=day, wall_clock=time.time if wall_clock else lambda: epoch_s
        )
        result = _on_the_wall_clock(app, job) if wall_clock else _in_virtual_time(app, job, epoch_s)
        if on_epoch:
            on_epoch(app.state.elapsed_s.epoch_s)
        return result


_Job = Callable[[httpx.AsyncClient, str, Callable[[], float]], Coroutine[Any, Any, RunResult]]


@dataclass(frozen=True)
class _Wiring:
    """Puts one run together, inside its event loop."""

    world: World
    settings: Settings
    day: int
    http: httpx.AsyncClient
    base_url: str
    clock: Callable[[], float]
    trace: TraceWriter | None
    on_attempt: Callable[[Attempt], None] | None

    def begin_trace(self) -> None:
        if self.trace is not None:
            space, models = self.world.space, {"primary": _MODEL_NAME}
            if self.world.scenario.fallback:
                models["fallback"] = _MODEL_NAME
            self.trace.begin(
                space=space.name,
                pages=len(space),
                settings=self.settings,
                rules=self._rules(),
                models=models,
                began_wall_s=self.clock(),
            )

    def pipeline(
        self,
        store: Store | None,
        read_text: Callable[[str], str],
        on_progress: Callable[[int, int], None] | None,
        check_stop: Callable[[], bool] | None,
    ) -> Pipeline:
        space, settings = self.world.space, self.settings
        rules = self._rules()
        result = RunResult(task_id=f"{space.key}-{self.world.seed}-{self.day}")
        fallback = self.world.scenario.fallback
        router = Router(
            self._endpoint("primary", self.world.scenario.provider, "/v1"),
            self._endpoint("fallback", fallback, "/fallback/v1") if fallback else None,
            settings=settings,
            rules=rules,
            rng=self._rng("router"),
            record=self._recorder(result),
        )
        return Pipeline(
            self._confluence(),
            router,
            ResultCache(store if settings.cache_enabled else None, space.key, result.task_id),
            settings=settings,
            rules=rules,
            model_name=_MODEL_NAME,
            result=result,
            read_text=read_text,
            is_suspect=_is_suspect,
            total=len(space),
            on_progress=on_progress,
            check_stop=check_stop,
        )

    def _rules(self) -> LabelRules:
        return LabelRules(self.world.space.vocabulary, self.settings.max_labels)

    def _recorder(self, result: RunResult) -> Callable[[Attempt], None]:
        listeners = [listener for listener in (self.trace, self.on_attempt) if listener is not None]
        if not listeners:
            return result.attempts.append

        def record(attempt: Attempt) -> None:
            result.attempts.append(attempt)
            for listen in listeners:
                listen(attempt)

        return record

    def _confluence(self) -> ConfluenceCloud:
        auth = httpx.BasicAuth("twin", _KEY)
        rng, give_up_s = self._rng("confluence"), self.settings.give_up_s
        return ConfluenceCloud(self.http, f"{self.base_url}/wiki", auth, rng, self.clock, give_up_s=give_up_s)

    def _endpoint(self, name: str, provider: Provider, path: str) -> Endpoint:
        settings = self.settings
        limiter = make_limiter(settings, self._rng(name))
        client = AnthropicModel if provider.headers == "anthropic" else OpenAIModel
        model: Model = client(
            self.http, f"{self.base_url}{path}", _MODEL_NAME, _KEY, settings.request_timeout_s, self.clock
        )
        return Endpoint(name, model, Throttle(limiter))

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.world.seed}/{self.day}/{purpose}")  # noqa: S311 - jitter, not a secret


@contextmanager
def serve(app: Any, port: int = 0) -> Iterator[str]:
    """Serve `app` on loopback in a thread; gives its base URL. Port 0 takes a free one."""
    import uvicorn  # a fifth of a second, for the wall clock alone

    # asyncio turns Nagle's delay off for sockets that say they are TCP: answers would wait 40 ms for the client's ACK.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise InputError(
            f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}). Choose another, or 0."
        ) from error
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), name="twin", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _in_virtual_time(app: Starlette, job: _Job, epoch_s: float) -> RunResult:
    async def main() -> RunResult:
        loop = asyncio.get_running_loop()
        async with open_http(httpx.ASGITransport(app)) as http:
            return await job(http, "http://twin", lambda: epoch_s + loop.time())

    return run_virtual(main)


def _on_the_wall_clock(app: Starlette, job: _Job) -> RunResult:
    async def main(base_url: str) -> RunResult:
        async with open_http() as http:
            return await job(http, base_url, time.time)

    with serve(app) as base_url:
        return _run_real(lambda: main(base_url))


def _run_real(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on a real event loop; in a thread of its own where this one has a loop already (a notebook)."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(main())
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(main())).result()
