"""Confluence Data Center (and Server): v1 for everything, `start` and `limit`, a personal access token.

Source: Atlassian's REST API documentation. The server may answer with fewer rows than were asked for (50 where
bodies are expanded), so a listing goes on by the rows that came. Where anonymous access is on, a wrong token gets
a 200 and sees what everybody sees.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from tagspace_lab.clients.confluence.answers import read_labels, read_name, read_page, results_of
from tagspace_lab.clients.confluence.labels import add_labels, read_labels_of
from tagspace_lab.clients.confluence.site import Answer, Params, Site, TooLargeError, word_error
from tagspace_lab.records import Page

__all__ = ["ConfluenceDataCenter"]

_PAGE_ROWS, _LABEL_ROWS = 100, 200
_FEW_ROWS = 10
"""Rows of a listing whose pages are too long for more."""
_EXPAND = "body.storage,version,metadata.labels"


class ConfluenceDataCenter:
    """One site. `base_url` ends before `/rest/api`, and may have a context path (`https://example.org/confluence`).

    `wall_clock` gives seconds since the epoch, for dates in headers. `archived` lists archived pages too. Listings show
    labels; `with_labels` reads those of a page that has more of them than a listing shows.
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
        """The account's display name. ConfluenceError if the token is wrong, which some sites answer with a 200."""
        answer = await self._site.get("/rest/api/user/current")
        user = answer.document
        if user.get("type") == "anonymous" or not (user.get("username") or user.get("userKey")):
            raise word_error(
                answer.url,
                "takes this account for an anonymous one. Check the personal access token: "
                "it may be wrong, expired or revoked, and stands in one's profile.",
            )
        return read_name(user, "displayName", "username", "userKey")

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """The pages of a space, as many at a time as the server likes, each once, in the order of the listing."""
        params = {"spaceKey": space_key, "type": "page", "status": self._statuses, "expand": _EXPAND}
        seen: set[str] = set()
        async for answer in self._follow("/rest/api/content", params, _PAGE_ROWS):
            rows = self._site.read(answer, self._read_rows)
            if not rows and not seen:  # does an unknown space look like an empty one?
                await self._site.get(f"/rest/api/space/{quote(space_key, safe='~')}")
            pages = [page for page, _ in rows if page.id not in seen]
            seen.update(page.id for page in pages)
            partly = {page.id for page, is_whole in rows if not is_whole} if self._with_labels else set()
            yield await read_labels_of(pages, self.labels, partly) if partly else pages

    async def page(self, page_id: str) -> Page:
        """One page with its body."""
        answer = await self._site.get(f"/rest/api/content/{self._site.check_id(page_id)}", {"expand": _EXPAND})
        return self._site.read(answer, read_page)

    async def labels(self, page_id: str) -> tuple[str, ...]:
        """The labels that everybody sees on a page, as the server has them now."""
        path, names = f"/rest/api/content/{self._site.check_id(page_id)}/label", list[str]()
        async for answer in self._follow(path, {}, _LABEL_ROWS):
            names += self._site.read(answer, lambda document: read_labels(results_of(document)))
        return tuple(dict.fromkeys(names))

    async def add_labels(self, page_id: str, labels: Sequence[str]) -> tuple[str, ...]:
        """Add labels, and give all that the page has then."""
        return await add_labels(self._site, page_id, labels, self.labels)

    async def _follow(self, path: str, params: Params, rows: int) -> AsyncIterator[Answer]:
        """A listing, part by part, each beginning where the rows of the one before end."""
        start: int | None = 0
        before: list[dict[str, Any]] = []
        while start is not None:
            try:
                answer = await self._site.get(path, {**params, "start": str(start), "limit": str(rows)})
            except TooLargeError:
                if rows == _FEW_ROWS:
                    raise
                rows = _FEW_ROWS
                continue
            results = self._site.read(answer, results_of)
            if results and results == before:
                raise word_error(answer.url, "gives the same rows again, which would never end. Try again later.")
            yield answer
            start, before = _next_start(answer.document, start, len(results), rows), results

    def _read_rows(self, document: dict[str, Any]) -> list[tuple[Page, bool]]:
        """The pages of a listing, and of each whether its labels are all there."""
        rows = [row for row in results_of(document) if row.get("status", "current") in self._statuses]
        return [(read_page(row), _has_all_labels(row)) for row in rows]


def _next_start(document: dict[str, Any], start: int, size: int, asked: int) -> int | None:
    """Where the next part begins; None at the end. Not every server names what is next, or says how many it gives."""
    links, limit = document.get("_links"), document.get("limit")
    is_named = isinstance(links, dict) and bool(links.get("next"))
    full = limit if isinstance(limit, int) and 0 < limit < asked else asked
    return start + size if size and (is_named or size >= full) else None


def _has_all_labels(row: dict[str, Any]) -> bool:
    """Whether a page was shown with its labels, down to the last one."""
    labels = (row.get("metadata") or {}).get("labels")
    return isinstance(labels, dict) and not (labels.get("_links") or {}).get("next")
