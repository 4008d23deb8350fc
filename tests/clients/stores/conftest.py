"""A real Redis on a free loopback port, and the three stores to run one contract on."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tagspace_lab.clients.stores import MemoryStore, RedisStore, SQLiteStore, Store

OpenStore = Callable[[int], Store]


@dataclass
class RedisServer:
    """Starts empty, keeps nothing on disk, and listens on one port however often it is started."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert any("Ready to accept connections" in line for line in self.process.stdout)

    def stop(self) -> None:
        """As `kill -9` does it."""
        if self.process is not None:
            with self.process:
                self.process.kill()
            self.process = None

    def freeze(self) -> None:
        """It still has its connections, and answers none of them."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Servers by their options, each stopped at the end of the test."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with ExitStack() as stack:

        def make(*options: str) -> RedisServer:
            server = RedisServer(tmp_path, options)
            stack.callback(server.stop)
            server.start()
            return server

        yield make


@pytest.fixture
def redis_server(make_redis: Callable[..., RedisServer]) -> RedisServer:
    return make_redis()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def open_empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens an empty store of a capacity; all are closed at the end of the test."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    with ExitStack() as stack:

        def open_one(capacity: int) -> Store:
            store: Store
            if server is not None:
                store = RedisStore(server.url, capacity)
                store._client.flushall()
            elif request.param == "sqlite":
                store = SQLiteStore(Path(tempfile.mkdtemp(dir=tmp_path), "cache.db"), capacity)
            else:
                store = MemoryStore(capacity)
            stack.callback(store.close)
            return store

        yield open_one
