"""What a server turned out not to take, remembered so that each thing is found out once.

"OpenAI-compatible" servers differ in what they accept: JSON schemas, `max_completion_tokens`, a temperature. A
request starts with all of it; a complaint that names a part strikes that part from the requests that follow.
The words of complaints are read for this alone and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["COMPLAINTS", "Concessions", "Part"]

COMPLAINTS = (400, 404, 422)
"""The statuses with which servers say that they do not take a part of a request."""

_UNKNOWN = re.compile(
    r"(?:unknown|unsupported|unrecogni[sz]ed|unexpected|extra)[^.]{0,40}(?:parameter|argument|field|input|propert)"
    r"|extra inputs are not permitted"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request that some servers do not take; `words` finds it in a complaint in lower case."""

    name: str
    words: re.Pattern[str]


class Concessions:
    """What one server's requests go without. Safe for calls at once: each compares with what it left out itself."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.left_out: frozenset[str] = frozenset()

    def learn(self, status: int, complaint: str, left_out: frozenset[str]) -> str:
        """The part that is left out from now on, after a complaint about a request without `left_out`; or ""."""
        open_ = [part for part in self._parts if part.name not in left_out]
        found = next((part.name for part in open_ if part.words.search(complaint)), "")
        if not found and open_ and status != 404 and _UNKNOWN.search(complaint) and not self._names_any(complaint):
            found = open_[0].name  # something is too much, and the server does not say what
        if found:
            self.left_out |= {found}
        return found

    def _names_any(self, complaint: str) -> bool:
        return any(part.words.search(complaint) for part in self._parts)
