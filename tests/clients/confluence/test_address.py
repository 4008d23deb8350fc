from __future__ import annotations

import httpx
import pytest

from tagspace_lab.clients.confluence import Credentials, Kind, find_kind, find_site
from tagspace_lab.clients.confluence.address import BearerAuth
from tagspace_lab.errors import SettingsError

SECRET = "planted-0123456789"


@pytest.mark.parametrize(
    ("address", "kind", "site"),
    [
        ("https://example.atlassian.net/wiki", "cloud", "https://example.atlassian.net/wiki"),
        ("https://example.atlassian.net", "cloud", "https://example.atlassian.net/wiki"),
        (" https://example.atlassian.net/ ", "cloud", "https://example.atlassian.net/wiki"),
        ("https://example.atlassian.net/wiki/spaces/KEY/pages/1?x=1#y", "cloud", "https://example.atlassian.net/wiki"),
        ("https://EXAMPLE.atlassian.net/wiki/", "cloud", "https://example.atlassian.net/wiki"),
        (
            "https://api.atlassian.com/ex/confluence/12-ab",
            "cloud",
            "https://api.atlassian.com/ex/confluence/12-ab/wiki",
        ),
        ("http://127.0.0.1:8765/wiki", "cloud", "http://127.0.0.1:8765/wiki"),
        ("https://wiki.example.org", "data-center", "https://wiki.example.org"),
        ("https://wiki.example.org/", "data-center", "https://wiki.example.org"),
        ("https://example.org/confluence/", "data-center", "https://example.org/confluence"),
        ("https://atlassian.net.example.org", "data-center", "https://atlassian.net.example.org"),
        ("https://notatlassian.net", "data-center", "https://notatlassian.net"),
    ],
)
def test_kind_and_site_are_found_from_the_address(address: str, kind: str, site: str) -> None:
    assert find_kind(address) == kind
    assert find_site(address, find_kind(address)) == site


def test_setting_overrides_the_address() -> None:
    assert find_kind("https://example.org", "cloud") == "cloud"
    assert find_site("https://example.org", "cloud") == "https://example.org/wiki"
    assert find_kind("https://example.org/wiki", "data-center") == "data-center"
    assert find_site("https://example.org/wiki", "data-center") == "https://example.org/wiki"


def test_personal_token_alone_is_of_a_data_center() -> None:
    token = Credentials(personal_token="p")
    assert find_kind("https://example.org/wiki", auth=token) == "data-center"
    assert find_kind("https://example.org/wiki", auth=Credentials("me", "t", "p")) == "cloud"
    assert find_kind("https://example.atlassian.net", auth=token) == "cloud"


@pytest.mark.parametrize("address", ["", "example.org", "ftp://example.org", "https://", "http://a:b", "//example.org"])
def test_what_is_no_address_is_told_so(address: str) -> None:
    with pytest.raises(SettingsError, match="CONFLUENCE_URL"):
        find_kind(address)


def test_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="settings of their own") as caught:
        find_kind(f"https://me:{SECRET}@example.org")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "credentials", "header"),
    [
        ("cloud", Credentials("me", "t"), "Basic bWU6dA=="),
        ("data-center", Credentials("me", "t", "p"), "Bearer p"),
        ("data-center", Credentials("me", "t"), "Basic bWU6dA=="),
        ("data-center", Credentials(personal_token=" p\n"), "Bearer p"),
    ],
)
def test_credentials_fit_the_kind(kind: Kind, credentials: Credentials, header: str) -> None:
    assert kind != "auto"
    request = next(credentials.choose(kind).sync_auth_flow(httpx.Request("GET", "http://twin")))
    assert request.headers["authorization"] == header


@pytest.mark.parametrize(
    ("kind", "credentials", "name"),
    [
        ("cloud", Credentials(personal_token=SECRET), "CONFLUENCE_API_TOKEN"),
        ("cloud", Credentials("", SECRET), "CONFLUENCE_USERNAME"),
        ("data-center", Credentials("", SECRET), "CONFLUENCE_PERSONAL_TOKEN"),
    ],
)
def test_missing_credentials_are_named(kind: Kind, credentials: Credentials, name: str) -> None:
    assert kind != "auto"
    with pytest.raises(SettingsError, match=name) as caught:
        credentials.choose(kind)
    assert SECRET not in str(caught.value) + repr(credentials)


@pytest.mark.parametrize("token", ["", " ", f"{SECRET} x", f"{SECRET}\nx", f"{SECRET}é", f"{SECRET}\0"])
def test_token_that_no_header_can_carry_is_refused_unseen(token: str) -> None:
    with pytest.raises(SettingsError, match="is no token") as caught:
        BearerAuth(token)
    assert SECRET not in str(caught.value)
