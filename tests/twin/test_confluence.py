from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.confluence import SPACE_ID
from tagspace_lab.twin.scenario import Scenario

API = "/wiki/api/v2"
LABEL = "/wiki/rest/api/content/1001/label"


@pytest.fixture
def play(space: Any, caller: Any) -> Callable[..., Any]:
    """Runs `act(client, state)` in virtual time against a Confluence."""

    def run(act: Callable[[httpx.AsyncClient, Any], Awaitable[Any]], day: int = 0, **confluence: Any) -> Any:
        words = {"name": "x", "description": "x", "source": "x", "provider": {}}
        scenario = Scenario.model_validate({**words, "confluence": confluence})

        async def main() -> Any:
            app = build_app(scenario, space, day=day)
            async with caller.connect(app, auth=("me@example.com", "token")) as client:
                return await act(client, app.state)

        return run_virtual(main)

    return run


def check(response: httpx.Response, specs: Path, path: str, method: str = "get") -> None:
    """The body fits the vendor's document."""
    operation = json.loads((specs / "confluence-cloud.json").read_text())["paths"][path][method]
    schema = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), schema)


def test_listing_gives_every_page_once_in_order(play: Any, space: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[list[str]]:
        url, listings = f"{API}/spaces/{SPACE_ID}/pages?limit=25&body-format=storage", list[list[str]]()
        while url and len(listings) < 9:
            response = await client.get(url)
            listings.append([page["id"] for page in response.json()["results"]])
            url = response.json()["_links"].get("next", "")
            assert response.links.get("next", {}).get("url", "") == url
        return listings

    listings = play(act)
    assert [len(listing) for listing in listings] == [25, 25, 10]
    assert [page_id for listing in listings for page_id in listing] == [space.page(index).id for index in range(60)]


def test_pages_show_body_and_version_of_the_day_but_never_gold_labels(play: Any, space: Any, specs: Path) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        paths = (
            f"{API}/spaces/{SPACE_ID}/pages?body-format=storage",
            f"{API}/pages/1001?body-format=storage",
            f"{API}/pages/1001",
            f"{API}/pages/1001/labels",
        )
        return [await client.get(path) for path in paths]

    listing, page, bare, labels = play(act, day=2)
    assert listing.json()["results"][1] == page.json()
    assert page.json()["body"]["storage"]["value"] == space.page(1, 2).body
    assert page.json()["version"]["number"] == 3
    assert bare.json()["body"] == {}
    assert labels.json()["results"] == []
    assert "topic" not in listing.text
    check(listing, specs, f"{API}/spaces/{{id}}/pages")
    check(page, specs, f"{API}/pages/{{id}}")
    check(labels, specs, f"{API}/pages/{{id}}/labels")
    wrong = httpx.Response(200, json=page.json() | {"status": "lost"})
    with pytest.raises(jsonschema.ValidationError, match="lost"):
        check(wrong, specs, f"{API}/pages/{{id}}")


def test_space_is_found_by_its_key(play: Any, specs: Path) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        return [await client.get(f"{API}/spaces?keys={keys}") for keys in ("LIST,OTHER", "OTHER")]

    found, none = play(act)
    assert found.json()["results"][0]["id"] == SPACE_ID
    assert none.json()["results"] == []
    check(found, specs, f"{API}/spaces")


def test_labels_are_added_split_and_read_back(play: Any, specs: Path) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[httpx.Response]:
        return [
            await client.post(LABEL, json=[{"prefix": "global", "name": "x"}, {"prefix": "global", "name": "new abc"}]),
            await client.post(LABEL, json={"prefix": "global", "name": "X"}),
            await client.delete(f"{LABEL}?name=abc"),
            await client.delete(f"{LABEL}/new"),
            await client.get(LABEL),
            await client.get(f"{API}/pages/1001/labels"),
        ]

    added, again, gone, gone_too, left, listed = play(act)
    assert [label["name"] for label in added.json()["results"]] == ["x", "new", "abc"]
    assert again.json() == added.json()
    assert (gone.status_code, gone_too.status_code) == (204, 204)
    assert [label["name"] for label in left.json()["results"]] == ["x"]
    assert [(label["name"], label["prefix"]) for label in listed.json()["results"]] == [("x", "global")]
    check(added, specs, "/wiki/rest/api/content/{id}/label", "post")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{API}/spaces/{SPACE_ID}/pages?limit=251", 400),
        ("GET", f"{API}/spaces/{SPACE_ID}/pages?limit=0", 400),
        ("GET", f"{API}/spaces/{SPACE_ID}/pages?cursor=junk", 400),
        ("GET", f"{API}/spaces/{SPACE_ID}/pages?body-format=view", 400),
        ("GET", f"{API}/spaces/9/pages", 404),
        ("GET", f"{API}/pages/9", 404),
        ("GET", f"{API}/pages/9/labels", 404),
        ("GET", f"{API}/pages/1000?body-format=view", 400),
        ("GET", "/wiki/rest/api/content/9/label", 404),
        ("POST", "/wiki/rest/api/content/9/label", 404),
        ("POST", LABEL, 400),
        ("DELETE", "/wiki/rest/api/content/9/label?name=x", 404),
        ("GET", "/wiki/nothing", 404),
    ],
)
def test_wrong_requests_are_told_so(play: Any, method: str, path: str, status: int) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> int:
        return (await client.request(method, path)).status_code

    assert play(act) == status


@pytest.mark.parametrize("value", ["", "Bearer abc", "Basic", "Basic !!!", "Basic OnRva2Vu", "Basic bWU6"])
def test_nothing_is_shown_without_user_and_token(play: Any, value: str) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[int, int]:
        client.auth = None  # type: ignore[assignment]
        response = await client.get("/wiki/rest/api/user/current", headers={"authorization": value})
        return response.status_code, state.confluence.requests

    assert play(act) == (401, 0)


def test_user_is_known(play: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> Any:
        return (await client.get("/wiki/rest/api/user/current")).json()

    assert play(act)["type"] == "known"


def test_own_limits_refuse_with_headers(play: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[httpx.Response]:
        return [await client.get("/wiki/rest/api/user/current") for _ in range(3)]

    *fine, refused = play(act, requests_per_s=0.5, burst=2, latency_s=0.0)
    assert [response.status_code for response in fine] == [200, 200]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["x-ratelimit-reset"] == "2026-01-01T00:01Z"
    assert refused.headers["x-ratelimit-nearlimit"] == "true"
    assert "retry-after" not in play(act, requests_per_s=0.5, burst=2, latency_s=0.0, retry_after=False)[2].headers


def test_day_can_be_turned(play: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> int:
        state.confluence.turn_to_day(4)
        number: int = (await client.get(f"{API}/pages/1001")).json()["version"]["number"]
        return number

    assert play(act) == 5


def test_site_may_give_fewer_pages_than_asked(play: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> Any:
        return (await client.get(f"{API}/spaces/{SPACE_ID}/pages?limit=250")).json()

    listing = play(act, page_limit=20)
    assert len(listing["results"]) == 20
    assert "limit=" in listing["_links"]["next"]
