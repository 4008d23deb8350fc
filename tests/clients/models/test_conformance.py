"""Every request that the clients send, and every answer of the twin, by the vendors' documents.

The document of Anthropic's messages is an unofficial one of November 2024, and older than prompt caching: its closed
schema of a system block does not know `cache_control`. That key alone is taken out before a request is held against it.
429 and 5xx answers stand in no document but OpenAI's 429, which is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tagspace_lab.clients.models import AnthropicModel, Model, OpenAIModel
from tagspace_lab.policy.prompts import LabelRules, build_prompt
from tagspace_lab.records import Batch, Outcome, Reply
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tests.clients.models.conftest import Client
from tests.fakes import RULES, TinySpace, make_batch, make_scenario, make_text
from tests.specs.openapi import BreachError, Spec

PATHS = {OpenAIModel: "/v1/chat/completions", AnthropicModel: "/v1/messages"}
NAMES = {OpenAIModel: "openai-chat", AnthropicModel: "anthropic-messages"}
CLIENTS = pytest.mark.parametrize("client", [OpenAIModel, AnthropicModel])
Exchange = tuple[dict[str, Any], int, Any, dict[str, str]]
"""Body of a request; status, body and headers of its answer."""


def without_caching(body: dict[str, Any]) -> dict[str, Any]:
    """The request in the words of a document that is older than prompt caching."""
    told = copy.deepcopy(body)
    for block in told["system"]:
        block.pop("cache_control", None)
    return told


def check(client: Client, exchanges: list[Exchange]) -> list[int]:
    """Hold all of it against the vendor's document; gives the statuses whose answers the document describes."""
    spec, path = Spec.load(NAMES[client]), PATHS[client]
    described = []
    for body, status, answer, _ in exchanges:
        spec.check_request("POST", path, {}, body if client is OpenAIModel else without_caching(body))
        if spec.describes("POST", path, status):
            spec.check_response("POST", path, status, answer)
            described.append(status)
    return described


