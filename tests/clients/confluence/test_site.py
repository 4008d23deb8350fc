"""What happens on the wire: redirects, large answers, connections that break, secrets."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tagspace_lab.clients.confluence import Confluence, connect
from tagspace_lab.clients.confluence import site as site_module
from tagspace_lab.clients.http import open_http
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.clients.confluence.sites import CREDENTIALS, KINDS, PREFIX, SECRET, Found, play, replying, serving
from tests.fakes import TinySpace, make_scenario

USER = {"type": "known", "accountId": "1", "username": "me", "displayName": "Me"}
both = pytest.mark.parametrize("kind", KINDS)


def call(base_url: str, kind: Found, act: Callable[[Confluence], Awaitable[Any]], **options: Any) -> Any:
    """What `act(confluence)` gives over real sockets."""

    async def main() -> Any:
        async with open_http() as http:
            address, rng = f"{base_url}{PREFIX[kind]}", random.Random(0)
            site = connect(http, address, auth=CREDENTIALS, kind=kind, rng=rng, wall_clock=time.time, **options)
            return await act(site)

    return asyncio.run(main())


def leading_to(target: str, status: int = 302) -> Any:
    async def answer(request: Request, number: int) -> Response:
        return RedirectResponse(target, status)

    return serving(answer)


@both
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_server_never_gets_a_request(kind: Found, host: str, status: int) -> None:
    elsewhere, seen_elsewhere = replying(USER)
    with serve(elsewhere) as target:
        port = target.rsplit(":", 1)[1]
        app, seen = leading_to(f"http://{host}:{port}/stolen?x={SECRET}", status)
        with serve(app) as base_url, pytest.raises(ConfluenceError, match="token is not sent there") as caught:
            call(base_url, kind, lambda site: site.who_am_i())
    assert [request.url.path for request in seen_elsewhere] == []
    assert len(seen) == 1
    assert SECRET not in str(caught.value)
    assert "stolen" not in str(caught.value)


@both
@pytest.mark.parametrize(
    "target",
    [
        "https://twin/x",
        "http://twin:8080/x",
        "http://twin.example.org/x",
        "//elsewhere/x",
        "ftp://twin/x",
        "http://[",
        "",
    ],
)
def test_redirect_off_the_site_is_refused(kind: Found, target: str) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(status_code=302, headers={"location": target} if target else {})

    app, seen = serving(answer)
    with pytest.raises(ConfluenceError, match="redirects to"):
        play(app, kind, lambda site: site.who_am_i())
    assert len(seen) == 1


@both
def test_secure_site_is_not_left_for_an_insecure_one(kind: Found) -> None:
    app, seen = leading_to("http://twin/x")
    with pytest.raises(ConfluenceError, match="redirects to http"):
        play(app, kind, lambda site: site.who_am_i(), host="https://twin")
    assert len(seen) == 1


@both
def test_redirect_on_the_site_is_followed_with_the_token(kind: Found) -> None:
    async def answer(request: Request, number: int) -> Response:
        return RedirectResponse("/moved?to=here") if number == 0 else JSONResponse(USER)

    app, seen = serving(answer)
    with serve(app) as base_url:
        assert call(base_url, kind, lambda site: site.who_am_i()) == "Me"
    assert str(seen[1].url).endswith("/moved?to=here")
    assert seen[0].headers["authorization"] == seen[1].headers["authorization"]


@both
def test_redirects_end(kind: Found) -> None:
    app, seen = leading_to("/again")
    with pytest.raises(ConfluenceError, match="more than 3 times"):
        play(app, kind, lambda site: site.who_am_i())
    assert len(seen) == 4


@both
def test_write_is_not_sent_on(kind: Found) -> None:
    app, seen = leading_to("/moved", 307)
    with pytest.raises(ConfluenceError, match="HTTP 307"):
        play(app, kind, lambda site: site.add_labels("1", ["a"]))
    assert len(seen) == 1


@both
@pytest.mark.parametrize(("layers", "told"), [(1, "more than 64 MiB"), (2, "last with DecodingError")])
def test_answer_that_unpacks_without_end_is_not_held_in_memory(kind: Found, layers: int, told: str) -> None:
    packed = b"x" * 80_000_000
    for _ in range(layers):
        packed = gzip.compress(packed, 1)
    headers = {"content-encoding": ", ".join(["gzip"] * layers), "content-type": "application/json"}
    app, _ = replying(Response(packed, headers=headers))
    with serve(app) as base_url:
        tracemalloc.start()
        try:
            with pytest.raises(ConfluenceError, match=told):
                call(base_url, kind, lambda site: site.who_am_i(), give_up_s=0.1)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 200_000_000


@both
def test_listing_of_long_pages_is_read_in_small_parts(kind: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "MAX_ANSWER_BYTES", 20_000)
    space = TinySpace(60, dict.fromkeys(range(20, 60), "x" * 1000))

    async def act(site: Confluence) -> list[str]:
        return [page.id for listing in [part async for part in site.listings("TINY")] for page in listing]

    assert play(build_app(make_scenario(), space), kind, act) == [str(1000 + index) for index in range(60)]


@both
def test_listing_of_endless_pages_is_an_error(kind: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "MAX_ANSWER_BYTES", 5_000)

    async def act(site: Confluence) -> None:
        async for _ in site.listings("TINY"):
            pass

    with pytest.raises(ConfluenceError, match="which is not read"):
        play(build_app(make_scenario(), TinySpace(60, {3: "x" * 5_000})), kind, act)


@both
@pytest.mark.parametrize("reason", ["AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED"])
def test_answer_for_everybody_is_not_taken_for_ours(kind: Found, reason: str) -> None:
    headers = {"X-Seraph-LoginReason": reason}
    app, _ = replying(JSONResponse({"results": [{"id": 7, "name": "a"}], "size": 1}, headers=headers))
    with pytest.raises(ConfluenceError, match="did not accept the token"):
        play(app, kind, lambda site: site.labels("1"))
    fine, _ = replying(JSONResponse({"results": [], "size": 0}, headers={"X-Seraph-LoginReason": "OK"}))
    assert play(fine, kind, lambda site: site.labels("1")) == ()


@both
def test_page_to_log_in_is_told_as_such(kind: Found) -> None:
    app, _ = replying(Response("<html>Log in</html>"))
    with pytest.raises(ConfluenceError, match="page to log in"):
        play(app, kind, lambda site: site.who_am_i())


@both
@pytest.mark.parametrize(
    ("act", "advice"),
    [
        (lambda site: site.who_am_i(), "CONFLUENCE_KIND="),
        (lambda site: site.page("7"), "deleted or moved since"),
        (lambda site: site.labels("7"), "deleted or moved since"),
        (lambda site: site.add_labels("7", ["x"]), "deleted or moved since"),
    ],
)
def test_what_is_not_there_is_told_with_the_cure(kind: Found, act: Any, advice: str) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response("not here", 404)

    with pytest.raises(ConfluenceError, match=advice):
        play(serving(answer)[0], kind, act)


@both
def test_write_says_that_it_comes_from_no_browser(kind: Found) -> None:
    app, seen = replying({"results": [{"prefix": "global", "name": "x"}]})
    play(app, kind, lambda site: site.add_labels("7", ["x"]))
    assert {request.headers["x-atlassian-token"] for request in seen} == {"no-check"}


@both
def test_server_that_is_not_there_is_an_error(kind: Found) -> None:
    with serve(replying(USER)[0]) as base_url:
        pass
    with pytest.raises(ConfluenceError, match=r"cannot be reached .ConnectError.*Check CONFLUENCE_URL"):
        call(base_url, kind, lambda site: site.who_am_i(), give_up_s=0.1)


@both
@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"HTTP/9 OK\r\n\r\n"]
)
def test_server_that_speaks_something_else_is_an_error(kind: Found, garbage: bytes) -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(garbage)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, open_http() as http:
            base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PREFIX[kind]}"
            rng = random.Random(0)
            site = connect(
                http, base_url, auth=CREDENTIALS, kind=kind, rng=rng, wall_clock=time.time, give_up_s=0.1, timeout_s=2.0
            )
            await site.who_am_i()

    with pytest.raises(ConfluenceError, match="failed 1 times, last with RemoteProtocolError"):
        asyncio.run(main())


@both
def test_token_is_logged_by_nobody(kind: Found, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with serve(replying(USER)[0]) as base_url:
        call(base_url, kind, lambda site: site.who_am_i())
    assert caplog.records
    assert SECRET not in caplog.text
