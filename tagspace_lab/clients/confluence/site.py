"""One Confluence site over HTTP: credentials, time-outs, retries, redirects, bounded answers, the words of errors.

Credentials go to the origin of the base address (scheme, host and port) and nowhere else.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tagspace_lab.clients.confluence.answers import MALFORMED, parse_object, read_id
from tagspace_lab.clients.confluence.valve import BUSY, ImpatientError, Valve
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.policy.retries import backoff_s

__all__ = ["AbsentError", "Answer", "Params", "Site", "TooLargeError", "UnsettledError", "word_error"]

MAX_ANSWER_BYTES = 64 * 2**20
"""The largest answer that is read. A listing of 250 long pages is a tenth of it."""
_ATTEMPTS = 6
_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_ONE_PAGE = re.compile(r"/(?:pages|content)/[^/]+(?:/labels?)?$")
_REL_NEXT = re.compile(r"""rel\s*=\s*["']?next["']?""", re.IGNORECASE)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""After these the server has seen nothing of the request."""

_NOT_LOGGED_IN = ("AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED")
"""What Atlassian's servers say in a header when they show a wrong token what everybody sees."""
_ENCODINGS = ("identity", "gzip", "deflate")
"""Encodings that grow a thousandfold at most; packed twice, 64 KiB become 64 GB before anybody can count them."""
_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "x-atlassian-token": "no-check",
}
"""The last one tells a Data Center that a write comes from no browser, which another site could make send it."""

Params = Mapping[str, str | Sequence[str]]
T = TypeVar("T")


class AbsentError(ConfluenceError):
    """What was asked for is not there, or not for this account."""


class TooLargeError(ConfluenceError):
    """The answer is larger than is read: ask for less."""


class UnsettledError(ConfluenceError):
    """A write may or may not have been taken: read before writing again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object that the server gave for `url`, and what the Link header names as next ("" if nothing)."""

    url: str
    document: dict[str, Any]
    next_link: str = ""


@dataclass(frozen=True, slots=True)
class _Raw:
    """How one request ended: an answer that nobody believes yet, or (status 0) the `problem` that it met.

    `body` is None where it is larger than is read; `is_unsent` says that the server saw nothing of the request.
    """

    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes | None = b""
    problem: str = ""
    is_unsent: bool = False


