"""Confluence Cloud over HTTP: the pages of a space, listed in bulk with their bodies.

Source: Atlassian's REST API v2 documentation: pages come 250 at a time with `body-format=storage`; the next
page is named by `_links.next`; a 429 carries Retry-After, or nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from tagspace_lab.errors import ConfluenceError
from tagspace_lab.policy.headers import read_rate_limit
from tagspace_lab.policy.retries import backoff_s
from tagspace_lab.records import Page

__all__ = ["ConfluenceCloud"]

_PAGES_A_LISTING = 250
_ATTEMPTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConfluenceCloud:
    """Reads one site. `base_url` ends before `/api/v2`, as in `https://example.atlassian.net/wiki`.

    `wall_clock` gives seconds since the epoch, for dates in headers.
    Calls are made one after the other, which is this client's own throttle; 429 and 5xx are waited out
    up to five times, and for `give_up_s` in all at most.
    """

    http: httpx.AsyncClient
    base_url: str
    auth: httpx.Auth
    rng: random.Random
    wall_clock: Callable[[], float]
    timeout_s: float = 60.0
    give_up_s: float = 300.0

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """The current pages of a space, up to 250 at a time, in the order of the listing. Raises ConfluenceError."""
        space_id = await self._space_id(space_key)
        url = f"{self.base_url}/api/v2/spaces/{space_id}/pages"
        params: dict[str, str] | None = {
            "body-format": "storage",
            "status": "current",
            "limit": str(_PAGES_A_LISTING),
        }
        seen: set[str] = set()
        while url:
            if url in seen:
                raise _error(url, "is named as the next listing again, which would never end. Try again later.")
            seen.add(url)
            listing = await self._get(url, params)
            yield _read_results(listing, url, _page)
            url, params = self._next(listing, url), None

    async def _space_id(self, space_key: str) -> str:
        url = f"{self.base_url}/api/v2/spaces"
        ids = _read_results(await self._get(url, {"keys": space_key}), url, lambda space: str(space["id"]))
        if not ids:
            raise _error(
                url,
                f"knows no space with the key {space_key!r}, or this account may not see it. "
                "The key stands in the space's address, behind /spaces/.",
            )
        return ids[0]

    def _next(self, listing: dict[str, Any], url: str) -> str:
        """The address of the listing after that of `url`, on this site whatever the answer says; empty at the end."""
        site = httpx.URL(self.base_url)
        try:
            link = (listing.get("_links") or {}).get("next")
            following = str(site.copy_with(raw_path=site.join(link).raw_path)) if link else ""
        except (AttributeError, TypeError, httpx.InvalidURL) as error:
            raise _error(url, "names a next listing that is no address.") from error
        return following

    async def _get(self, url: str, params: dict[str, str] | None) -> dict[str, Any]:
        problem, waited_s = "", 0.0
        for attempt in range(1, _ATTEMPTS + 1):
            wait_s = backoff_s(attempt, self.rng)
            try:
                async with asyncio.timeout(self.timeout_s):
                    response = await self.http.get(
                        url, params=params, auth=self.auth, timeout=None, follow_redirects=False
                    )
            except (httpx.HTTPError, TimeoutError, OSError) as error:
                problem = type(error).__name__
            else:
                if response.is_success:
                    return _object(response, url)
                problem = f"HTTP {response.status_code}"
                if response.status_code != 429 and response.status_code < 500:
                    raise _error(url, f"answered {problem}. {_advice(response.status_code)}")
                asked_s = read_rate_limit(response.headers, wall_s=self.wall_clock()).retry_after_s
                wait_s = wait_s if asked_s is None else asked_s * (1 + 0.1 * self.rng.random())
            waited_s += wait_s
            if attempt == _ATTEMPTS or waited_s > self.give_up_s:
                break
            await asyncio.sleep(wait_s)
        raise _error(url, f"failed {attempt} times, last with {problem}. Try again later.")


def _object(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        document = response.json()
    except (ValueError, RecursionError) as error:
        raise _error(url, "did not answer with JSON. Is this the address of a Confluence?") from error
    if not isinstance(document, dict):
        raise _error(url, f"answered with a JSON {type(document).__name__} where an object was expected.")
    return document


def _read_results(listing: dict[str, Any], url: str, read: Callable[[dict[str, Any]], T]) -> list[T]:
    try:
        return [read(result) for result in listing["results"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _error(url, "answered without the `results` of this API. Is this the address of a Confluence?") from error


def _error(url: str, problem: str) -> ConfluenceError:
    """Names the address without what may be secret in it."""
    return ConfluenceError(f"{httpx.URL(url).copy_with(userinfo=b'', query=None)} {problem}")


def _page(result: dict[str, Any]) -> Page:
    body = ((result.get("body") or {}).get("storage") or {}).get("value") or ""
    version = (result.get("version") or {}).get("number") or 1
    return Page(str(result["id"]), str(result.get("title") or ""), str(body), int(version))


def _advice(status: int) -> str:
    if status in (401, 403):
        return "Check the e-mail address and the API token, and what this account may see."
    return "Check the address and the space key."
