from __future__ import annotations

from typing import Any

import httpx
import pytest

from tagspace_lab.clients.models import AnthropicModel, OpenAIModel
from tagspace_lab.clients.models.addresses import find_endpoint
from tagspace_lab.errors import SettingsError

FINE: tuple[int, Any] = (200, {})


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
        (" http://localhost:11434/v1\n", "http://localhost:11434/v1/chat/completions"),
        ("https://gw.example/llm/chat/completions", "https://gw.example/llm/chat/completions"),
        ("https://gw.example", "https://gw.example/chat/completions"),
        (
            "https://n.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
            "https://n.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        ("https://n.openai.azure.com/openai/v1/", "https://n.openai.azure.com/openai/v1/chat/completions"),
        ("http://[::1]:8000/v1#x", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_chat_is_found_under_what_the_sdk_takes(base_url: str, endpoint: str) -> None:
    assert str(find_endpoint(base_url, "/chat/completions")) == endpoint


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://gw.example/anthropic?tenant=7", "https://gw.example/anthropic/v1/messages?tenant=7"),
        ("https://gw.example/v1/messages", "https://gw.example/v1/messages"),
    ],
)
def test_messages_are_found_with_and_without_a_version(base_url: str, endpoint: str) -> None:
    assert str(find_endpoint(base_url, "/messages", "/v1")) == endpoint


@pytest.mark.parametrize(
    "base_url", ["", "api.openai.com/v1", "ftp://x/v1", "https://", "http://x:port/v1", "sk-secret"]
)
@pytest.mark.parametrize("client", [OpenAIModel, AnthropicModel])
def test_what_is_no_address_is_an_error_at_once_that_does_not_show_it(client: Any, base_url: str) -> None:
    with pytest.raises(SettingsError, match="base URL") as caught:
        client(None, base_url, "m", "k", 1.0, lambda: 0.0)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "key", "sent"),
    [
        ("http://server/v1", "k", {"authorization": "Bearer k"}),
        ("http://n.openai.azure.com/openai/v1", "k", {"api-key": "k"}),
        ("http://n.openai.azure.com/openai/v1", "eyJhbGciOi.x.y", {"authorization": "Bearer eyJhbGciOi.x.y"}),
        ("http://azure.com.example/v1", "k", {"authorization": "Bearer k"}),
        ("http://localhost:11434/v1", "", {}),
    ],
)
def test_key_goes_where_the_server_looks_for_it(
    base_url: str, key: str, sent: dict[str, str], openai_asker: Any, make_server: Any
) -> None:
    server = make_server(lambda body: FINE)
    openai_asker.ask(server.app, base_url=base_url, key=key)
    assert {name: value for name, value in server.headers[0].items() if name in ("authorization", "api-key")} == sent


def test_query_of_the_base_url_is_sent(openai_asker: Any, make_server: Any) -> None:
    server = make_server(lambda body: FINE)
    openai_asker.ask(server.app, base_url="http://server/openai/deployments/d?api-version=2024-10-21")
    assert server.urls == ["http://server/openai/deployments/d/chat/completions?api-version=2024-10-21"]


def test_nothing_at_an_address_gives_a_hint_that_shows_the_host_alone(openai_asker: Any, make_server: Any) -> None:
    server = make_server(lambda body: (404, b"404 page not found"))
    (reply,) = openai_asker.ask(server.app, base_url="http://server/hidden?key=hidden")
    assert "server has no such model, or the base URL is wrong" in reply.message
    assert "hidden" not in reply.message


def test_endpoint_is_looked_up_once() -> None:
    first = find_endpoint("https://api.openai.com/v1", "/chat/completions")
    assert first is find_endpoint("https://api.openai.com/v1", "/chat/completions")
    assert isinstance(first, httpx.URL)
