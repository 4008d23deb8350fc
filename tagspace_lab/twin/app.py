"""One ASGI app for the whole simulated world: a provider, its fallback and a Confluence.

The same app answers in process in virtual time (through httpx.ASGITransport) and under uvicorn in real
time. Its own time starts with the first request that it sees.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette

from tagspace_lab.records import Space
from tagspace_lab.twin.confluence import ConfluenceTwin
from tagspace_lab.twin.injection import PlantedSpace
from tagspace_lab.twin.provider import ProviderTwin
from tagspace_lab.twin.schema import Scenario
from tagspace_lab.twin.stopwatch import Stopwatch

__all__ = ["EPOCH_S", "build_app"]

EPOCH_S = 1_767_225_600.0
"""2026-01-01T00:00:00Z: what the simulated world's wall clock says at its start, unless told otherwise."""


def build_app(
    scenario: Scenario, space: Space, *, seed: int = 0, day: int = 0, wall_clock: Callable[[], float] = lambda: EPOCH_S
) -> Starlette:
    """The world of `scenario` around `space`, as it is on `day` of its history.

    Routes: `/v1/...` (provider; also `/openai/v1/...` and `/openai/deployments/NAME/...`, as Azure names them),
    `/fallback/v1/...` (fallback, where the scenario has one), `/wiki/...` (Confluence Cloud), `/confluence/...` and
    `/rest/...` (the same wiki as a Data Center).
    `app.state` gives `provider`, `fallback` (or None), `confluence` and `elapsed_s`, which tells the world's
    time. `wall_clock` tells seconds since 1970; it is read once, at the first request.
    """
    elapsed_s = Stopwatch(wall_clock)
    quality, injection = scenario.quality, scenario.injection
    if injection:
        space = PlantedSpace(space, injection, seed)
    provider = ProviderTwin(scenario.provider, space, quality, elapsed_s=elapsed_s, seed=seed, injection=injection)
    fallback = scenario.fallback and ProviderTwin(
        scenario.fallback, space, quality, elapsed_s=elapsed_s, name="fallback", seed=seed, injection=injection
    )
    confluence = ConfluenceTwin(scenario.confluence, space, elapsed_s=elapsed_s, day=day)
    app = Starlette(
        routes=[
            *provider.routes("/v1"),
            *provider.routes("/openai/v1"),
            *provider.routes("/openai/deployments/{deployment}"),
            *(fallback.routes("/fallback/v1") if fallback else []),
            *confluence.routes(),
        ]
    )
    app.state.provider, app.state.fallback, app.state.confluence = provider, fallback, confluence
    app.state.elapsed_s = elapsed_s
    return app
