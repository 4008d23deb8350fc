"""Confluence Cloud: pages are read by v2, with cursors; labels are written by v1, because v2 cannot.

Source: Atlassian's REST API documentation. Pages come 250 at a time with `body-format=storage`; without a status
archived pages come too; what is next stands in `_links.next` and in the Link header.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import httpx

from tagspace_lab.clients.confluence.answers import read_id, read_labels, read_name, read_page, results_of
from tagspace_lab.clients.confluence.labels import add_labels, read_labels_of
from tagspace_lab.clients.confluence.site import AbsentError, Answer, Params, Site, TooLargeError, word_error
from tagspace_lab.records import Page

__all__ = ["ConfluenceCloud"]

_ROWS, _FEW_ROWS = "250", "10"
"""Rows of a listing, and of one whose pages are too long for so many."""


class ConfluenceCloud:
    """One site. `base_url` ends before `/api/v2`, as in `https://example.atlassian.net/wiki`.

    `wall_clock` gives seconds since the epoch, for dates in headers. `archived` lists archived pages too;
    `with_labels` reads the labels of every listed page, a request each.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        auth: httpx.Auth,
        rng: random.Random,
        wall_clock: Callable[[], float],
        timeout_s: float = 60.0,
        give_up_s: float = 300.0,
        *,
        archived: bool = False,
        with_labels: bool = False,
    ) -> None:
        self._site = Site(http, base_url, auth, rng, wall_clock, timeout_s, give_up_s)
        self._statuses = ("current", "archived") if archived else ("current",)
        self._with_labels = with_labels

    async def who_am_i(self) -> str:
        """The account's display name. ConfluenceError if the token is wrong, which some sites answer with a 200.

        Empty where the site lets this account read and yet does not name it: a token may have few scopes.
        """
        try:
            answer = await self._site.get("/rest/api/user/current")
        except AbsentError:
            self._site.read(await self._site.get("/api/v2/spaces", {"limit": "1"}), results_of)
            return ""
        user = answer.document
        if user.get("type") == "anonymous" or not user.get("accountId"):
            raise word_error(
                answer.url,
                "takes this account for an anonymous one. Check the e-mail address and the API token: "
                "tokens expire, and belong to the address that made them.",
            )
        return read_name(user, "displayName", "publicName", "accountId")

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """The pages of a space, up to 250 at a time, each once, in the order of the listing."""
        path = f"/api/v2/spaces/{await self._space_id(space_key)}/pages"
        seen: set[str] = set()
        async for answer in self._follow(path, {"body-format": "storage", "status": self._statuses, "limit": _ROWS}):
            rows = self._site.read(answer, lambda document: self._read_rows(document, seen))
            yield await read_labels_of(rows, self.labels) if self._with_labels else rows

    async def page(self, page_id: str) -> Page:
        """One page with its body."""
        path = f"/api/v2/pages/{self._site.check_id(page_id)}"
        return self._site.read(await self._site.get(path, {"body-format": "storage"}), read_page)

    async def labels(self, page_id: str) -> tuple[str, ...]:
        """The labels that everybody sees on a page, as the server has them now."""
        path, names = f"/api/v2/pages/{self._site.check_id(page_id)}/labels", list[str]()
        async for answer in self._follow(path, {"limit": _ROWS}):
            names += self._site.read(answer, lambda document: read_labels(results_of(document)))
        return tuple(dict.fromkeys(names))

    async def add_labels(self, page_id: str, labels: Sequence[str]) -> tuple[str, ...]:
        """Add labels, and give all that the page has then."""
        return await add_labels(self._site, page_id, labels, self.labels)

    async def _space_id(self, space_key: str) -> str:
        answer = await self._site.get("/api/v2/spaces", {"keys": space_key})
        ids = self._site.read(
            answer,
            lambda document: [
                read_id(space["id"])
                for space in results_of(document)
                if str(space.get("key", space_key)).casefold() == space_key.casefold()
            ],
        )
        if not ids:
            raise word_error(
                answer.url,
                f"knows no space with the key {space_key!r}, or this account may not see it. "
                "The key stands in the space's address, behind /spaces/.",
            )
        return ids[0]

    async def _follow(self, path: str, params: Params) -> AsyncIterator[Answer]:
        """A listing, part by part. Only the query of what is named as next is believed, never its host or path."""
        query, asked = dict(params), list[Params]()
        while query not in asked:
            asked.append(dict(query))
            try:
                answer = await self._site.get(path, query)
            except TooLargeError:
                if query["limit"] == _FEW_ROWS:
                    raise
                query["limit"] = _FEW_ROWS
                continue
            yield answer
            following = self._site.read(answer, partial(_next_query, link=answer.next_link))
            if not following:
                return
            query |= following
        raise word_error(answer.url, "is named as the next listing again, which would never end. Try again later.")

    def _read_rows(self, document: dict[str, Any], seen: set[str]) -> list[Page]:
        rows = [row for row in results_of(document) if row.get("status", "current") in self._statuses]
        pages = [page for page in map(read_page, rows) if page.id not in seen]
        seen.update(page.id for page in pages)
        return pages


def _next_query(document: dict[str, Any], link: str) -> dict[str, list[str]]:
    """The query of what is named as next, or else of `link`; empty at the end. ValueError for what is no address."""
    link = (document.get("_links") or {}).get("next") or link
    if not isinstance(link, str):
        raise TypeError("the next listing is no address")
    try:
        params = httpx.URL(link).params
    except httpx.InvalidURL as error:
        raise ValueError("the next listing is no address") from error
    return {name: params.get_list(name) for name in params}
