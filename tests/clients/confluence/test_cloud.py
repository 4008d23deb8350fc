from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tagspace_lab.clients.confluence import ConfluenceCloud
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.records import Page
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tests.clients.confluence.sites import play
from tests.clients.confluence.sites import replying as served
from tests.fakes import TinySpace, make_scenario

SECRET = "planted-0123456789"
Serve = Callable[[Request, int], Awaitable[Response]]
SPACES = {"results": [{"id": 7, "key": "TINY"}]}
PAGE = {"id": "1000", "title": "T", "body": {"storage": {"value": "<p>x</p>"}}, "version": {"number": 3}}


def read(
    app: Any, key: str = "TINY", *, base_url: str = "http://twin/wiki", **options: Any
) -> tuple[list[list[Page]], float]:
    """All listings, and the seconds they took."""

    async def main() -> tuple[list[list[Page]], float]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), **options) as http:
            auth = httpx.BasicAuth("me@example.org", SECRET)
            site = ConfluenceCloud(http, base_url, auth, random.Random(0), lambda: 0.0, timeout_s=5.0)
            listings = [listing async for listing in site.listings(key)]
            return listings, asyncio.get_running_loop().time()

    return run_virtual(main)


def serving(serve: Serve) -> tuple[Starlette, list[str]]:
    """An app that counts its requests from 0, and their addresses."""
    seen: list[str] = []

    async def count(request: Request) -> Response:
        seen.append(str(request.url))
        return await serve(request, len(seen) - 1)

    return Starlette(routes=[Route("/{path:path}", count)]), seen


def replying(*documents: Any) -> Starlette:
    async def serve(request: Request, number: int) -> Response:
        document = documents[min(number, len(documents) - 1)]
        return document if isinstance(document, Response) else JSONResponse(document)

    return serving(serve)[0]


@pytest.mark.parametrize(("pages", "sizes"), [(0, [0]), (1, [1]), (250, [250]), (601, [250, 250, 101])])
def test_every_page_of_the_twin_is_listed_once_in_order(pages: int, sizes: list[int]) -> None:
    space = TinySpace(pages)
    listings, _ = read(build_app(make_scenario(), space))
    assert [len(listing) for listing in listings] == sizes
    read_pages = [page for listing in listings for page in listing]
    assert [(page.id, page.title, page.body) for page in read_pages] == [
        (page.id, page.title, page.body) for page in map(space.page, range(pages))
    ]


def test_refusals_are_waited_out() -> None:
    scenario = make_scenario(confluence={"requests_per_s": 0.1, "burst": 2.0, "latency_s": 0.01})
    listings, took_s = read(build_app(scenario, TinySpace(601)))
    assert len(listings) == 3
    assert 20.0 <= took_s < 30.0


@pytest.mark.parametrize("failure", [429, 500, 503, "timeout", "broken"])
def test_failure_that_passes_is_retried(failure: Any) -> None:
    async def serve(request: Request, number: int) -> Response:
        if number in (0, 1, 3):
            if failure == "timeout":
                await asyncio.sleep(60)
            if failure == "broken":
                raise httpx.ReadError("broken")
            return Response(status_code=failure)
        return JSONResponse(SPACES if number == 2 else {"results": [PAGE]})

    app, seen = serving(serve)
    listings, took_s = read(app)
    assert listings == [[Page("1000", "T", "<p>x</p>", 3)]]
    assert len(seen) == 5
    assert took_s < 25


def test_retry_after_is_kept_to_with_positive_jitter() -> None:
    refusal = Response(status_code=429, headers={"retry-after": "40"})
    _, took_s = read(replying(refusal, SPACES, {"results": []}))
    assert 40.0 < took_s <= 44.0


def test_failure_that_stays_ends_the_listing() -> None:
    async def serve(request: Request, number: int) -> Response:
        return JSONResponse(SPACES) if number == 0 else Response(status_code=503)

    app, seen = serving(serve)
    with pytest.raises(ConfluenceError, match="failed 6 times, last with HTTP 503"):
        read(app)
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "user and the token"), (403, "may see"), (404, "CONFLUENCE_KIND=data-center"), (304, "304")],
)
def test_refused_request_is_an_error_at_once(status: int, advice: str) -> None:
    async def serve(request: Request, number: int) -> Response:
        return Response(SECRET, status)

    app, seen = serving(serve)
    with pytest.raises(ConfluenceError, match=advice) as caught:
        read(app)
    assert len(seen) == 1
    assert SECRET not in str(caught.value)


def test_unknown_space_is_named() -> None:
    with pytest.raises(ConfluenceError, match="'NOPE'"):
        read(build_app(make_scenario(), TinySpace()), "NOPE")


@pytest.mark.parametrize(
    "nonsense",
    [
        *(Response(b"<html>"), Response(b"[" * 100_000), [], None, {}, {"results": None}, {"results": [None]}),
        *(
            {"results": [{}]},
            {"results": [{"id": "1", "body": "x"}]},
            {"results": [PAGE | {"version": {"number": "x"}}]},
        ),
        *({"results": [PAGE], "_links": ["x"]}, {"results": [PAGE], "_links": {"next": 7}}),
        {"results": [PAGE], "_links": {"next": "/wiki/\x00"}},
    ],
)
def test_nonsense_is_an_error_that_names_the_address(nonsense: Any) -> None:
    with pytest.raises(ConfluenceError, match="http://twin/wiki/api/v2"):
        read(replying(SPACES, nonsense))


