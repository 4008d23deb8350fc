"""The simulated Confluence Cloud: v2 reads, v1 labels, and its own limits, over any space.

Pages are made one by one when they are asked for. The space's gold labels are never shown: they are
what the model is to find. Labels that are written are kept in memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from typing import Any
from urllib.parse import urlencode

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tagspace_lab.records import Page, Space
from tagspace_lab.twin.dialects import rfc3339
from tagspace_lab.twin.labels import LabelShelf, split_labels
from tagspace_lab.twin.meters import Bucket
from tagspace_lab.twin.schema import Confluence
from tagspace_lab.twin.stopwatch import Stopwatch
from tagspace_lab.twin.supply import Supply

__all__ = ["SPACE_ID", "ConfluenceTwin"]

SPACE_ID = "65537"
_DEFAULT_LIMIT = 25
_LARGEST_LIMIT = 250
_NEAR = 0.2
"""X-RateLimit-NearLimit is true when less than this share is left."""

_Endpoint = Callable[[Request], Awaitable[Response]]


class ConfluenceTwin:
    """One wiki with one space, seen on one day of its history.

    `requests` and `refusals` count what came in with a valid Authorization header, and the 429s among it.
    """

    def __init__(
        self,
        confluence: Confluence,
        space: Space,
        *,
        elapsed_s: Stopwatch,
        day: int = 0,
    ) -> None:
        self._confluence, self._space, self._day = confluence, space, day
        self._elapsed_s = elapsed_s
        self._bucket = _build_bucket(confluence)
        self.labels = LabelShelf()
        self.requests = self.refusals = 0

    def turn_to_day(self, day: int) -> None:
        """Show the space as it is on that day of its history from now on."""
        self._day = day

    def routes(self, prefix: str = "/wiki") -> list[Route]:
        """The endpoints under `prefix`."""
        label = f"{prefix}/rest/api/content/{{page_id}}/label"
        table: list[tuple[str, str, _Endpoint]] = [
            ("GET", f"{prefix}/api/v2/spaces", self._list_spaces),
            ("GET", f"{prefix}/api/v2/spaces/{{space_id}}/pages", self._list_pages),
            ("GET", f"{prefix}/api/v2/pages/{{page_id}}", self._read_page),
            ("GET", f"{prefix}/api/v2/pages/{{page_id}}/labels", self._list_labels),
            ("GET", f"{prefix}/rest/api/user/current", self._read_user),
            ("GET", label, self._read_labels),
            ("POST", label, self._add_labels),
            ("DELETE", label, self._delete_label),
            ("DELETE", f"{label}/{{name}}", self._delete_label),
        ]
        return [Route(path, self._guard(endpoint), methods=[method]) for method, path, endpoint in table]

    def _guard(self, endpoint: _Endpoint) -> _Endpoint:
        """Authentication, limits and latency, the same for every endpoint."""

        async def guarded(request: Request) -> Response:
            now_s = self._elapsed_s()
            if not _is_authenticated(request):
                return JSONResponse({"code": 401, "message": "Unauthorized; scope does not match"}, 401)
            refusal = self._admit(now_s)
            await asyncio.sleep(self._confluence.latency_s)
            return refusal or await endpoint(request)

        return guarded

    def _admit(self, now_s: float) -> Response | None:
        """The 429 that a request gets now, if it gets one."""
        self.requests += 1
        if self._bucket is None:
            return None
        wait_s = self._bucket.wait_s(1.0, now_s)
        if wait_s <= 0:
            self._bucket.take(1.0, now_s)
            return None
        self.refusals += 1
        headers = _limit_headers(self._bucket, now_s, self._elapsed_s.epoch_s)
        if self._confluence.retry_after:
            headers["Retry-After"] = str(ceil(wait_s))
        return JSONResponse({"code": 429, "message": "Rate limit exceeded"}, 429, headers)

    async def _list_spaces(self, request: Request) -> Response:
        keys = request.query_params.get("keys")
        is_asked = keys is None or self._space.key in keys.split(",")
        space = {
            "id": SPACE_ID,
            "key": self._space.key,
            "name": self._space.name,
            "type": "global",
            "status": "current",
            "authorId": "twin",
            "createdAt": self._created_at,
            "_links": {"webui": f"/spaces/{self._space.key}"},
        }
        return JSONResponse({"results": [space] if is_asked else [], "_links": {"base": _base(request)}})

    async def _list_pages(self, request: Request) -> Response:
        query = request.query_params
        if request.path_params["space_id"] != SPACE_ID:
            return _missing("space", request.path_params["space_id"])
        try:
            limit, start = self._read_limit(query.get("limit")), _read_cursor(query.get("cursor"))
            form = _read_form(query.get("body-format"))
        except ValueError as error:
            return _complain(400, "INVALID_REQUEST_PARAMETER", str(error))
        end = min(start + limit, len(self._space))
        results = [self._render(self._space.page(index, self._day), form) for index in range(start, end)]
        links, headers = {"base": _base(request)}, {}
        if end < len(self._space):
            next_query = {**query, "limit": str(limit), "cursor": _write_cursor(end)}
            links["next"] = f"{request.url.path}?{urlencode(next_query)}"
            headers["Link"] = f'<{links["next"]}>; rel="next", <{links["base"]}>; rel="base"'
        # A listing is megabytes: this writer takes an eighth of json's time.
        return Response(to_json({"results": results, "_links": links}), 200, headers, "application/json")

    async def _read_page(self, request: Request) -> Response:
        page_id = request.path_params["page_id"]
        index = self._find(page_id)
        if index is None:
            return _missing("page", page_id)
        try:
            form = _read_form(request.query_params.get("body-format"))
        except ValueError as error:
            return _complain(400, "INVALID_REQUEST_PARAMETER", str(error))
        return JSONResponse(self._render(self._space.page(index, self._day), form))

    async def _list_labels(self, request: Request) -> Response:
        page_id = request.path_params["page_id"]
        if self._find(page_id) is None:
            return _missing("page", page_id)
        results = [{name: label[name] for name in ("id", "name", "prefix")} for label in self.labels.read(page_id)]
        return JSONResponse({"results": results, "_links": {"base": _base(request)}})

    async def _read_user(self, request: Request) -> Response:
        user = {"type": "known", "accountId": "twin", "accountType": "atlassian", "displayName": "Twin"}
        return JSONResponse(user)

    async def _read_labels(self, request: Request) -> Response:
        page_id = request.path_params["page_id"]
        return self._label_set(page_id) if self._find(page_id) is not None else _missing_content(page_id)

    async def _add_labels(self, request: Request) -> Response:
        page_id = request.path_params["page_id"]
        if self._find(page_id) is None:
            return _missing_content(page_id)
        try:
            wanted = split_labels(await request.json())
        except ValueError as error:
            return _complain_v1(400, f"com.atlassian.confluence.api.service.exceptions.BadRequestException: {error}")
        self.labels.add(page_id, wanted)
        return self._label_set(page_id)

    async def _delete_label(self, request: Request) -> Response:
        page_id = request.path_params["page_id"]
        name = request.path_params.get("name") or request.query_params.get("name", "")
        if self._find(page_id) is None:
            return _missing_content(page_id)
        self.labels.remove(page_id, name)
        return Response(status_code=204)

    def _label_set(self, page_id: str) -> Response:
        labels = self.labels.read(page_id)
        body = {"results": labels, "start": 0, "limit": 200, "size": len(labels), "_links": {}}
        return JSONResponse(body)

    def _find(self, page_id: str) -> int | None:
        try:
            return self._space.index_of(page_id)
        except KeyError:
            return None

    def _read_limit(self, text: str | None) -> int:
        most = self._confluence.page_limit
        if text is None:
            return min(_DEFAULT_LIMIT, most)
        if not text.isdecimal() or not 1 <= int(text) <= _LARGEST_LIMIT:
            raise ValueError(f"limit must be a number from 1 to {_LARGEST_LIMIT}, and was {text!r}")
        return min(int(text), most)

    def _render(self, page: Page, form: str | None) -> dict[str, Any]:
        body = {form: {"representation": form, "value": page.body}} if form else {}
        return {
            "id": page.id,
            "status": "current",
            "title": page.title,
            "spaceId": SPACE_ID,
            "parentType": "page",
            "authorId": "twin",
            "createdAt": self._created_at,
            "version": {
                "createdAt": self._created_at,
                "message": "",
                "number": page.version,
                "minorEdit": False,
                "authorId": "twin",
            },
            "body": body,
            "_links": {"webui": f"/spaces/{self._space.key}/pages/{page.id}"},
        }

    @cached_property
    def _created_at(self) -> str:
        return rfc3339(self._elapsed_s.epoch_s)


def _build_bucket(confluence: Confluence) -> Bucket | None:
    if confluence.requests_per_s is None:
        return None
    return Bucket(confluence.requests_per_s, max(1.0, confluence.burst or confluence.requests_per_s), Supply())


def _limit_headers(bucket: Bucket, now_s: float, epoch_s: float) -> dict[str, str]:
    """The reset is ISO 8601 without seconds, as seen in the wild, rounded up."""
    limit, remaining = bucket.capacity(now_s), max(0.0, bucket.remaining(now_s))
    reset = datetime.fromtimestamp(ceil((epoch_s + now_s + bucket.reset_s(now_s)) / 60) * 60, UTC)
    return {
        "X-RateLimit-Limit": str(int(limit)),
        "X-RateLimit-Remaining": str(int(remaining)),
        "X-RateLimit-Reset": reset.strftime("%Y-%m-%dT%H:%MZ"),
        "X-RateLimit-NearLimit": str(remaining < _NEAR * limit).lower(),
        "RateLimit-Reason": "confluence-burst-based",
    }


def _is_authenticated(request: Request) -> bool:
    """Whether there is a Basic header that holds a user and a token; any will do."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        user, _, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme.lower() == "basic" and bool(user) and bool(token)


