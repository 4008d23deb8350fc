"""Where a provider's endpoint is, from the base URL that people set for the vendor's own SDK."""

from __future__ import annotations

import re
from functools import lru_cache

import httpx

from tagspace_lab.errors import SettingsError

__all__ = ["find_endpoint", "is_azure"]

_VERSION = re.compile(r"/v\d[a-z0-9]*$")
_AZURE = (".azure.com", ".azure.us", ".azure.cn", ".azure-api.net")


@lru_cache(maxsize=64)
def find_endpoint(base_url: str, path: str, version: str = "") -> httpx.URL:
    """The address of `path` (`/chat/completions`) under `base_url`, whose query (`api-version`) is kept.

    A base URL may end in a slash, or be the whole endpoint already. `version` (`/v1`) is put between where the
    base URL does not end in a version. Raises SettingsError for what is no http(s) address, without showing it: it
    may hold a secret.
    """
    try:
        url = httpx.URL(base_url.strip())
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(
            "The base URL of a model's provider cannot be read. Wanted: an address such as https://api.example.com/v1."
        )
    base = url.path.rstrip("/")
    if not base.endswith(path):
        base += path if _VERSION.search(base) else version + path
    return url.copy_with(path=base, fragment=None)


def is_azure(url: httpx.URL) -> bool:
    """Whether the host is one of Azure's, which take their keys in a header of their own."""
    return url.host.endswith(_AZURE)
