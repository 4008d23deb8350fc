"""A live Confluence: the pages of a space, and labels that are only ever added.

:func:`connect` gives the client that fits the site. Cloud and Data Center differ in their addresses, their
paging and their credentials, and not in what a caller sees. Everything that is the same stands in
:mod:`~tagspace_lab.clients.confluence.site`, what is waited for in :mod:`~tagspace_lab.clients.confluence.valve`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import httpx

from tagspace_lab.clients.confluence.address import Credentials, Kind, find_kind, find_site
from tagspace_lab.clients.confluence.cloud import ConfluenceCloud
from tagspace_lab.clients.confluence.data_center import ConfluenceDataCenter
from tagspace_lab.records import Page

__all__ = [
    "Confluence",
    "ConfluenceCloud",
    "ConfluenceDataCenter",
    "Credentials",
    "Kind",
    "connect",
    "find_kind",
    "find_site",
]


class Confluence(Protocol):
    """One site, seen by one account. Every method raises ConfluenceError, never with a secret in it."""

    async def who_am_i(self) -> str:
        """The account's display name; ask first, because a wrong token can look like an empty space."""
        ...

    def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """The pages of a space, many at a time, each page once."""
        ...

    async def page(self, page_id: str) -> Page:
        """One page with its body."""
        ...

    async def labels(self, page_id: str) -> tuple[str, ...]:
        """The labels that everybody sees on a page (prefix `global`), as the server has them now."""
        ...

    async def add_labels(self, page_id: str, labels: Sequence[str]) -> tuple[str, ...]:
        """Add labels, and leave all others alone; gives all labels that the server then states.

        A request that may have been taken (a time-out, a broken connection) is settled by reading, before what
        is still missing is sent again.
        """
        ...


def connect(
    http: httpx.AsyncClient,
    base_url: str,
    *,
    auth: httpx.Auth | Credentials,
    kind: Kind = "auto",
    rng: random.Random,
    wall_clock: Callable[[], float],
    timeout_s: float = 60.0,
    give_up_s: float = 300.0,
    archived: bool = False,
    with_labels: bool = False,
) -> ConfluenceCloud | ConfluenceDataCenter:
    """The client for the site at `base_url`; SettingsError for an address or credentials that cannot be used.

    `kind` "auto" takes for Cloud what is served from `atlassian.net`, `jira.com` or `api.atlassian.com`, and every
    address with a path segment `wiki`, unless a personal token is all that is known; all else is Data Center. A Cloud
    address is cut behind `/wiki`, or gets one: `https://example.atlassian.net` and a page's own address do as well. A
    Data Center's context path is kept.

    `archived` lists archived pages too. `with_labels` fills the labels of listed pages, which costs
    a request a page on Cloud and nothing on Data Center (where listings show them).
    """
    found = find_kind(base_url, kind, auth)
    client = ConfluenceCloud if found == "cloud" else ConfluenceDataCenter
    return client(
        http,
        find_site(base_url, found),
        auth.choose(found) if isinstance(auth, Credentials) else auth,
        rng,
        wall_clock,
        timeout_s=timeout_s,
        give_up_s=give_up_s,
        archived=archived,
        with_labels=with_labels,
    )
