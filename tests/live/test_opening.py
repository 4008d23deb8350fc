"""What a wiki is called in journal and cache."""

from __future__ import annotations

import pytest

from tagspace_lab.live.connections import load_connections
from tagspace_lab.live.opening import site_of


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://example.atlassian.net", "example.atlassian.net/wiki"),
        ("https://example.atlassian.net/wiki/spaces/DOCS", "example.atlassian.net/wiki"),
        ("https://example.org/confluence/", "example.org/confluence"),
        ("https://example.org:8443", "example.org:8443"),
        ("", ""),
    ],
)
def test_site_is_named_by_its_whole_address_however_it_is_written(url: str, site: str) -> None:
    assert site_of(load_connections({"CONFLUENCE_URL": url})) == site