class Site:
    """Asks one site. `base_url` has no slash at its end; `wall_clock` gives seconds since the epoch, for headers.

    A call that fails for the server's sake is tried six times in all, one that is refused (429) as often as it takes,
    and both until `give_up_s` after the first failure. Every error is a ConfluenceError.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        auth: httpx.Auth,
        rng: random.Random,
        wall_clock: Callable[[], float],
        timeout_s: float,
        give_up_s: float,
    ) -> None:
        self._http, self._base_url, self._auth = http, base_url.rstrip("/"), auth
        self._rng, self._wall_clock = rng, wall_clock
        self._timeout_s, self._give_up_s = timeout_s, give_up_s
        self._valve = Valve(rng, give_up_s)

    async def get(self, path: str, params: Params | None = None) -> Answer:
        """Read `path`, which begins with a slash."""
        return await self._call("GET", f"{self._base_url}{path}", params, None)

    async def post(self, path: str, content: Any) -> Answer:
        """Write once. UnsettledError where nobody can know whether the server took it."""
        return await self._call("POST", f"{self._base_url}{path}", None, content)

    def read(
        self, answer: Answer, reader: Callable[[dict[str, Any]], T], error: type[ConfluenceError] = ConfluenceError
    ) -> T:
        """What `reader` makes of the answer; an `error` where it is not what was promised."""
        try:
            return reader(answer.document)
        except MALFORMED as malformed:
            problem = "answered without the `results` of this API. Is this the address of a Confluence?"
            raise word_error(answer.url, problem, error) from malformed

    async def pause(self, failures: int) -> None:
        """Wait before something is tried again, the longer the more often it has failed."""
        await asyncio.sleep(backoff_s(failures, self._rng))

    def check_id(self, page_id: str) -> str:
        """An id that can stand in an address."""
        try:
            return read_id(page_id)
        except ValueError as error:
            raise word_error(self._base_url, f"has no page {page_id[:80]!r}: {error}.") from None

    async def _call(self, method: str, url: str, params: Params | None, content: Any) -> Answer:
        loop, ticket = asyncio.get_running_loop(), self._valve.ticket()
        problem, sent, failures, deadline_s = "", 0, 0, math.inf
        while failures < _ATTEMPTS:
            try:
                async with self._valve.slot(ticket, deadline_s):
                    sent += 1
                    raw = await self._send(method, url, params, content)
            except ImpatientError:
                status = f" ({problem})" if problem else ""
                why = f"asks for a longer wait than {self._give_up_s:g} s{status}. Try again later."
                raise word_error(url, why) from None
            problem = raw.problem or f"HTTP {raw.status}"
            if 200 <= raw.status < 300:
                return _believe(method, url, raw)
            if 0 < raw.status < 500 and raw.status != 429:
                error = AbsentError if raw.status == 404 else ConfluenceError
                raise word_error(url, f"answered {problem}. {_advise(method, url, raw.status)}", error)
            if method == "POST" and raw.status != 429 and not raw.is_unsent:
                raise word_error(url, f"broke off a write ({problem}), which may have been taken.", UnsettledError)
            failures += raw.status != 429
            deadline_s = min(deadline_s, loop.time() + self._give_up_s)
            wait_s = 0.0 if raw.status in BUSY else backoff_s(failures, self._rng)  # the valve waits out the busy ones
            if loop.time() + wait_s > deadline_s:
                break
            if failures < _ATTEMPTS:
                await asyncio.sleep(wait_s)
        if raw.is_unsent:
            raise word_error(url, f"cannot be reached ({problem}). Check CONFLUENCE_URL, the network and the proxy.")
        raise word_error(url, f"failed {sent} times, last with {problem}. Try again later.")

    async def _send(self, method: str, url: str, params: Params | None, content: Any) -> _Raw:
        """One answer; redirects of a GET are followed where they stay on the site."""
        for _ in range(_MOST_REDIRECTS + 1):
            raw = await self._exchange(method, url, params, content)
            if method != "GET" or raw.status not in _REDIRECTS:
                return raw
            url, params = self._redirect(url, raw.headers.get("location", "")), None
        raise word_error(url, f"redirects more than {_MOST_REDIRECTS} times. Check the address.")

    async def _exchange(self, method: str, url: str, params: Params | None, content: Any) -> _Raw:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        request = self._http.stream(
            method,
            url,
            params=params,
            json=content,
            auth=self._auth,
            headers=_HEADERS,
            timeout=None,
            follow_redirects=False,
        )
        try:
            async with asyncio.timeout(self._timeout_s), request as response:
                raw = _Raw(response.status_code, response.headers, await _read_body(response))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, OSError) as error:
            is_unsent = isinstance(error, _NOT_SENT)
            why = f": {error}" if is_unsent and str(error) else ""  # of the network or the certificate, not of us
            return _Raw(problem=f"{type(error).__name__}{why}", is_unsent=is_unsent)
        self._valve.learn(raw.status, raw.headers, started_s=started_s, now_s=loop.time(), wall_s=self._wall_clock())
        return raw

    def _redirect(self, url: str, location: str) -> str:
        """Where a redirect leads, if that is on this site."""
        here = httpx.URL(self._base_url)
        try:
            there = httpx.URL(url).join(location) if location else None
        except httpx.InvalidURL:
            there = None
        if there is None:
            raise word_error(url, "redirects to no address. Check the address of the site.")
        if (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port):
            return str(there)
        where = repr(there.host) if there.host != here.host else f"{there.scheme} or another port of the same host"
        raise word_error(
            url,
            f"redirects to {where}, and the token is not sent there. If that is a page to log in, check address and "
            "token; if the site has moved there, give its address instead.",
        )


async def _read_body(response: httpx.Response) -> bytes | None:
    """The body, or None where it is larger than is read."""
    if response.headers.get("content-encoding", "identity").strip().lower() not in _ENCODINGS:
        raise httpx.DecodingError("not an encoding that was asked for")
    chunks, size = list[bytes](), 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _believe(method: str, url: str, raw: _Raw) -> Answer:
    is_read = method == "GET"
    error = ConfluenceError if is_read else UnsettledError
    if raw.headers.get("x-seraph-loginreason", "").strip().upper() in _NOT_LOGGED_IN:
        raise word_error(url, "answered, and did not accept the token. Check whether it is wrong or revoked.")
    if raw.body is None:
        problem = f"answered with more than {MAX_ANSWER_BYTES // 2**20} MiB, which is not read."
        raise word_error(url, problem, TooLargeError if is_read else error)
    try:
        document = parse_object(raw.body)
    except MALFORMED as malformed:
        problem = "did not answer with a JSON object. Is this the address of a Confluence, and not a page to log in?"
        raise word_error(url, problem, error) from malformed
    return Answer(url, document, _next_link(raw.headers))


def _next_link(headers: httpx.Headers) -> str:
    """The address that `Link: <...>; rel="next"` names."""
    for link in headers.get("link", "").split(","):
        address, _, rest = link.strip().partition(">")
        if address.startswith("<") and _REL_NEXT.search(rest):
            return str(address[1:])
    return ""


def word_error(url: str, problem: str, error: type[ConfluenceError] = ConfluenceError) -> ConfluenceError:
    """An error that names the address without what may be secret in it."""
    return error(f"{httpx.URL(url).copy_with(userinfo=b'', query=None, fragment=None)} {problem}")


def _advise(method: str, url: str, status: int) -> str:
    if status == 401:
        return "Check the user and the token: it may be wrong, expired or revoked."
    if status == 403:
        return (
            "Check what this account may see and change." if method == "GET" else "This account may not edit the page."
        )
    if 300 <= status < 400:
        return "Check the address: a write is not sent on to where it redirects."
    if status == 404 and url.endswith("/user/current"):
        return (
            "Check CONFLUENCE_URL: a Data Center's has its context path, if there is one, as in "
            "https://example.org/confluence; for a Cloud site under a name of its own set CONFLUENCE_KIND=cloud."
        )
    if status == 404 and url.endswith("/api/v2/spaces"):
        return "Check CONFLUENCE_URL; for a Data Center under /wiki set CONFLUENCE_KIND=data-center."
    if status == 404 and _ONE_PAGE.search(url):
        return "The page was deleted or moved since it was listed, or this account may not see it."
    if method == "GET":
        return "Check the address and the space key, and what this account may see."
    return "The labels were refused, and none is written: a name may hold a character that Confluence does not allow."