@pytest.mark.parametrize("nonsense", [{"results": [None]}, {"results": [{}]}, {"results": ["x"]}])
def test_nonsense_instead_of_a_space_is_an_error(nonsense: Any) -> None:
    with pytest.raises(ConfluenceError, match="http://twin/wiki/api/v2"):
        read(replying(nonsense))


def test_page_without_body_title_or_version_is_read_as_an_empty_one() -> None:
    listings, _ = read(replying(SPACES, {"results": [{"id": 5}, {"id": "6", "body": None, "title": None}]}))
    assert listings == [[Page("5", "", ""), Page("6", "", "")]]


def test_listing_that_names_itself_as_the_next_ends() -> None:
    again = {"results": [PAGE], "_links": {"next": "/wiki/api/v2/spaces/7/pages?cursor=a"}}
    with pytest.raises(ConfluenceError, match="named as the next listing again"):
        read(replying(SPACES, again))


def test_next_listing_is_read_from_this_site_whatever_the_answer_says() -> None:
    more = {"results": [PAGE], "_links": {"next": "http://elsewhere/wiki/api/v2/spaces/7/pages?cursor=b"}}

    async def serve(request: Request, number: int) -> Response:
        return JSONResponse((SPACES, more, {"results": []})[number])

    app, seen = serving(serve)
    read(app)
    asked = httpx.URL(seen[2])
    assert (asked.host, asked.path) == ("twin", "/wiki/api/v2/spaces/7/pages")
    assert dict(asked.params) == {"body-format": "storage", "status": "current", "limit": "250", "cursor": "b"}


def test_secrets_of_the_address_stay_out_of_errors() -> None:
    with pytest.raises(ConfluenceError) as caught:
        read(replying(Response(status_code=404)), base_url=f"http://me:{SECRET}@twin/wiki")
    assert SECRET not in str(caught.value)


def test_listings_that_go_in_a_circle_end() -> None:
    def leads_to(cursor: str) -> dict[str, Any]:
        return {"results": [PAGE], "_links": {"next": f"/wiki/api/v2/spaces/7/pages?cursor={cursor}"}}

    async def serve(request: Request, number: int) -> Response:
        return JSONResponse(SPACES if number == 0 else leads_to("ab"[number % 2]))

    app, seen = serving(serve)
    with pytest.raises(ConfluenceError, match="named as the next listing again"):
        read(app)
    assert len(seen) == 4


def test_site_that_asks_for_an_hour_is_given_up_in_time() -> None:
    app, seen = serving(lambda request, number: _busy())
    with pytest.raises(ConfluenceError, match=r"longer wait than 300 s \(HTTP 429\)"):
        read(app)
    assert len(seen) == 1


async def _busy() -> Response:
    return Response(status_code=429, headers={"retry-after": "3600"})


def test_link_header_leads_on_where_the_body_does_not() -> None:
    link = {"link": '</wiki/api/v2/spaces/7/pages?cursor=b>; rel="next", <http://twin/wiki>; rel="base"'}
    more = JSONResponse({"results": [PAGE]}, headers=link)
    listings, _ = read(replying(SPACES, more, {"results": [PAGE | {"id": "1001"}]}))
    assert [page.id for listing in listings for page in listing] == ["1000", "1001"]


def test_archived_page_is_left_out_even_if_the_site_lists_it() -> None:
    listings, _ = read(replying(SPACES, {"results": [PAGE, PAGE | {"id": "1", "status": "archived"}]}))
    assert [page.id for page in listings[0]] == ["1000"]


def test_space_of_another_key_is_not_taken_for_the_one_that_was_asked() -> None:
    with pytest.raises(ConfluenceError, match="'TINY'"):
        read(replying({"results": [{"id": 7, "key": "OTHER"}]}))


def ask_who(app: Any) -> str:
    name: str = play(app, "cloud", lambda site: site.who_am_i())
    return name


def test_site_that_does_not_name_the_account_is_asked_for_its_spaces() -> None:
    app, seen = served(Response(status_code=404), {"results": []})
    assert ask_who(app) == ""
    assert [request.url.path for request in seen] == ["/wiki/rest/api/user/current", "/wiki/api/v2/spaces"]


@pytest.mark.parametrize("status", [401, 403])
def test_account_that_may_not_look_is_told_so(status: int) -> None:
    app, seen = served(Response(status_code=status), {"results": []})
    with pytest.raises(ConfluenceError, match=str(status)):
        ask_who(app)
    assert len(seen) == 1


def test_address_of_something_else_is_an_error() -> None:
    with pytest.raises(ConfluenceError, match="/wiki/api/v2/spaces answered HTTP 404"):
        ask_who(served(Response(status_code=404))[0])
