"""Who may enter a simulated Confluence, how often, and how a refusal is worded: the same for every endpoint."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tagspace_lab.twin.meters import Bucket
from tagspace_lab.twin.schema import Confluence
from tagspace_lab.twin.stopwatch import Stopwatch
from tagspace_lab.twin.supply import Supply

__all__ = ["CLOUD", "DATA_CENTER", "Door", "Endpoint", "Level", "Manners"]

_NEAR = 0.2
"""X-RateLimit-NearLimit is true when less than this share is left."""
_WRONG_TOKEN = "wrong"  # noqa: S105 - the one that nobody has

Endpoint = Callable[[Request], Awaitable[Response]]


class Level(NamedTuple):
    """How much of the limit is left, in requests, and when it is whole again, in seconds since 1970."""

    limit: int
    remaining: int
    rate_per_s: float
    full_at_s: float


@dataclass(frozen=True, slots=True)
class Manners:
    """What differs between the doors of Cloud and of Data Center.

    `schemes` are the ways of authentication; `headers(level, is_refused)` gives what an answer says of the limit,
    but for a refusal's Retry-After.
    """

    schemes: tuple[str, ...]
    headers: Callable[[Level, bool], dict[str, str]]


def _cloud_headers(level: Level, is_refused: bool) -> dict[str, str]:
    """Refusals alone have them. The reset is ISO 8601 without seconds, as seen in the wild, rounded up."""
    if not is_refused:
        return {}
    return {
        "X-RateLimit-Limit": str(level.limit),
        "X-RateLimit-Remaining": str(level.remaining),
        "X-RateLimit-Reset": datetime.fromtimestamp(ceil(level.full_at_s / 60) * 60, UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "X-RateLimit-NearLimit": str(level.remaining < _NEAR * level.limit).lower(),
        "RateLimit-Reason": "confluence-burst-based",
    }


def _data_center_headers(level: Level, is_refused: bool) -> dict[str, str]:
    """An administrator's bucket: FillRate requests every so many seconds. While any is left, `retry-after` is 0."""
    interval_s = max(1, round(1 / level.rate_per_s))
    headers = {
        "X-RateLimit-Limit": str(level.limit),
        "X-RateLimit-Remaining": str(level.remaining),
        "X-RateLimit-Interval-Seconds": str(interval_s),
        "X-RateLimit-FillRate": str(max(1, round(level.rate_per_s * interval_s))),
    }
    return headers | ({"Retry-After": "0"} if level.remaining and not is_refused else {})


CLOUD = Manners(("basic",), _cloud_headers)
DATA_CENTER = Manners(("bearer", "basic"), _data_center_headers)


class Door:
    """Authentication, limits and latency. `requests` counts those with a valid token, `refusals` their 429s."""

    def __init__(self, confluence: Confluence, elapsed_s: Stopwatch) -> None:
        self._confluence, self._elapsed_s = confluence, elapsed_s
        self._bucket = _build_bucket(confluence)
        self.requests = self.refusals = 0

    def guard(self, endpoint: Endpoint, manners: Manners) -> Endpoint:
        """`endpoint` behind the door; `request.state.is_known` tells it who came in."""

        async def guarded(request: Request) -> Response:
            now_s = self._elapsed_s()
            request.state.is_known = _is_known(request, manners.schemes)
            if not request.state.is_known and not self._confluence.anonymous:
                return JSONResponse({"code": 401, "message": "Unauthorized; scope does not match"}, 401)
            status, headers = self._admit(manners, now_s)
            await asyncio.sleep(self._confluence.latency_s)
            if status != 200:
                return JSONResponse({"code": status, "message": "Rate limit exceeded"}, status, headers)
            response = await endpoint(request)
            response.headers.update(headers)
            return response

        return guarded

    def _admit(self, manners: Manners, now_s: float) -> tuple[int, dict[str, str]]:
        """Whether a request is let in now (200 or 429), and the headers that say so."""
        self.requests += 1
        if self._bucket is None:
            return 200, {}
        wait_s = self._bucket.wait_s(1.0, now_s)
        if wait_s <= 0:
            self._bucket.take(1.0, now_s)
            return 200, manners.headers(self._level(self._bucket, now_s), False)
        self.refusals += 1
        headers = manners.headers(self._level(self._bucket, now_s), True)
        return 429, headers | ({"Retry-After": str(ceil(wait_s))} if self._confluence.retry_after else {})

    def _level(self, bucket: Bucket, now_s: float) -> Level:
        full_at_s = self._elapsed_s.epoch_s + now_s + bucket.reset_s(now_s)
        remaining, rate_per_s = max(0.0, bucket.remaining(now_s)), self._confluence.requests_per_s or 0.0
        return Level(int(bucket.capacity(now_s)), int(remaining), rate_per_s, full_at_s)


def _build_bucket(confluence: Confluence) -> Bucket | None:
    if confluence.requests_per_s is None:
        return None
    return Bucket(confluence.requests_per_s, max(1.0, confluence.burst or confluence.requests_per_s), Supply())


def _is_known(request: Request, schemes: tuple[str, ...]) -> bool:
    """Whether a header holds a token, or a user and a token; any will do but the wrong one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in schemes:
        return False
    if scheme.lower() == "bearer":
        return value.strip() not in ("", _WRONG_TOKEN)
    try:
        user, _, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(user) and token not in ("", _WRONG_TOKEN)
