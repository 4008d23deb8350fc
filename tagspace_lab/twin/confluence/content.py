"""The v1 interface: `/rest/api/content` with `start` and `limit`, labels, the user. Data Center has no other.

Source: Atlassian's REST API documentation of Data Center. A listing with bodies gives 50 rows at most, whatever
was asked for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tagspace_lab.records import Page
from tagspace_lab.twin.confluence.door import Endpoint
from tagspace_lab.twin.confluence.wiki import Wiki
from tagspace_lab.twin.labels import split_labels

__all__ = ["Content"]

_DEFAULT_ROWS = 25
_MOST_ROWS = 200
_MOST_ROWS_WITH_BODIES = 50


class Content:
    """The endpoints of a wiki under `prefix`. `page_limit`: most rows of a listing, beside the interface's own caps.

    `account` names the key of the user's identity: `accountId` on Cloud, `userKey` on Data Center.
    """

    def __init__(self, wiki: Wiki, prefix: str, page_limit: int, *, account: str) -> None:
        self._wiki, self._prefix, self._page_limit, self._account = wiki, prefix, page_limit, account

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """(method, path, endpoint)."""
        root = f"{self._prefix}/rest/api"
        label = f"{root}/content/{{page_id}}/label"
        return [
            ("GET", f"{root}/user/current", self._read_user),
            ("GET", f"{root}/space/{{key}}", self._read_space),
            ("GET", f"{root}/content", self._list_pages),
            ("GET", f"{root}/content/{{page_id}}", self._read_page),
            ("GET", label, self._read_labels),
            ("POST", label, self._add_labels),
            ("DELETE", label, self._delete_label),
            ("DELETE", f"{label}/{{name}}", self._delete_label),
        ]

    async def _read_user(self, request: Request) -> Response:
        if not request.state.is_known:
            return JSONResponse({"type": "anonymous", "displayName": "Anonymous"})
        return JSONResponse({"type": "known", "username": "twin", "displayName": "Twin", self._account: "twin"})

    async def _read_space(self, request: Request) -> Response:
        key, space = request.path_params["key"], self._wiki.space
        if key != space.key or not request.state.is_known:
            return _complain(404, f"NotFoundException: No space found with key : {key}")
        return JSONResponse({"id": 1, "key": space.key, "name": space.name, "type": "global", "status": "current"})

    async def _list_pages(self, request: Request) -> Response:
        query, wiki = request.query_params, self._wiki
        expand = _read_expand(request)
        try:
            start, limit = _read_number(query, "start", 0), _read_number(query, "limit", _DEFAULT_ROWS)
        except ValueError as error:
            return _complain(400, f"BadRequestException: {error}")
        limit = min(limit, self._page_limit, _MOST_ROWS_WITH_BODIES if "body.storage" in expand else _MOST_ROWS)
        is_asked = request.state.is_known and query.get("spaceKey", wiki.space.key) == wiki.space.key
        is_asked = is_asked and query.get("type", "page") == "page" and "current" in _statuses(query.getlist("status"))
        end = min(start + limit, len(wiki) if is_asked else 0)
        results = [self._render(wiki.page(index), expand) for index in range(start, end)]
        links = {"base": f"{request.url.scheme}://{request.url.netloc}{self._prefix}", "context": self._prefix}
        if is_asked and end < len(wiki):
            follows = [(name, value) for name, value in query.multi_items() if name not in ("start", "limit")]
            follows += [("limit", str(limit)), ("start", str(end))]
            links["next"] = f"/rest/api/content?{urlencode(follows)}"
        body = {"results": results, "start": start, "limit": limit, "size": len(results), "_links": links}
        # A listing is megabytes: this writer takes an eighth of json's time.
        return Response(to_json(body), media_type="application/json")

    async def _read_page(self, request: Request) -> Response:
        page = self._find(request)
        return _missing(request) if page is None else JSONResponse(self._render(page, _read_expand(request)))

    async def _read_labels(self, request: Request) -> Response:
        page = self._find(request)
        if page is None:
            return _missing(request)
        query = request.query_params
        try:
            start, limit = _read_number(query, "start", 0), min(_read_number(query, "limit", _MOST_ROWS), _MOST_ROWS)
        except ValueError as error:
            return _complain(400, f"BadRequestException: {error}")
        return JSONResponse(self._label_set(page.id, start, limit))

    async def _add_labels(self, request: Request) -> Response:
        page = self._find(request)
        if page is None:
            return _missing(request)
        try:
            self._wiki.write(page.id, split_labels(await request.json()))
        except ValueError as error:
            return _complain(400, f"BadRequestException: {error}")
        return JSONResponse(self._label_set(page.id))

    async def _delete_label(self, request: Request) -> Response:
        page = self._find(request)
        if page is None:
            return _missing(request)
        self._wiki.labels.remove(page.id, request.path_params.get("name") or request.query_params.get("name", ""))
        return Response(status_code=204)

    def _find(self, request: Request) -> Page | None:
        return self._wiki.find(request.path_params["page_id"]) if request.state.is_known else None

    def _label_set(self, page_id: str, start: int = 0, limit: int = _MOST_ROWS) -> dict[str, Any]:
        labels = self._wiki.labels.read(page_id)
        shown, path = labels[start : start + limit], f"/rest/api/content/{page_id}/label"
        more = {"next": f"{path}?limit={limit}&start={start + limit}"} if start + limit < len(labels) else {}
        return {"results": shown, "start": start, "limit": limit, "size": len(shown), "_links": {"self": path, **more}}

    def _render(self, page: Page, expand: set[str]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": page.id,
            "type": "page",
            "status": "current",
            "title": page.title,
            "_links": {"webui": f"/display/{self._wiki.space.key}/{page.id}"},
        }
        if "body.storage" in expand:
            shown["body"] = {"storage": {"value": page.body, "representation": "storage"}}
        if "version" in expand:
            shown["version"] = {"number": page.version, "when": self._wiki.created_at, "minorEdit": False}
        if "metadata.labels" in expand:
            shown["metadata"] = {"labels": self._label_set(page.id)}
        return shown


def _read_expand(request: Request) -> set[str]:
    return set(request.query_params.get("expand", "").split(","))


def _statuses(stated: list[str]) -> set[str]:
    return {status for text in stated or ["current"] for status in text.split(",")}


def _read_number(query: Any, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"{name} must be a number, and was {text[:20]!r}")
    return int(text)


def _missing(request: Request) -> Response:
    identity = request.path_params["page_id"]
    return _complain(404, f"api.NotFoundException: No content found with id: ContentId{{id={identity}}}")


def _complain(status: int, message: str) -> Response:
    data = {"authorized": True, "valid": True, "errors": [], "successful": True}
    full = f"com.atlassian.confluence.api.service.exceptions.{message}"
    return JSONResponse({"statusCode": status, "data": data, "message": full}, status)
