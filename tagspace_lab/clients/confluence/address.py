"""Where a Confluence is, of which kind, and what lets one in. No I/O here."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Literal

import httpx

from tagspace_lab.errors import SettingsError

__all__ = ["BearerAuth", "Credentials", "Kind", "find_kind", "find_site"]

Kind = Literal["auto", "cloud", "data-center"]
_Found = Literal["cloud", "data-center"]

_CLOUD_HOSTS = ("atlassian.net", "jira.com", "api.atlassian.com")


class BearerAuth(httpx.Auth):
    """A Data Center's personal access token."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {_sendable(token, 'CONFLUENCE_PERSONAL_TOKEN')}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = self._header
        yield request


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is known of an account: e-mail address and API token for Cloud, a personal token for Data Center."""

    username: str = ""
    api_token: str = field(default="", repr=False)
    personal_token: str = field(default="", repr=False)

    def choose(self, kind: _Found) -> httpx.Auth:
        """What a site of that kind takes; a Data Center takes user and password too. SettingsError if it is missing."""
        if kind == "data-center" and self.personal_token:
            return BearerAuth(self.personal_token)
        if self.username and self.api_token:
            return httpx.BasicAuth(self.username, self.api_token)
        if kind == "cloud":
            raise SettingsError(
                "Confluence Cloud wants an e-mail address and an API token: set CONFLUENCE_USERNAME and "
                "CONFLUENCE_API_TOKEN. A token is made at id.atlassian.com, under Security. "
                "For a Data Center set CONFLUENCE_KIND=data-center."
            )
        raise SettingsError(
            "Confluence Data Center wants a personal access token: set CONFLUENCE_PERSONAL_TOKEN. "
            "It is made in one's profile, under Personal Access Tokens. For Cloud set CONFLUENCE_KIND=cloud."
        )


def find_kind(base_url: str, kind: Kind = "auto", auth: object = None) -> _Found:
    """What `kind` says, or what address and credentials look like; SettingsError for no address."""
    url = _parse(base_url)
    if kind != "auto":
        return kind
    if any(url.host == host or url.host.endswith(f".{host}") for host in _CLOUD_HOSTS):
        return "cloud"
    if isinstance(auth, Credentials) and auth.personal_token and not auth.api_token:
        return "data-center"
    return "cloud" if "wiki" in url.path.split("/") else "data-center"


def find_site(base_url: str, kind: _Found) -> str:
    """The address that the interfaces hang under, without a slash at its end; SettingsError for no address."""
    url = _parse(base_url)
    steps = [step for step in url.path.split("/") if step]
    if kind == "cloud":
        steps = [*(steps[: steps.index("wiki")] if "wiki" in steps else steps), "wiki"]
    return str(url.copy_with(path="/" + "/".join(steps), query=None, fragment=None)).rstrip("/")


def _parse(base_url: str) -> httpx.URL:
    wanted = "CONFLUENCE_URL must be an address such as https://example.atlassian.net/wiki or https://wiki.example.org"
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        raise SettingsError(f"{wanted}, and cannot be read as one") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"{wanted}; http:// or https:// and a host are missing")
    if url.userinfo:
        raise SettingsError(f"{wanted}, without a user or password: those are settings of their own")
    return url


def _sendable(token: str, name: str) -> str:
    """The token without blanks around it; SettingsError, without it, where no header can carry it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{name} is no token: it is empty, or holds blanks or characters that no header can carry")
    return token