def _read_cursor(text: str | None) -> int:
    if text is None:
        return 0
    try:
        kind, _, start = base64.urlsafe_b64decode(text).decode().partition(":")
        if kind == "start" and start.isdecimal():
            return int(start)
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise ValueError(f"the cursor {text!r} is not one that this server gave")


def _write_cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"start:{start}".encode()).decode()


def _read_form(text: str | None) -> str | None:
    if text not in (None, "storage"):
        raise ValueError(f"body-format must be storage, and was {text!r}")
    return text


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}/wiki"


def _missing(what: str, identity: str) -> Response:
    return _complain(404, "NOT_FOUND", f"there is no {what} with the id {identity}")


def _complain(status: int, code: str, detail: str) -> Response:
    title = code.replace("_", " ").capitalize()
    return JSONResponse({"errors": [{"status": status, "code": code, "title": title, "detail": detail}]}, status)


def _missing_content(page_id: str) -> Response:
    reason = f"No content found with id: ContentId{{id={page_id}}}"
    return _complain_v1(404, f"com.atlassian.confluence.api.service.exceptions.api.NotFoundException: {reason}")


def _complain_v1(status: int, message: str) -> Response:
    data = {"authorized": True, "valid": True, "errors": [], "successful": True}
    return JSONResponse({"statusCode": status, "data": data, "message": message}, status)
