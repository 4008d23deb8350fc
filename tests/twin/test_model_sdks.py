"""The vendors' own SDKs against the served twin, over real sockets, sync and async."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.fakes import TinySpace, make_scenario

SPACE = TinySpace()
LATENCY = {"first_token_s": 0.0, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9, "reject_s": 0.0}
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"pages": {"type": "array"}}}
PAGES: list[Any] = [{"role": "user", "content": 'Label this page.\n[{"id": "1000", "title": "T", "text": "x"}]'}]
GOLD = {"pages": [{"id": "1000", "labels": list(SPACE.gold("1000"))}]}
TOOL: Any = {"name": "tag_pages", "input_schema": SCHEMA}
FUNCTION: Any = {"type": "function", "function": {"name": "tag_pages", "parameters": SCHEMA}}


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(build_app(make_scenario(provider={"latency": LATENCY}), SPACE)) as url:
        yield url


@pytest.fixture
def narrow_url(dialect: str) -> Iterator[str]:
    """A provider that lets one request in and refuses the next."""
    limits = {"requests_per_min": 1, "burst_requests": 1}
    scenario = make_scenario(provider={"latency": LATENCY, "headers": dialect, "limits": limits})
    with serve(build_app(scenario, SPACE)) as url:
        yield url


def test_openai_completes_plainly_by_schema_and_by_tool(url: str) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "labels", "schema": SCHEMA}}
    choice: Any = {"type": "function", "function": {"name": "tag_pages"}}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        create = client.chat.completions.create
        plain = create(model="m", messages=HELLO)
        empty = create(model="m", messages=HELLO, response_format=form)
        shaped = create(model="m", messages=PAGES, response_format=form)
        called = create(model="m", messages=PAGES, tools=[FUNCTION], tool_choice=choice)
        models = client.models.list()
    assert plain.choices[0].message.content
    assert plain.usage is not None
    assert plain.usage.total_tokens > 0
    assert json.loads(empty.choices[0].message.content or "") == {"pages": []}
    assert json.loads(shaped.choices[0].message.content or "") == GOLD
    calls: Any = called.choices[0].message.tool_calls
    assert json.loads(calls[0].function.arguments) == GOLD
    assert [model.id for model in models] == ["twin"]


def test_openai_completes_asynchronously(url: str) -> None:
    async def main() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            return await client.chat.completions.create(model="m", messages=PAGES)

    assert json.loads(asyncio.run(main()).choices[0].message.content) == GOLD


def test_azure_sdk_finds_its_deployment(url: str) -> None:
    with openai.AzureOpenAI(azure_endpoint=url, api_key="k", api_version="2024-10-21", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=PAGES)
    assert json.loads(answer.choices[0].message.content or "") == GOLD


def test_anthropic_completes_plainly_and_by_tool(url: str) -> None:
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        plain = client.messages.create(model="m", max_tokens=500, messages=HELLO)
        choice: Any = {"type": "tool", "name": "tag_pages"}
        called = client.messages.create(model="m", max_tokens=500, messages=PAGES, tools=[TOOL], tool_choice=choice)
        models = client.models.list()
    assert plain.content[0].type == "text"
    assert plain.stop_reason == "end_turn"
    block: Any = called.content[0]
    assert (block.type, block.input, called.stop_reason) == ("tool_use", GOLD, "tool_use")
    assert called.usage.output_tokens > 0
    assert [model.id for model in models] == ["twin"]


def test_anthropic_completes_asynchronously(url: str) -> None:
    async def main() -> Any:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
            return await client.messages.create(model="m", max_tokens=500, messages=HELLO)

    assert asyncio.run(main()).content[0].text


def test_refusal_is_the_sdks_rate_limit_error_with_its_headers(narrow_url: str, dialect: str) -> None:
    caught: openai.RateLimitError | anthropic.RateLimitError
    if dialect == "openai":
        with openai.OpenAI(base_url=f"{narrow_url}/v1", api_key="k", max_retries=0) as chat:
            chat.chat.completions.create(model="m", messages=HELLO)
            with pytest.raises(openai.RateLimitError) as refused:
                chat.chat.completions.create(model="m", messages=HELLO)
            caught = refused.value
            assert caught.code == "rate_limit_exceeded"
            assert caught.response.headers["x-ratelimit-limit-requests"] == "1"
    else:
        with anthropic.Anthropic(base_url=narrow_url, api_key="k", max_retries=0) as client:
            client.messages.create(model="m", max_tokens=9, messages=HELLO)
            with pytest.raises(anthropic.RateLimitError) as limited:
                client.messages.create(model="m", max_tokens=9, messages=HELLO)
            caught = limited.value
            assert caught.response.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert 0 < int(caught.response.headers["retry-after"]) <= 60


def test_stream_is_refused_in_words_that_say_so(url: str) -> None:
    chat = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
    with chat, pytest.raises(openai.BadRequestError, match="does not stream"):
        chat.chat.completions.create(model="m", messages=HELLO, stream=True)
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0)
    with client, pytest.raises(anthropic.BadRequestError, match="does not stream"):
        client.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)


def test_wrong_request_is_the_sdks_own_error(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as chat:
        with pytest.raises(openai.BadRequestError, match="model"):
            chat.chat.completions.create(model="", messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            chat.embeddings.create(model="m", input="x")
