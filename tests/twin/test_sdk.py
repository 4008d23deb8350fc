"""The twin over real sockets, asked by atlassian-python-api, which nobody of this project wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from atlassian import Confluence, ConfluenceV2

from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.fakes import TinySpace, make_scenario

PAGES = 120
Untyped: Any = Confluence


@pytest.fixture
def app() -> Any:
    return build_app(make_scenario(confluence={"latency_s": 0.0}), TinySpace(PAGES))


@pytest.fixture
def base_url(app: Any) -> Iterator[str]:
    with serve(app) as url:
        yield url


def data_center(base_url: str) -> Any:
    return Untyped(url=f"{base_url}/confluence", token="any")


def cloud_v1(base_url: str) -> Any:
    return Untyped(url=f"{base_url}/wiki", username="me@example.org", password="any", cloud=False)


@pytest.mark.parametrize("connect", [data_center, cloud_v1])
def test_first_interface_serves_the_sdk(base_url: str, app: Any, connect: Any) -> None:
    sdk = connect(base_url)
    pages = list(sdk.get_all_pages_from_space_as_generator("TINY", limit=50, expand="body.storage,version"))
    assert [page["id"] for page in pages] == [str(1000 + index) for index in range(PAGES)]
    assert sdk.get_page_by_id("1003", expand="body.storage")["body"]["storage"]["value"] == TinySpace().page(3).body
    assert sdk.get_space("TINY")["key"] == "TINY"
    assert sdk.get_current_user()["displayName"] == "Twin"
    assert [label["name"] for label in sdk.set_page_label("1001", "alpha")["results"]] == ["alpha"]
    assert [label["name"] for label in sdk.get_page_labels("1001")["results"]] == ["alpha"]
    assert app.state.confluence.writes == {("1001", "alpha"): 1}
    sdk.remove_page_label("1001", "alpha")
    assert sdk.get_page_labels("1001")["size"] == 0


def test_data_center_without_a_context_path_serves_links_that_the_sdk_follows(base_url: str) -> None:
    sdk = Untyped(url=base_url, token="any")
    pages = list(sdk.get_all_pages_from_space("TINY", limit=50, expand="body.storage"))
    assert [page["id"] for page in pages] == [str(1000 + index) for index in range(PAGES)]


@pytest.mark.filterwarnings("ignore:V1 methods are deprecated")
def test_second_interface_serves_the_sdk(base_url: str, app: Any) -> None:
    app.state.confluence.labels.add("1001", [(f"label-{number}", "global") for number in range(60)])
    sdk = ConfluenceV2(f"{base_url}/wiki", username="me@example.org", password="any")
    space = sdk.get_space_by_key("TINY")
    pages: Any = sdk.get_pages(space_id=space["id"], limit=50, body_format="storage")
    assert [page["id"] for page in pages] == [str(1000 + index) for index in range(PAGES)]
    assert pages[3]["body"]["storage"]["value"] == TinySpace().page(3).body
    assert len(sdk.get_page_labels("1001")) == 60
