"""Whatever a server answers, a call ends: with what was asked for or with a ConfluenceError, in bounded time."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from tagspace_lab.clients.confluence import Confluence
from tagspace_lab.errors import ConfluenceError
from tests.clients.confluence.sites import KINDS, Found, play, serving
from tests.fakes import examples

NAMES = """results id title body storage value version number labels metadata name prefix _links next limit start size
    status type key accountId username displayName""".split()
HEADERS = """retry-after x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset x-ratelimit-nearlimit link location
    x-ratelimit-interval-seconds x-ratelimit-fillrate content-type content-encoding ratelimit date""".split()
VALUES = [
    "0",
    "-1",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "2026-03-26T16:00Z",
    "Thu, 99 Foo",
    "true",
    "gzip",
    "<>; rel=next",
]

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "current", "1001", "global", "/wiki/x?cursor=b", "http://elsewhere/x?start=5", "a b"]),
)
documents = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
rows = st.dictionaries(st.sampled_from(NAMES), documents, max_size=6).map(lambda row: {"id": "1001"} | row)
listings = st.dictionaries(st.sampled_from(NAMES), documents, max_size=4).flatmap(
    lambda rest: st.lists(rows, max_size=3).map(lambda found: rest | {"results": found})
)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    st.one_of(
        st.sampled_from(VALUES), st.text(st.characters(codec="latin-1", exclude_characters="\0\r\n"), max_size=30)
    ),
    max_size=4,
)
statuses = st.sampled_from([200, 200, 200, 201, 204, 301, 307, 400, 401, 403, 404, 429, 500, 503])


async def read_all(site: Confluence) -> list[Any]:
    return [listing async for listing in site.listings("TINY")]


ACTS: tuple[Any, ...] = (
    lambda site: site.who_am_i(),
    read_all,
    lambda site: site.page("1001"),
    lambda site: site.labels("1001"),
    lambda site: site.add_labels("1001", ["a"]),
)


def survive(kind: Found, responses: list[Response], act: Any) -> None:
    async def serve(request: Request, number: int) -> Response:
        return responses[number % len(responses)]

    app, seen = serving(serve)
    with suppress(ConfluenceError):
        play(app, kind, act, with_labels=True)
    assert len(seen) < 200


@examples(150)
@given(
    kind=st.sampled_from(KINDS),
    contents=st.lists(documents | listings, min_size=1, max_size=3),
    act=st.sampled_from(ACTS),
)
def test_any_document_ends(kind: Found, contents: list[Any], act: Any) -> None:
    survive(kind, [Response(json.dumps(content).encode("utf-8", "replace")) for content in contents], act)


@examples(150)
@given(
    kind=st.sampled_from(KINDS),
    answers=st.lists(st.tuples(statuses, headers, listings | documents), min_size=1, max_size=3),
    act=st.sampled_from(ACTS),
)
def test_any_headers_end(kind: Found, answers: list[tuple[int, dict[str, str], Any]], act: Any) -> None:
    responses = []
    for status, stated, content in answers:
        response = Response(json.dumps(content).encode("utf-8", "replace"), status)
        response.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in stated.items()]
        responses.append(response)
    survive(kind, responses, act)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"results":' * 100_000,
        b'{"results": [{"id": NaN}]}',
        b'{"results": [{"id": 1, "version": {"number": 1e999}}]}',
        b'{"results": [{"id": 1, "version": {"number": Infinity}}]}',
        b'{"results": [{"id": ' + b"9" * 5000 + b"}]}",
        b'{"results": [{"id": "1", "title": ["x"]}]}',
        b'{"results": {"id": "1"}}',
    ],
)
def test_hostile_json_is_an_error(kind: Found, raw: bytes) -> None:
    async def serve(request: Request, number: int) -> Response:
        is_lookup = request.url.path.endswith("/spaces")
        return Response(b'{"results": [{"id": 7}]}' if is_lookup else raw)

    with pytest.raises(ConfluenceError, match="http://twin"):
        play(serving(serve)[0], kind, read_all)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_surrogate_pair_can_be_written_afterwards(kind: Found) -> None:
    async def serve(request: Request, number: int) -> Response:
        return Response(b'{"results": [{"id": 7, "title": "\\ud800x", "body": {"storage": {"value": "\\udc00"}}}]}')

    [[page]] = play(serving(serve)[0], kind, read_all)
    assert (page.title, page.body) == ("?x", "?")
