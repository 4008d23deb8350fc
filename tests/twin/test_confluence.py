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
DATA_CENTER = "/confluence/rest/api"
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


@pytest.mark.parametrize("root", [DATA_CENTER, "/rest/api", "/wiki/rest/api"])
@pytest.mark.parametrize(("expand", "sizes"), [("body.storage,version", [50, 10]), ("version", [60])])
def test_first_interface_gives_fewer_rows_with_bodies(play: Any, root: str, expand: str, sizes: list[int]) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[Any]:
        start, found = 0, list[Any]()
        while True:
            path = f"{root}/content?spaceKey=LIST&type=page&limit=500&start={start}&expand={expand}"
            listing = (await client.get(path)).json()
            found.append(listing)
            start += listing["size"]
            if "next" not in listing["_links"]:
                return found

    listings = play(act)
    assert [listing["size"] for listing in listings] == sizes
    assert [listing["limit"] for listing in listings] == [50 if len(sizes) == 2 else 200] * len(sizes)
    ids = [page["id"] for listing in listings for page in listing["results"]]
    assert ids == [str(1000 + index) for index in range(60)]
    assert ("body" in listings[0]["results"][0]) is (len(sizes) == 2)


def test_first_interface_shows_labels_and_never_gold_ones(play: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> Any:
        await client.post(f"{DATA_CENTER}/content/1001/label", json=[{"prefix": "global", "name": "x"}])
        response = await client.get(f"{DATA_CENTER}/content?spaceKey=LIST&expand=metadata.labels,body.storage")
        return response, state.confluence.writes

    response, writes = play(act)
    labels = [page["metadata"]["labels"] for page in response.json()["results"]]
    assert [[label["name"] for label in found["results"]] for found in labels[:3]] == [[], ["x"], []]
    assert "topic" not in response.text
    assert writes == {("1001", "x"): 1}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("content?start=x", 400),
        ("content?limit=-1", 400),
        ("content/9", 404),
        ("content/9/label", 404),
        ("content/1001/label?start=x", 400),
        ("space/OTHER", 404),
        ("space/LIST", 200),
        ("content/1001", 200),
    ],
)
def test_first_interface_tells_what_is_wrong(play: Any, path: str, status: int) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> int:
        return (await client.get(f"{DATA_CENTER}/{path}")).status_code

    assert play(act) == status


@pytest.mark.parametrize("query", ["spaceKey=OTHER", "type=blogpost", "status=trashed"])
def test_what_the_wiki_has_not_is_an_empty_listing(play: Any, query: str) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> Any:
        return (await client.get(f"{DATA_CENTER}/content?{query}")).json()

    assert play(act)["results"] == []


@pytest.mark.parametrize(
    ("value", "path", "name"),
    [
        ("Bearer any", DATA_CENTER, "Twin"),
        ("Basic bWU6YW55", DATA_CENTER, "Twin"),
        ("Bearer wrong", DATA_CENTER, "Anonymous"),
        ("", DATA_CENTER, "Anonymous"),
        ("Bearer any", "/wiki/rest/api", "Anonymous"),
        ("Basic bWU6d3Jvbmc=", "/wiki/rest/api", "Anonymous"),
    ],
)
def test_wrong_token_sees_an_empty_wiki_where_anybody_may_look(play: Any, value: str, path: str, name: str) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> tuple[Any, Any]:
        client.auth = None  # type: ignore[assignment]
        urls = (f"{path}/user/current", f"{path}/content?spaceKey=LIST")
        user, listing = [(await client.get(url, headers={"authorization": value})) for url in urls]
        return user.json(), listing.json()

    user, listing = play(act, anonymous=True)
    assert (user["displayName"], user["type"]) == (name, "known" if name == "Twin" else "anonymous")
    assert bool(listing["results"]) is (name == "Twin")


def test_data_center_states_its_bucket_in_every_answer(play: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        return [await client.get(f"{DATA_CENTER}/user/current") for _ in range(3)]

    first, second, refused = play(act, requests_per_s=0.5, burst=2, latency_s=0.0)
    stated = {
        name: first.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "interval-seconds", "fillrate")
    }
    assert stated == {"limit": "2", "remaining": "1", "interval-seconds": "2", "fillrate": "1"}
    assert first.headers["retry-after"] == "0"
    assert "retry-after" not in second.headers
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")


def test_labels_of_the_second_interface_come_in_parts(play: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[list[str]]:
        state.confluence.labels.add("1001", [(f"label-{number}", "global") for number in range(60)])
        url, parts = f"{API}/pages/1001/labels", list[list[str]]()
        while url:
            body = (await client.get(url)).json()
            parts.append([label["name"] for label in body["results"]])
            url = body["_links"].get("next", "")
        return parts

    parts = play(act)
    assert [len(part) for part in parts] == [25, 25, 10]
    assert [name for part in parts for name in part] == [f"label-{number}" for number in range(60)]
