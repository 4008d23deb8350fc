"""Runs against random regimes, recorded, calibrated and replayed: how often the twin comes as near as is promised."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, median

from joblib import Parallel, delayed

from benchmarks.figures import Figure
from benchmarks.results import format_table, write_section
from tagspace_lab.lab.calibration.calibration import Calibration, calibrate
from tagspace_lab.lab.calibration.check import check
from tagspace_lab.lab.calibration.replicas import Replica
from tagspace_lab.lab.world import World
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.settings import Settings
from tagspace_lab.twin.regimes import CEILING, FIRST_CONCURRENCY, Regime, draw_regime
from tagspace_lab.twin.scenario import Scenario

__all__ = ["Trial", "measure", "try_regime"]

_REGIMES = 120
_SHARE, _RECOVERED = 0.8, 0.9
_WITHIN = 0.05
_HIT = 3
"""Refusals by a limit that make it one that the trace hit."""
_HEADING = "Calibration on recorded runs"
_HEAD = ("regimes", "n", "all three", "makespan within 5 %", "p95 within 10 %", "429s within 2", "makespan off: median")
_WORDS = f"""\
`python -m benchmarks calibration` writes this section. Each of the first {_REGIMES} regimes that have one client is run
once, one page a call, and recorded; a scenario is calibrated on the trace alone, and the run is replayed in it with
other luck, 5 to 25 times. What is compared are the medians of these with the recorded run.

The luck of the recorded run remains: where few calls are answered, its last one alone can move a makespan by more than
5 %, whatever is fitted.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One regime: errors of the twin as shares of what was recorded, and of limits that refused often enough."""

    number: int
    family: str
    event: str
    makespan: float
    p95: float
    refusals: int
    recovered: tuple[tuple[str, float], ...]

    @property
    def is_close(self) -> bool:
        return abs(self.makespan) <= 0.05 and abs(self.p95) <= 0.1 and abs(self.refusals) <= 2


def measure() -> Iterator[Figure]:
    """Runs everything on all processors; writes the section."""
    trials = [
        trial for trial in Parallel(n_jobs=-1)(delayed(try_regime)(number) for number in range(_REGIMES)) if trial
    ]
    rows = [_row("all", trials)]
    for name in ("family", "event"):
        ordered = sorted(trials, key=lambda trial: str(getattr(trial, name)))
        rows += [_row(key, list(group)) for key, group in groupby(ordered, key=lambda trial: str(getattr(trial, name)))]
    write_section(_HEADING, f"{_WORDS}\n{format_table(_HEAD, rows)}")
    steady = [trial for trial in trials if trial.event == "none"]
    close = fmean(trial.is_close for trial in steady)
    yield Figure(
        f"calibrated twin close, {len(steady)} steady regimes", f">= {_SHARE:.0%}", f"{close:.0%}", close >= _SHARE
    )
    errors = [abs(error) for trial in steady for _, error in trial.recovered]
    found = fmean(error <= _WITHIN for error in errors) if errors else 0.0
    what = f"limits that were hit recovered within 5 %, {len(errors)} limits of steady regimes"
    yield Figure(what, f">= {_RECOVERED:.0%}", f"{found:.0%}", found >= _RECOVERED)


def try_regime(number: int) -> Trial | None:
    """Record, calibrate, replay; None for a regime of several clients, of which a trace shows one."""
    regime = draw_regime(number)
    if regime.clients > 1:
        return None
    calibration = calibrate_regime(regime)
    result = check(calibration)
    return Trial(
        number,
        regime.family,
        regime.event,
        makespan=result.error("makespan_s"),
        p95=result.error("p95_s"),
        refusals=result.twin.refusals - result.recorded.refusals,
        recovered=tuple(_recovered(regime, calibration)),
    )


def calibrate_regime(regime: Regime) -> Calibration:
    """The calibration on one recorded run of a regime."""
    space = Replica(regime.tokens, ("alpha", "beta", "gamma"), "calls")
    scenario = Scenario(name="regime", description="drawn", source="drawn", provider=regime.provider)
    settings = Settings(
        ai_concurrency=FIRST_CONCURRENCY,
        max_ai_concurrency=CEILING,
        batch_size=1,
        request_timeout_s=600.0,
        page_tokens=1_000_000,
        batch_tokens=1_000_000,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.jsonl")
        with TraceWriter(path) as trace:
            World(space, scenario, regime.number).run(settings, trace=trace)
        return calibrate(path)


def _recovered(regime: Regime, calibration: Calibration) -> Iterator[tuple[str, float]]:
    """Errors of the limits that refused at least three calls."""
    fitted = calibration.scenario.provider.limits
    for key, unit in (("requests_per_min", "requests"), ("concurrency_cap", "concurrency")):
        true, found = getattr(regime.provider.limits, key), getattr(fitted, key)
        if true and calibration.refusals.get(unit, 0) >= _HIT:
            yield key, (found - true) / true if found else 1.0


def _row(name: str, trials: Sequence[Trial]) -> tuple[str, ...]:
    return (
        name,
        str(len(trials)),
        f"{fmean(trial.is_close for trial in trials):.0%}",
        f"{fmean(abs(trial.makespan) <= 0.05 for trial in trials):.0%}",
        f"{fmean(abs(trial.p95) <= 0.1 for trial in trials):.0%}",
        f"{fmean(abs(trial.refusals) <= 2 for trial in trials):.0%}",
        f"{median(abs(trial.makespan) for trial in trials):.1%}",
    )
