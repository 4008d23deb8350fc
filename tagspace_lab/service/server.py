"""The service on a port, from its start to a graceful end."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from tagspace_lab.errors import InputError
from tagspace_lab.service.guards import is_loopback

__all__ = ["Server", "check_address", "listen"]

_BACKLOG = 128


def check_address(host: str, token: str) -> None:
    """InputError where the service would be open to everybody."""
    if not is_loopback(host) and not token:
        raise InputError(
            f"--host {host} can be reached from other machines, and no token is set; set TAG_SPACE_SERVICE_TOKEN to a "
            "long random text, or stay on 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle's delay on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = error.strerror or "no such address"
        raise InputError(f"Port {port} on {host} cannot be used ({why}). Choose another, or 0.") from error
    return listener


class Server(uvicorn.Server):
    """Tells the tasks of its end before it waits for open connections: some of these wait for tasks."""

    def __init__(self, app: FastAPI, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(grace_s) + 1),
                h11_max_incomplete_event_size=32 * 1024,
                limit_concurrency=1_000,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.tasks.begin_closing()
        await super().shutdown(sockets)
