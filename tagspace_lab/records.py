"""Frozen facts that cross rooms. No behaviour lives here beyond arithmetic on the facts themselves.

A :class:`Page` becomes a :class:`Text`, texts become a :class:`Batch`, a batch is sent as one or
more :class:`Attempt`s, each of which ends in a :class:`Reply`; every page ends as one :class:`Tagging`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

__all__ = [
    "Attempt",
    "Batch",
    "Cost",
    "Outcome",
    "Page",
    "Quota",
    "RateLimit",
    "Rates",
    "Reply",
    "Space",
    "Status",
    "Tagging",
    "Text",
]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a wiki as it was read; `labels` are those it already carries (in a snapshot: the gold labels)."""

    id: str
    title: str
    body: str
    version: int = 1
    labels: tuple[str, ...] = ()


class Space(Protocol):
    """A wiki space that can be read page by page, on any day of its edit history.

    `last_day` is 0 where no history is known. Asking for a later day gives the last one known.
    """

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def vocabulary(self) -> tuple[str, ...]: ...
    @property
    def last_day(self) -> int: ...
    @property
    def content_hash(self) -> str: ...
    def __len__(self) -> int: ...
    def page(self, index: int, day: int = 0) -> Page: ...
    def index_of(self, page_id: str) -> int: ...
    def gold(self, page_id: str) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """What the model is shown of a page: plain text, its estimated tokens, and the key its answer is cached under."""

    page_id: str
    title: str
    text: str
    tokens: int
    key: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that go into one prompt."""

    texts: tuple[Text, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def page_ids(self) -> tuple[str, ...]:
        return tuple(text.page_id for text in self.texts)

    @property
    def tokens(self) -> int:
        """Estimated tokens of the pages alone, without the prompt around them."""
        return sum(text.tokens for text in self.texts)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes out of the provider's quotas: estimated before it, measured after it."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit as a response states it. `None` where the response does not say.

    `limit` and `remaining` count requests or tokens; `reset_s` is the time until the quota is full
    again, in seconds from the response.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What one response says of the provider's limits, whatever its dialect.

    `quotas` is keyed by `requests`, `tokens`, `input_tokens` and `output_tokens`;
    `retry_after_s` is None where the response gives no (sensible) time. `cause` is the key of the quota that
    a refusal says is used up, `concurrency`, or empty. `is_oversized`: it says that no wait would help, because the
    request alone is more than the limit.
    """

    quotas: dict[str, Quota] = field(default_factory=dict)
    retry_after_s: float | None = None
    cause: str = ""
    is_oversized: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """A provider's limits as a run learned them; None where it learned nothing."""

    requests_per_min: float | None = None
    tokens_per_min: float | None = None


class Outcome(StrEnum):
    """How one attempt ended."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"  # 429: teaches the throttle, costs the page nothing
    OVERLOADED = "overloaded"  # 5xx and 529: the server's trouble
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"  # no connection, or it broke
    EXHAUSTED = "exhausted"  # a spend limit: waiting does not help
    REFUSED = "refused"  # any other 4xx: the request itself is wrong
    ADAPTED = "adapted"  # the server takes no such request: the next one leaves out what it does not take
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one attempt. `text` is the model's answer where `outcome` is OK, else empty.

    `message` words an error in one line, without any part of the request.
    """

    outcome: Outcome
    status: int = 0
    text: str = ""
    message: str = ""
    used: Cost = Cost()
    cached_tokens: int = 0
    rate_limit: RateLimit = RateLimit()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request to a provider. Times are seconds since the run began.

    At the start: `in_flight` counts this call too; `window` (calls) and `pace_per_s` (calls a second, inf where
    nothing paces) are what the throttle allowed, and `queued` calls waited behind this one. `expected` is what the
    prompt was reckoned to cost, `rate_limit` what the answer said of the provider's limits.
    """

    call: int
    number: int
    provider: str
    started_s: float
    ended_s: float
    outcome: Outcome
    status: int
    pages: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    waited_s: float
    in_flight: int
    window: float
    retry_after_s: float | None = None
    pace_per_s: float = math.inf
    queued: int = 0
    expected: Cost = Cost()
    rate_limit: RateLimit = RateLimit()


class Status(StrEnum):
    """How a page left the pipeline. Every page that enters leaves with exactly one of these."""

    TAGGED = "tagged"
    CACHED = "cached"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Tagging:
    """The end of one page: its labels, or the reason why it has none."""

    page_id: str
    status: Status
    labels: tuple[str, ...] = ()
    reason: str = ""
