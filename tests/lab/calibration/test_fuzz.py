"""Whatever was recorded, a scenario comes of it that can be read."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tagspace_lab.lab.calibration.calibration import calibrate
from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.records import Attempt, Cost, Outcome, Quota, RateLimit, Status
from tagspace_lab.settings import Settings
from tests.fakes import examples

UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
TOKENS = st.integers(0, 20_000)
AMOUNTS = st.none() | st.floats(0, 1e7) | st.integers(0, 100).map(float)
LIMITS = st.builds(
    RateLimit,
    st.dictionaries(st.sampled_from(UNITS), st.builds(Quota, AMOUNTS, AMOUNTS, AMOUNTS), max_size=3),
    st.none() | st.floats(0, 3600),
    st.sampled_from(("", "concurrency", *UNITS)),
)


@st.composite
def make_attempts(draw: Any) -> list[Attempt]:
    attempts = []
    for number in range(1, draw(st.integers(1, 25)) + 1):
        started_s = draw(st.floats(0, 300))
        attempts.append(
            Attempt(
                call=draw(st.integers(1, number)),
                number=1,
                provider=draw(st.sampled_from(("primary", "primary", "fallback", "other"))),
                started_s=started_s,
                ended_s=started_s + draw(st.sampled_from((0.0, 0.01, 1.0)) | st.floats(0, 600)),
                outcome=draw(st.sampled_from(Outcome)),
                status=draw(st.sampled_from((0, 200, 429, 503, 504, 529))),
                pages=draw(st.integers(0, 12)),
                input_tokens=draw(TOKENS),
                output_tokens=draw(TOKENS),
                cached_tokens=draw(st.integers(0, 100)),
                waited_s=0.0,
                in_flight=draw(st.integers(0, 10)),
                window=3.0,
                expected=Cost(draw(TOKENS), draw(TOKENS)),
                rate_limit=(limits := draw(LIMITS)),
                retry_after_s=limits.retry_after_s,
            )
        )
    return attempts


@hypothesis_settings(examples(60), phases=[Phase.generate])  # what fails is long enough without being made shorter
@given(
    attempts=make_attempts(),
    size=st.sampled_from((1, 2, 5, 50)),
    tagged=st.none() | st.integers(0, 100),
    wall_s=st.sampled_from((0.0, 1e9 + 0.3)),
)
def test_no_trace_crashes_the_calibration(
    attempts: list[Attempt], size: int, tagged: int | None, wall_s: float
) -> None:
    statuses = {} if tagged is None else {status: tagged * (status is Status.TAGGED) for status in Status}
    run = TraceRun(
        "docs", None, wall_s, {}, Settings(batch_size=size), 3, 300, attempts, 400.0, statuses, bool(statuses)
    )
    calibration = calibrate([run, run])
    assert calibration.scenario.name == "calibrated"
    assert "provider" in tomllib.loads(calibration.to_toml())
    json.dumps(calibration.to_dict(), allow_nan=False)
