"""Keeps secrets out of what is written: finds them among variables, and blots them out of any text."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

__all__ = ["BLOT", "find_secrets", "redactor"]

BLOT = "***"

_SECRET_NAME = re.compile(r"KEY|TOKEN(?!S)|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""TOKENS are those of a text, and are counted."""
_WEBHOOK = "TAG_SPACE_ALERT_URL"
"""Whoever knows a webhook's path may post to it."""
_ODD_BYTES = "surrogateescape"
"""How Python has what is no UTF-8 in an environment."""
_SHORTEST = 6
"""A shorter value would be found in half of all words."""


def find_secrets(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values among `variables` (an environment, a .env file) that nobody may read, in each form that travels.

    By name (KEY, TOKEN, SECRET, PASSWORD and the like), passwords inside addresses, the path of the alert's webhook.
    """
    found = {value.strip() for name, value in variables.items() if _SECRET_NAME.search(name)}
    found |= {password for value in variables.values() if (password := _password(value))}
    found |= set(_parts(variables.get(_WEBHOOK, "")))
    user = variables.get("CONFLUENCE_USERNAME", "").strip()
    basic = {b64encode(f"{user}:{secret}".encode(errors=_ODD_BYTES)).decode() for secret in found if user}
    forms = found | {quote(secret, safe="", errors=_ODD_BYTES) for secret in found} | basic
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True))


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that blots `secrets` out of a text, the longest first."""
    forms = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
    if not forms:
        return str
    pattern = re.compile("|".join(map(re.escape, forms)))
    return lambda text: pattern.sub(BLOT, text)


def _password(value: str) -> str:
    if "://" not in value:
        return ""
    try:
        return unquote(urlsplit(value).password or "")
    except ValueError:
        return ""


def _parts(address: str) -> Iterable[str]:
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return ()
    return (part for part in (address.strip(), parts.path.strip("/"), parts.query) if part)
