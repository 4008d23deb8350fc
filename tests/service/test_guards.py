from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.service.guards import MOST_BODY_BYTES, is_loopback
from tagspace_lab.service.server import check_address
from tests.service.taggers import use

TAG = "/bulk/tag-space/DOCS"


def status(folder: Path, method: str = "GET", path: str = "/bulk/tasks", token: str = "", **headers: str) -> int:
    async def main(client: httpx.AsyncClient) -> int:
        encoded = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
        return (await client.request(method, path, headers=encoded)).status_code  # type: ignore[arg-type]

    return use(folder, main, token=token)


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer token-of-the-service", 200),
        ("bearer  token-of-the-service", 200),
        ("Bearer token-of-the-servic", 401),
        ("Bearer token-of-the-servicex", 401),
        ("Bearer ", 401),
        ("Basic token-of-the-service", 401),
        ("token-of-the-service", 401),
        ("Bearer ÿþ", 401),
        ("", 401),
    ],
)
def test_token_is_asked_for_where_there_is_one(tmp_path: Path, authorization: str, expected: int) -> None:
    for path in ("/bulk/tasks", "/metrics", "/openapi.json", "/docs"):
        assert status(tmp_path, path=path, token="token-of-the-service", authorization=authorization) == expected
    assert status(tmp_path, "POST", "/bulk/tasks/x/stop", "token-of-the-service") == 401
    assert status(tmp_path, path="/healthz", token="token-of-the-service") == 200


def test_refusal_says_what_to_send(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        response = await client.get("/bulk/tasks")
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert "token-of-the-service" not in response.text

    use(tmp_path, main, token="token-of-the-service")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8766", 200),
        ("localhost:8766", 200),
        ("LOCALHOST", 200),
        ("[::1]:8766", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("", 421),
        ("[::1", 200),
        ("192.168.0.1", 421),
    ],
)
def test_only_loopback_s_names_are_let_in_without_a_token(tmp_path: Path, host: str, expected: int) -> None:
    assert status(tmp_path, host=host) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://127.0.0.1:8766", 200), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:9999", 403)],
)
def test_pages_of_other_sites_are_turned_away(tmp_path: Path, origin: str, expected: int) -> None:
    assert status(tmp_path, "POST", TAG, origin=origin) == expected


@pytest.mark.parametrize("size", [MOST_BODY_BYTES + 1, 10_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_large_body_is_refused(tmp_path: Path, size: int, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(0, size, 1_000):
            yield b" " * 1_000

    async def main(client: httpx.AsyncClient) -> None:
        response = await client.post(TAG, content=chunks() if is_chunked else b" " * size)
        assert response.status_code == 413
        assert response.json()["detail"] == "the body is larger than 65536 bytes"

    use(tmp_path, main)


def test_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> int:
        app = client._transport.app  # type: ignore[attr-defined]
        sent = []

        async def receive() -> dict[str, object]:
            await asyncio.sleep(3600)
            return {}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": TAG, "headers": headers, "query_string": b""}
        await app(scope, receive, send)
        return int(str(sent[0]["status"]))

    assert use(tmp_path, main) == 408


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_told_by_the_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_service_for_everybody_needs_a_token() -> None:
    check_address("127.0.0.1", "")
    check_address("0.0.0.0", "token")
    with pytest.raises(InputError, match=r"--host 0.0.0.0 can be reached from other machines"):
        check_address("0.0.0.0", "")
