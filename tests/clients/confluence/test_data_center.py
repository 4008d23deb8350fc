from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tagspace_lab.clients.confluence import Confluence
from tagspace_lab.errors import ConfluenceError
from tests.clients.confluence.sites import SECRET, play, replying, serving, timed


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "title": "T", "body": {"storage": {"value": "x"}}, "version": {"number": 1}} | more


async def list_ids(site: Confluence) -> list[str]:
    return [page.id async for listing in site.listings("TINY") for page in listing]


def test_requests_are_those_of_the_documentation() -> None:
    app, seen = replying({"results": [row(1)], "start": 0, "limit": 100, "size": 1})
    play(app, "data-center", list_ids)
    assert seen[0].url.path == "/confluence/rest/api/content"
    assert dict(seen[0].query_params) == {
        "spaceKey": "TINY",
        "type": "page",
        "status": "current",
        "expand": "body.storage,version,metadata.labels",
        "start": "0",
        "limit": "100",
    }
    assert seen[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("names_next", [True, False])
@pytest.mark.parametrize("cap", [1, 3, 5, 7])
def test_listing_goes_on_by_the_rows_that_came(cap: int, names_next: bool) -> None:
    async def serve(request: Request, number: int) -> Response:
        start = int(request.query_params["start"])
        results = [row(index) for index in range(start, min(start + cap, 15))]
        links = {"next": "/rest/api/content?start=0"} if names_next and start + cap < 15 else {}
        return JSONResponse({"results": results, "start": start, "limit": cap, "size": len(results), "_links": links})

    app, seen = serving(serve)
    assert play(app, "data-center", list_ids) == [str(index) for index in range(15)]
    assert len(seen) <= 15 // cap + 1


def test_page_that_is_listed_twice_is_given_once() -> None:
    app, _ = replying(
        {"results": [row(1), row(2)], "limit": 2, "size": 2}, {"results": [row(2), row(3)], "limit": 3, "size": 2}
    )
    assert play(app, "data-center", list_ids) == ["1", "2", "3"]


def test_server_that_heeds_no_start_is_given_up() -> None:
    app, seen = replying({"results": [row(1), row(2)], "limit": 2, "size": 2})
    with pytest.raises(ConfluenceError, match="same rows again"):
        play(app, "data-center", list_ids)
    assert len(seen) == 2


@pytest.mark.parametrize(("archived", "ids"), [(False, ["1", "4"]), (True, ["1", "2", "4"])])
def test_pages_are_current_unless_asked(archived: bool, ids: list[str]) -> None:
    rows = [row(1, status="current"), row(2, status="archived"), row(3, status="trashed"), row(4)]
    app, seen = replying({"results": rows, "limit": 100, "size": 4})
    assert play(app, "data-center", list_ids, archived=archived) == ids
    assert seen[0].query_params.getlist("status") == ["current", "archived"][: 1 + archived]


def test_labels_of_the_listing_are_taken() -> None:
    labels = {"results": [{"prefix": "global", "name": "a"}, {"prefix": "my", "name": "favourite"}], "size": 2}
    app, seen = replying({"results": [row(1, metadata={"labels": labels})], "limit": 100, "size": 1})

    async def act(site: Confluence) -> list[tuple[str, ...]]:
        return [page.labels async for listing in site.listings("TINY") for page in listing]

    assert play(app, "data-center", act, with_labels=True) == [("a",)]
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"type": "known", "username": "me", "displayName": "M. E."}, "M. E."),
        ({"userKey": "8a7f"}, "8a7f"),
        ({"username": "me", "displayName": "\x1b[31mred"}, "[31mred"),
    ],
)
def test_account_is_named_as_well_as_the_site_can(user: dict[str, str], name: str) -> None:
    assert play(replying(user)[0], "data-center", lambda site: site.who_am_i()) == name


@pytest.mark.parametrize("user", [{}, {"type": "anonymous", "displayName": "Anonymous"}, {"type": "known"}])
def test_anonymous_answer_says_what_to_check(user: dict[str, str]) -> None:
    with pytest.raises(ConfluenceError, match="Check the personal access token"):
        play(replying(user)[0], "data-center", lambda site: site.who_am_i())


def test_zero_wait_while_tokens_remain_is_no_wait_and_no_storm() -> None:
    headers = {"retry-after": "0", "x-ratelimit-remaining": "5", "x-ratelimit-limit": "10"}
    fine = JSONResponse({"results": [row(1)], "limit": 100, "size": 1}, headers=headers)
    app, seen = replying(Response(status_code=429, headers={"retry-after": "0"}), fine)

    ids, took_s = play(app, "data-center", timed(list_ids))
    assert ids == ["1"]
    assert len(seen) == 2
    assert 2.0 < took_s < 3.0
