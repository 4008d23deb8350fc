"""What stands in front of the service: who may come in, and with how much.

Plain ASGI, so that nothing of a request is read before it is let in. A browser must not be made to talk to a service
on loopback for a foreign page: names that are rebound to 127.0.0.1 show in the Host header, forms of other sites in
Origin.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MOST_BODY_BYTES", "BodyLimit", "Doorkeeper", "is_loopback"]

MOST_BODY_BYTES = 64 * 1024
_BODY_WITHIN_S = 10.0
_OPEN_PATHS = frozenset({"/healthz"})


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Doorkeeper:
    """Asks for the bearer token, where there is one; without one only loopback's own names and pages are let in.

    `/healthz` needs no token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._judge(scope)) is not None:
            status, why = refusal
            headers = {"www-authenticate": 'Bearer realm="tagspace-lab"'} if status == 401 else {}
            return await _refuse(send, status, why, headers)
        return await self._app(scope, receive, send)

    def _judge(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._token:
            if scope["path"] in _OPEN_PATHS or self._knows(headers.get(b"authorization", b"")):
                return None
            return 401, "send the token of this service: Authorization: Bearer ..."
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_loopback(_name_of(host)):
            return 421, "this service answers to localhost and 127.0.0.1; set TAG_SPACE_SERVICE_TOKEN for other names"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc != host:
            return 403, "pages of other sites may not use this service"
        return None

    def _knows(self, authorization: bytes) -> bool:
        kind, _, given = authorization.partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)


class BodyLimit:
    """Reads the body before the application does: at most so many bytes, within ten seconds."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BODY_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        too_large = f"the body is larger than {self._most_bytes} bytes"
        length = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
        if length.isdigit() and int(length[:20]) > self._most_bytes:
            return await _refuse(send, 413, too_large)
        try:
            async with asyncio.timeout(_BODY_WITHIN_S):
                messages = await self._read(receive)
        except TimeoutError:
            return await _refuse(send, 408, f"the body did not come within {_BODY_WITHIN_S:g} s")
        if messages is None:
            return await _refuse(send, 413, too_large)
        return await self._app(scope, _again(messages, receive), send)

    async def _read(self, receive: Receive) -> list[Message] | None:
        """All messages of a body; None where it is too large."""
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._most_bytes:
                return None
            if message["type"] != "http.request" or not message.get("more_body", False):
                return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Gives the messages once more, then what comes."""
    left = iter(messages)

    async def receive_again() -> Message:
        message = next(left, None)
        return message if message is not None else await receive()

    return receive_again


def _name_of(host: str) -> str:
    """The name in a Host header, without the port and the brackets of an IPv6 address."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


async def _refuse(send: Send, status: int, why: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"detail": why}).encode()
    all_headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **(headers or {}),
    }
    encoded = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
