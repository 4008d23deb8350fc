"""Cloud's v2 interface: spaces by key, pages of a space with cursors, labels. It cannot write labels: v1 does.

Source: Atlassian's REST API documentation of Cloud.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urlencode

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tagspace_lab.records import Page
from tagspace_lab.twin.confluence.door import Endpoint
from tagspace_lab.twin.confluence.wiki import Wiki

__all__ = ["SPACE_ID", "Cloud"]

SPACE_ID = "65537"
_DEFAULT_ROWS = 25
_MOST_ROWS = 250


class Cloud:
    """The endpoints of a wiki under `prefix`. `page_limit`: most pages in one listing."""

    def __init__(self, wiki: Wiki, prefix: str, page_limit: int) -> None:
        self._wiki, self._prefix, self._page_limit = wiki, prefix, page_limit

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """(method, path, endpoint)."""
        root = f"{self._prefix}/api/v2"
        return [
            ("GET", f"{root}/spaces", self._list_spaces),
            ("GET", f"{root}/spaces/{{space_id}}/pages", self._list_pages),
            ("GET", f"{root}/pages", self._list_pages),
            ("GET", f"{root}/pages/{{page_id}}", self._read_page),
            ("GET", f"{root}/pages/{{page_id}}/labels", self._list_labels),
        ]

    async def _list_spaces(self, request: Request) -> Response:
        keys, wiki = request.query_params.get("keys"), self._wiki
        is_asked = request.state.is_known and (keys is None or wiki.space.key in keys.split(","))
        space = {
            "id": SPACE_ID,
            "key": wiki.space.key,
            "name": wiki.space.name,
            "type": "global",
            "status": "current",
            "authorId": "twin",
            "createdAt": wiki.created_at,
            "_links": {"webui": f"/spaces/{wiki.space.key}"},
        }
        return JSONResponse({"results": [space] if is_asked else [], "_links": {"base": self._base(request)}})

    async def _list_pages(self, request: Request) -> Response:
        query, wiki = request.query_params, self._wiki
        space_id = request.path_params.get("space_id") or query.get("space-id", SPACE_ID)
        if space_id != SPACE_ID or not request.state.is_known:
            return _missing("space", space_id)
        try:
            limit, start = min(_read_limit(query.get("limit")), self._page_limit), _read_cursor(query.get("cursor"))
            form = _read_form(query.get("body-format"))
        except ValueError as error:
            return _complain(400, "INVALID_REQUEST_PARAMETER", str(error))
        end = min(start + limit, len(wiki))
        results = [self._render(wiki.page(index), form) for index in range(start, end)]
        return self._listing(request, results, limit, end if end < len(wiki) else None)

    async def _read_page(self, request: Request) -> Response:
        page = self._find(request)
        if page is None:
            return _missing("page", request.path_params["page_id"])
        try:
            form = _read_form(request.query_params.get("body-format"))
        except ValueError as error:
            return _complain(400, "INVALID_REQUEST_PARAMETER", str(error))
        return JSONResponse(self._render(page, form))

    async def _list_labels(self, request: Request) -> Response:
        page, query = self._find(request), request.query_params
        if page is None:
            return _missing("page", request.path_params["page_id"])
        try:
            limit, start = _read_limit(query.get("limit")), _read_cursor(query.get("cursor"))
        except ValueError as error:
            return _complain(400, "INVALID_REQUEST_PARAMETER", str(error))
        labels, end = self._wiki.labels.read(page.id), start + limit
        results = [{name: label[name] for name in ("id", "name", "prefix")} for label in labels[start:end]]
        return self._listing(request, results, limit, end if end < len(labels) else None)

    def _find(self, request: Request) -> Page | None:
        return self._wiki.find(request.path_params["page_id"]) if request.state.is_known else None

    def _listing(self, request: Request, results: list[dict[str, Any]], limit: int, end: int | None) -> Response:
        """Rows, and where the next ones are: in the body and in a header, as the real one has it."""
        links, headers = {"base": self._base(request)}, {}
        if end is not None:
            follows = [(name, value) for name, value in request.query_params.multi_items()]
            follows = [(name, value) for name, value in follows if name not in ("limit", "cursor")]
            follows += [("limit", str(limit)), ("cursor", _write_cursor(end))]
            links["next"] = f"{request.url.path}?{urlencode(follows)}"
            headers["Link"] = f'<{links["next"]}>; rel="next", <{links["base"]}>; rel="base"'
        # A listing is megabytes: this writer takes an eighth of json's time.
        return Response(to_json({"results": results, "_links": links}), 200, headers, "application/json")

    def _base(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{self._prefix}"

    def _render(self, page: Page, form: str | None) -> dict[str, Any]:
        body = {form: {"representation": form, "value": page.body}} if form else {}
        created_at = self._wiki.created_at
        return {
            "id": page.id,
            "status": "current",
            "title": page.title,
            "spaceId": SPACE_ID,
            "parentType": "page",
            "authorId": "twin",
            "createdAt": created_at,
            "version": {
                "createdAt": created_at,
                "message": "",
                "number": page.version,
                "minorEdit": False,
                "authorId": "twin",
            },
            "body": body,
            "_links": {"webui": f"/spaces/{self._wiki.space.key}/pages/{page.id}"},
        }


def _read_limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_ROWS
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= _MOST_ROWS:
        raise ValueError(f"limit must be a number from 1 to {_MOST_ROWS}, and was {text[:20]!r}")
    return int(text)


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


def _missing(what: str, identity: str) -> Response:
    return _complain(404, "NOT_FOUND", f"there is no {what} with the id {identity}")


def _complain(status: int, code: str, detail: str) -> Response:
    title = code.replace("_", " ").capitalize()
    return JSONResponse({"errors": [{"status": status, "code": code, "title": title, "detail": detail}]}, status)