def record(client: Client, *batches: Batch, rules: LabelRules = RULES, concede: int = 0, **provider: Any) -> Any:
    """What passes between a client and the twin when batches are asked about; and the last reply.

    `concede`: so many parts of a request are struck first, as after a server's complaints.
    """
    headers = "openai" if client is OpenAIModel else "anthropic"
    app = build_app(make_scenario(provider={"headers": headers} | provider), TinySpace())
    exchanges: list[Exchange] = []

    class Recorder(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            content = await response.aread()
            assert request.url.path == PATHS[client]
            exchanges.append(
                (json.loads(request.content), response.status_code, json.loads(content), dict(response.headers))
            )
            return response

    async def main() -> Reply:
        async with httpx.AsyncClient(transport=Recorder(app)) as http:
            model: Model = client(http, "http://twin/v1", "m", "k", 30.0, lambda: 0.0)
            for _ in range(concede):
                model.concessions.learn(400, "unsupported parameter", model.concessions.left_out)  # type: ignore[attr-defined]
            for batch in batches:
                reply = await model.send(build_prompt(batch, rules))
            return reply

    return exchanges, run_virtual(main)


@pytest.mark.parametrize("rules", [RULES, LabelRules(), LabelRules(("alpha",), closed=False)])
@pytest.mark.parametrize(
    ("client", "concede"),
    [*((OpenAIModel, count) for count in range(5)), *((AnthropicModel, count) for count in range(4))],
)
def test_questions_and_answers_are_the_vendors(client: Client, rules: LabelRules, concede: int) -> None:
    exchanges, reply = record(client, make_batch(1), make_batch(7), rules=rules, concede=concede)
    assert reply.outcome is Outcome.OK
    assert check(client, exchanges) == [200, 200]


def test_question_to_a_server_that_only_streams_is_the_vendors() -> None:
    exchanges, reply = record(OpenAIModel, make_batch(2), concede=5)
    assert exchanges[0][0]["stream"] is True
    assert reply.outcome is Outcome.REFUSED, "the twin does not stream, and says so"
    assert check(OpenAIModel, exchanges) == []


@CLIENTS
def test_hostile_text_is_asked_about_by_the_document(client: Client) -> None:
    words = '\ud800 \x00 \u2028 "]}" </think> <|im_start|> ' + "é" * 500
    exchanges, _ = record(client, Batch((make_text(0, words=words),)))
    assert check(client, exchanges) == [200]


@CLIENTS
def test_answer_that_is_cut_off_is_the_vendors(client: Client) -> None:
    exchanges, _ = record(client, make_batch(9), output={"tokens_per_page": 2_000})
    reason = exchanges[0][2]["choices"][0]["finish_reason"] if client is OpenAIModel else exchanges[0][2]["stop_reason"]
    assert reason in ("length", "max_tokens")
    assert check(client, exchanges) == [200]


@CLIENTS
@pytest.mark.parametrize(
    ("provider", "status"),
    [
        ({"limits": {"requests_per_min": 1, "burst_requests": 1}}, 429),
        ({"limits": {"tokens_per_min": 100, "burst_tokens": 100}}, 429),
        ({"limits": {"concurrency_cap": 1}, "events": [{"kind": "outage", "at_s": 0.5, "status": 429}]}, 429),
        ({"faults": {"server_error_share": 1.0}}, 500),
        ({"max_context_tokens": 10}, 400),
    ],
)
def test_errors_are_the_vendors(client: Client, provider: dict[str, Any], status: int) -> None:
    exchanges, _ = record(client, *(make_batch(2) for _ in range(2)), **provider)
    described = check(client, exchanges)
    last = exchanges[-1][1]
    assert last == (529 if status == 500 and client is AnthropicModel else status)
    if client is OpenAIModel and status == 429:
        assert last in described
        wait = exchanges[-1][3].get("retry-after", "1")
        assert int(wait) >= 1, "by the document a whole number, of at least 1"
    if client is AnthropicModel and status < 500:
        assert last in described


def spoil(client: Client) -> Iterator[tuple[dict[str, Any], str]]:
    """Requests that a client must never send, and what the document says of them."""
    exchanges, _ = record(client, make_batch(1))
    body = exchanges[0][0]
    yield {name: value for name, value in body.items() if name != "messages"}, "messages"
    yield body | {"temperature": 9}, "temperature"
    yield body | {"messages": [{"role": "wizard", "content": "x"}]}, "messages|wizard"
    if client is OpenAIModel:
        yield body | {"response_format": {"type": "yaml"}}, "yaml|response_format"
        yield body | {"max_completion_tokens": "many"}, "max_completion_tokens"
    else:
        yield body | {"tool_choice": {"type": "force"}}, "force|tool_choice"
        yield body | {"max_tokens": 0}, "max_tokens"
        yield body | {"cache_control": {}}, "cache_control"


@CLIENTS
def test_document_refuses_what_it_should(client: Client) -> None:
    spec = Spec.load(NAMES[client])
    for body, words in spoil(client):
        with pytest.raises(BreachError, match=words):
            spec.check_request("POST", PATHS[client], {}, body if client is OpenAIModel else without_caching(body))
    exchanges, _ = record(client, make_batch(1))
    answer = exchanges[0][2]
    wrong = {name: value for name, value in answer.items() if name not in ("model", "id")}
    with pytest.raises(BreachError):
        spec.check_response("POST", PATHS[client], 200, wrong)
    with pytest.raises(BreachError):
        spec.check_response("POST", PATHS[client], 200, answer | ({"object": "x", "type": "x"}))


def test_key_that_the_old_document_lacks_is_the_only_thing_that_is_forgiven() -> None:
    exchanges, _ = record(AnthropicModel, make_batch(1))
    body = exchanges[0][0]
    with pytest.raises(BreachError, match="cache_control"):
        Spec.load("anthropic-messages").check_request("POST", "/v1/messages", {}, body)
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    body["system"][0]["cache"] = True
    with pytest.raises(BreachError, match="cache"):
        Spec.load("anthropic-messages").check_request("POST", "/v1/messages", {}, without_caching(body))
