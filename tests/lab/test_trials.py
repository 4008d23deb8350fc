"""Two profiles at a live endpoint, here the twin's: the budget is kept, and the faster one is found."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import OpenAIModel
from tagspace_lab.errors import InputError
from tagspace_lab.lab.samples import draw_sample
from tagspace_lab.lab.trials import LiveTrial, Turns, fits_budget, judge_live, try_live
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import TinySpace, make_scenario

BEFORE, AFTER = Settings(batch_size=2), Settings(batch_size=10)
PROFILES = (("before", BEFORE), ("after", AFTER))


def run_trial(calls: int, **tables: Any) -> tuple[LiveTrial, int]:
    """The trial, and how many requests the twin has seen."""
    space, scenario = TinySpace(400), make_scenario(**tables)
    app = build_app(scenario, space, seed=5)
    sample = draw_sample(space, fits_budget([BEFORE, AFTER], calls), random.Random(0))

    async def main() -> Turns:
        async with open_http(httpx.ASGITransport(app)) as http:
            model = OpenAIModel(http, "http://twin/v1", "twin", "key", 60.0, lambda: 0.0)
            return await try_live(
                sample,
                model,
                PROFILES,
                rules=LabelRules(space.vocabulary),
                calls=calls,
                rng=random.Random(0),
                now_s=asyncio.get_running_loop().time,
            )

    trial = judge_live(sample, PROFILES, scenario, run_virtual(main))
    return trial, sum(app.state.provider.counts.values())


def test_faster_profile_is_found_as_the_twin_foresaw() -> None:
    trial, seen = run_trial(60)
    assert trial.holds
    assert seen == trial.calls <= 60
    assert trial.gain == pytest.approx(trial.foreseen_gain, abs=0.15)
    assert [arm.errors for arm in trial.arms] == [0, 0]
    assert {arm.pages for arm in trial.arms} == {80}
    json.dumps(trial.to_dict(), allow_nan=False)


@pytest.mark.parametrize("calls", [10, 25])
def test_budget_is_never_exceeded_however_bad_the_endpoint(calls: int) -> None:
    limits = {"requests_per_min": 30.0, "burst_requests": 1.0, "retry_after": "missing"}
    trial, seen = run_trial(calls, provider={"limits": limits, "faults": {"server_error_share": 0.5}})
    assert seen == trial.calls == calls
    assert sum(arm.errors for arm in trial.arms) > 0
    assert sum(arm.calls for arm in trial.arms) == calls


def test_budget_for_less_than_a_batch_is_refused() -> None:
    with pytest.raises(InputError, match="too small a budget for a batch of 10 pages"):
        fits_budget([BEFORE, AFTER], 3)
