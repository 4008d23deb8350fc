"""The HTTP client against a server that offers HTTP/2, which no server among the dependencies does."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from tagspace_lab.clients.http import open_http

SECRET = "planted-0123456789"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `localhost` and its key, made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


def answer_http2(
    connections: list[asyncio.Task[None] | None],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server of one answer, `{}`, whatever is asked; `connections` gets the task of each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connections.append(asyncio.current_task())
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while received := await reader.read(65536):
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    assert event.stream_id is not None
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, b"{}", end_stream=True)
            writer.write(connection.data_to_send())
        writer.close()

    return serve


def test_http2_is_spoken_where_it_is_offered_over_one_connection_and_logs_no_key(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    connections: list[asyncio.Task[None] | None] = []

    async def main() -> list[httpx.Response]:
        server = await asyncio.start_server(answer_http2(connections), "127.0.0.1", 0, ssl=tls)
        async with server:
            responses = await ask(f"https://localhost:{server.sockets[0].getsockname()[1]}/")
            await asyncio.gather(*filter(None, connections))
        return responses

    async def ask(url: str) -> list[httpx.Response]:
        async with open_http() as http:
            headers = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
            return await asyncio.gather(*(http.get(url, headers=headers) for _ in range(5)))

    responses = asyncio.run(main())
    assert [(response.http_version, response.json()) for response in responses] == [("HTTP/2", {})] * 5
    assert len(connections) == 1
    assert "HTTP/2 200" in caplog.text
    assert SECRET not in caplog.text


def test_redirects_and_cookies_are_left_alone() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://elsewhere/", "set-cookie": "a=b"})

    async def main() -> tuple[httpx.Response, int]:
        async with open_http(httpx.MockTransport(answer)) as http:
            return await http.get("http://twin/"), len(http.cookies)

    response, cookies = asyncio.run(main())
    assert (response.status_code, cookies) == (302, 0)
