from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.twin.wires import AnthropicWire, OpenAIWire, VendorError, Wire, find_pages

KEYS = {"authorization": "Bearer key", "x-api-key": "key", "anthropic-version": "2023-06-01"}
CHAT = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


def fail(wire: Wire, headers: dict[str, str], content: Any) -> VendorError:
    with pytest.raises(VendorError) as caught:
        wire.read(headers, content if isinstance(content, bytes) else json.dumps(content).encode())
    return caught.value


@pytest.mark.parametrize("wire", [OpenAIWire(), AnthropicWire()])
@pytest.mark.parametrize("missing", ["model", "messages"])
def test_missing_part_is_named(wire: Wire, missing: str) -> None:
    error = fail(wire, KEYS, {name: value for name, value in CHAT.items() if name != missing})
    assert (error.status, missing in error.message) == (400, True)


def test_only_anthropic_insists_on_max_tokens_and_a_version() -> None:
    short = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    assert fail(AnthropicWire(), KEYS, short).message == "max_tokens: Field required"
    assert "anthropic-version" in fail(AnthropicWire(), {"x-api-key": "key"}, CHAT).message
    assert OpenAIWire().read(KEYS, json.dumps(short).encode()).max_tokens is None


@pytest.mark.parametrize("wire", [OpenAIWire(), AnthropicWire()])
def test_missing_key_is_401(wire: Wire) -> None:
    assert fail(wire, {}, CHAT).status == 401


@pytest.mark.parametrize("wire", [OpenAIWire(), AnthropicWire()])
def test_stream_is_refused_rather_than_answered_wrongly(wire: Wire) -> None:
    assert "does not stream" in fail(wire, KEYS, CHAT | {"stream": True}).message


def test_blocks_and_strings_weigh_the_same() -> None:
    blocks = CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}
    asks = [
        wire.read(KEYS, json.dumps(body).encode())
        for wire in (OpenAIWire(), AnthropicWire())
        for body in (CHAT, blocks)
    ]
    assert {(ask.prompt, ask.chars) for ask in asks} == {("Hello", 5)}


def test_errors_have_the_vendors_shapes() -> None:
    error = VendorError("No", status=529)
    assert OpenAIWire().error(error) == {
        "error": {"message": "No", "type": "server_error", "param": None, "code": None}
    }
    assert AnthropicWire().error(error) == {"type": "error", "error": {"type": "overloaded_error", "message": "No"}}


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for wire in (OpenAIWire(), AnthropicWire()):
        with pytest.raises(VendorError):
            wire.read(KEYS, body)


ODD = st.none() | st.integers() | st.text() | st.lists(st.integers() | st.dictionaries(st.text(), st.none()))
BLOCK = st.dictionaries(st.sampled_from(["role", "content", "text", "name", "cache_control"]), ODD)
NAMES = ("model", "messages", "system", "max_tokens", "tools", "tool_choice", "stream")


@given(st.dictionaries(st.sampled_from(NAMES), ODD | BLOCK | st.lists(BLOCK), max_size=3))
def test_any_object_is_read_or_refused(content: dict[str, Any]) -> None:
    for wire in (OpenAIWire(), AnthropicWire()):
        with suppress(VendorError):
            assert wire.read(KEYS, json.dumps(CHAT | content).encode()).model


@pytest.mark.parametrize("prompt", ["", "Hello", "One\n{}", "One\n[]", "One\n[1]", 'One\n[{"title": "x"}]', "One\n[{"])
def test_prompt_without_pages_has_none(prompt: str) -> None:
    assert find_pages(prompt) is None


def test_pages_follow_the_first_line() -> None:
    assert find_pages('Tag:\n[{"id": "7", "text": "a\\nb"}, {"id": 8}]') == ["7", "8"]
