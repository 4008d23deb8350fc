"""The checker itself, on requests and answers that are known to be right or wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.specs.openapi import BreachError, Spec

LABEL = "/wiki/rest/api/content/7/label"
PAGES = "/wiki/api/v2/spaces/65537/pages"


@pytest.fixture(scope="module")
def confluence() -> Spec:
    return Spec.load("confluence-cloud")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/wiki/api/v2/spaces", {"keys": "A,B"}, None),
        ("GET", "/wiki/api/v2/spaces", [("keys", "A"), ("keys", "B")], None),
        ("GET", PAGES, {"status": "current,archived", "limit": "250", "body-format": "storage"}, None),
        ("GET", "/wiki/api/v2/pages/7", {"include-labels": "true"}, None),
        ("POST", LABEL, {}, [{"prefix": "global", "name": "x"}]),
        ("POST", LABEL, {}, {"prefix": "global", "name": "x"}),
        ("DELETE", LABEL, {"name": "x"}, None),
        ("DELETE", f"{LABEL}/x", {}, None),
    ],
)
def test_right_request_passes(confluence: Spec, method: str, path: str, query: Any, body: Any) -> None:
    confluence.check_request(method, path, query, body)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "fault"),
    [
        ("GET", "/wiki/api/v3/spaces", {}, None, "knows no GET"),
        ("PATCH", PAGES, {}, None, "knows no PATCH"),
        ("GET", "/wiki/api/v2/pages/abc", {}, None, "integer"),
        ("GET", PAGES, {"limit": "251"}, None, "251"),
        ("GET", PAGES, {"limit": "many"}, None, "many"),
        ("GET", PAGES, {"status": "current,lost"}, None, "lost"),
        ("GET", PAGES, {"colour": "red"}, None, "colour"),
        ("GET", PAGES, {}, {}, "no body"),
        ("GET", "/wiki/api/v2/pages/7", {"include-labels": "yes"}, None, "boolean"),
        ("POST", LABEL, {}, None, "lacks a body"),
        ("POST", LABEL, {}, [{"name": "x"}], "prefix"),
        ("DELETE", LABEL, {}, None, "lacks the query"),
    ],
)
def test_wrong_request_is_a_breach(confluence: Spec, method: str, path: str, query: Any, body: Any, fault: str) -> None:
    with pytest.raises(BreachError, match=fault):
        confluence.check_request(method, path, query, body)


def test_right_answer_passes(confluence: Spec) -> None:
    label = {"id": "1", "name": "x", "prefix": "global", "label": "x"}
    confluence.check_response("POST", LABEL, 200, {"results": [label], "size": 1})
    confluence.check_response("GET", PAGES, 200, {"results": [{"id": "7", "status": "current", "position": None}]})
    confluence.check_response("GET", PAGES, 404, {"anything": "goes"})


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, {"results": [{"id": 7}]}, "7 is not of type"),
        (200, {"results": [{"status": "lost"}]}, "lost"),
        (200, {"results": [{"createdAt": "yesterday"}]}, "date-time"),
        (200, [], "object"),
        (204, None, "no answer 204"),
    ],
)
def test_wrong_answer_is_a_breach(confluence: Spec, status: int, body: Any, fault: str) -> None:
    with pytest.raises(BreachError, match=fault):
        confluence.check_response("GET", PAGES, status, body)


def test_refusals_are_not_described(confluence: Spec) -> None:
    assert confluence.describes("GET", PAGES, 404)
    assert not confluence.describes("GET", PAGES, 429)


def test_other_vendors_documents_are_read_too() -> None:
    message = {"role": "user", "content": "Hello"}
    chat, claude = Spec.load("openai-chat"), Spec.load("anthropic-messages")
    chat.check_request("POST", "/v1/chat/completions", {}, {"model": "m", "messages": [message]})
    with pytest.raises(BreachError, match="messages"):
        chat.check_request("POST", "/v1/chat/completions", {}, {"model": "m"})
    claude.check_request("POST", "/v1/messages", {}, {"model": "m", "max_tokens": 9, "messages": [message]})
    with pytest.raises(BreachError, match="max_tokens"):
        claude.check_request("POST", "/v1/messages", {}, {"model": "m", "messages": [message]})
