"""Opens what a live job works with, from its connections, inside the event loop that uses it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from tagspace_lab.clients.confluence import Confluence, Credentials, connect, find_kind, find_site
from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import AnthropicModel, Model, OpenAIModel
from tagspace_lab.clients.models.local import LocalTagger
from tagspace_lab.clients.models.prices import load_prices
from tagspace_lab.clients.stores import Store, open_store
from tagspace_lab.errors import SettingsError
from tagspace_lab.live.connections import Connections, ModelName
from tagspace_lab.live.job import Services
from tagspace_lab.pipeline.journal import Journal
from tagspace_lab.pipeline.router import Endpoint
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prices import Price
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import Settings

__all__ = ["open_confluence", "open_journal", "open_model", "open_services", "site_of"]

_NEEDS_KEY = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}


@asynccontextmanager
async def open_services(
    connections: Connections,
    settings: Settings,
    rules: LabelRules,
    journal: Journal,
    *,
    rng: random.Random,
    wall_clock: Callable[[], float],
) -> AsyncIterator[Services]:
    """Everything that a job needs, closed at the end. Raises SettingsError where a connection is not told."""
    store = _open_cache(connections, settings)
    try:
        async with open_http() as http:
            names = [ModelName.parse(text) for text in (connections.model, connections.fallback_model) if text]
            models = [open_model(name, connections, settings, rules, http, wall_clock) for name in names]
            endpoints = [
                Endpoint(role, model, Throttle(make_limiter(settings, rng)))
                for role, model in zip(("primary", "fallback"), models, strict=False)
            ]
            yield Services(
                confluence=open_confluence(connections, http, rng, wall_clock, give_up_s=settings.give_up_s),
                primary=endpoints[0],
                fallback=endpoints[1] if len(endpoints) > 1 else None,
                store=store,
                journal=journal,
                rng=rng,
                wall_clock=wall_clock,
                site=site_of(connections),
                prices=_find_prices(names, connections),
            )
    finally:
        if store is not None:
            store.close()


def open_journal(connections: Connections) -> Journal:
    """The journal of the state folder."""
    return Journal(connections.state_dir / "journal.sqlite")


def open_confluence(
    connections: Connections,
    http: httpx.AsyncClient,
    rng: random.Random,
    wall_clock: Callable[[], float],
    *,
    give_up_s: float = 300.0,
    with_labels: bool = False,
) -> Confluence:
    """The client for the wiki that the connections name. Raises SettingsError where address or token are not told.

    `with_labels`: listed pages have their labels, which costs a request a page on Cloud.
    """
    if not connections.confluence_url:
        raise SettingsError(
            "CONFLUENCE_URL is not set; set it to the wiki's address, as in https://example.atlassian.net"
        )
    return connect(
        http,
        connections.confluence_url,
        auth=_credentials(connections),
        kind=connections.confluence_kind,
        rng=rng,
        wall_clock=wall_clock,
        give_up_s=give_up_s,
        with_labels=with_labels,
    )


def site_of(connections: Connections) -> str:
    """The wiki's name in journal and cache: its address without the scheme, however it was written; empty for none.

    Not the host alone: one may have a wiki in each of several context paths, and spaces of one key in all of them.
    """
    if not connections.confluence_url:
        return ""
    kind = find_kind(connections.confluence_url, connections.confluence_kind, _credentials(connections))
    return find_site(connections.confluence_url, kind).partition("://")[2]


def open_model(
    name: ModelName,
    connections: Connections,
    settings: Settings,
    rules: LabelRules,
    http: httpx.AsyncClient,
    wall_clock: Callable[[], float],
) -> Model:
    """The client for one model. Raises SettingsError where a vendor's own endpoint is meant and its key not told."""
    if name.provider == "local":
        return LocalTagger(rules)
    is_openai = name.provider == "openai"
    base_url = connections.openai_base_url if is_openai else connections.anthropic_base_url
    key = connections.openai_api_key if is_openai else connections.anthropic_api_key
    client = OpenAIModel if is_openai else AnthropicModel
    if not key.get_secret_value() and httpx.URL(base_url).host == _NEEDS_KEY[name.provider]:
        variable = f"{name.provider.upper()}_API_KEY"
        raise SettingsError(f"{variable} is not set, which {name} needs; set it, or use TAG_SPACE_MODEL=local")
    return client(http, base_url, name.name, key.get_secret_value(), settings.request_timeout_s, wall_clock)


def _credentials(connections: Connections) -> Credentials:
    return Credentials(
        connections.confluence_username,
        connections.confluence_api_token.get_secret_value(),
        connections.confluence_personal_token.get_secret_value(),
    )


def _find_prices(names: list[ModelName], connections: Connections) -> dict[str, Price | None]:
    table = load_prices(connections.prices)
    found = (Price(0.0, 0.0) if name.provider == "local" else table.find(name.name) for name in names)
    return dict(zip(("primary", "fallback"), found, strict=False))


def _open_cache(connections: Connections, settings: Settings) -> Store | None:
    if not settings.cache_enabled:
        return None
    url = connections.cache_url.get_secret_value() or f"sqlite:///{(connections.state_dir / 'cache.sqlite').resolve()}"
    return open_store(url, settings.cache_size)
