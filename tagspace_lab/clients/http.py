"""The HTTP client through which every outside thing is reached."""

from __future__ import annotations

import logging
from functools import lru_cache
from http.cookiejar import CookieJar
from typing import Any

import httpx

__all__ = ["open_http", "parse_url"]


class _NoCookies(CookieJar):
    """APIs are called with keys: a cookie that a gateway sets is not kept, and not parsed."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep none."""


def open_http(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client without cookies and redirects. Build it inside the event loop that uses it, and close it there.

    Over sockets it keeps connections open, and speaks HTTP/2 with servers that offer it; with a `transport`, an app in
    this process, it is cheap to build.
    """
    logging.getLogger("hpack").setLevel(logging.WARNING)  # at DEBUG it shows every header, and so the keys
    return httpx.AsyncClient(transport=transport, http2=transport is None, cookies=_NoCookies(), follow_redirects=False)


@lru_cache(maxsize=64)
def parse_url(url: str) -> httpx.URL:
    """The address of an endpoint, parsed once."""
    return httpx.URL(url)
