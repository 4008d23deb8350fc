"""The recorded run again, in the twin that was calibrated on it: how near it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.lab.calibration.calibration import Calibration
from tagspace_lab.lab.calibration.findings import quantile
from tagspace_lab.lab.calibration.replicas import replicate
from tagspace_lab.lab.facts import rounded
from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.lab.watch import watch
from tagspace_lab.lab.world import TextMemo, World
from tagspace_lab.records import Attempt, Outcome, Space

__all__ = ["Check", "Figures", "check", "measure_run"]

_SEEDS, _FEWEST_SEEDS, _ATTEMPTS = 25, 5, 5_000
"""So many replays, fewer of a run so long that all together would make more attempts than this."""
_MAKESPAN, _LATENCY, _REFUSALS = 0.05, 0.10, 2
"""Within which the twin counts as close: shares of the recorded value, and 429s."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run is compared by. Latencies are those of answered calls, in s; nan if there are none."""

    makespan_s: float
    p50_s: float
    p95_s: float
    refusals: int
    calls: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Check:
    """Recorded figures beside the medians of `replayed`, one replay a seed."""

    recorded: Figures
    replayed: tuple[Figures, ...]

    @property
    def twin(self) -> Figures:
        def middle(name: str) -> Any:
            return median(getattr(each, name) for each in self.replayed)

        return Figures(
            middle("makespan_s"),
            middle("p50_s"),
            middle("p95_s"),
            round(middle("refusals")),
            round(middle("calls")),
            round(middle("tokens")),
        )

    def error(self, name: str) -> float:
        """Of one figure: the twin's less the recorded, as a share of the recorded."""
        recorded, twin = float(getattr(self.recorded, name)), float(getattr(self.twin, name))
        return (twin - recorded) / recorded if recorded else float(twin != recorded)

    @property
    def misses(self) -> list[str]:
        """Which targets are missed: makespan within 5 %, p95 latency within 10 %, 429s within 2."""
        missed = []
        if not abs(self.error("makespan_s")) <= _MAKESPAN:
            missed.append("makespan")
        if not abs(self.error("p95_s")) <= _LATENCY:
            missed.append("p95 latency")
        if abs(self.twin.refusals - self.recorded.refusals) > _REFUSALS:
            missed.append("429s")
        return missed

    @property
    def is_close(self) -> bool:
        return not self.misses

    def to_dict(self) -> dict[str, Any]:
        """What `calibrate --check --json` prints."""
        names = ("recorded", "twin", "low", "high", "error")
        figures = {name: rounded(dict(zip(names, values, strict=True))) for name, *values in self.rows()}
        return {"is_close": self.is_close, "misses": self.misses, "figures": figures}

    def rows(self) -> list[tuple[str, float, float, float, float, float]]:
        """(figure, recorded, twin, lowest and highest of all seeds, error as a share)."""
        rows = []
        for name in Figures.__slots__:
            values = [float(getattr(each, name)) for each in self.replayed]
            recorded, twin = float(getattr(self.recorded, name)), float(getattr(self.twin, name))
            rows.append((name, recorded, twin, min(values), max(values), self.error(name)))
        return rows


def check(
    calibration: Calibration, space: Space | None = None, *, seeds: Sequence[int] | None = None, progress: bool = True
) -> Check:
    """Replay the longest recorded run with the settings that it had, in virtual time, once for each seed.

    `space` is the one that was recorded; without it one is made up that asks as much.
    """
    run = max(calibration.runs, key=lambda run: len(run.attempts))
    world_space = space or replicate(run)
    texts = TextMemo()
    replayed = []
    most = min(_SEEDS, max(_FEWEST_SEEDS, _ATTEMPTS // len(run.attempts)))
    chosen = range(most) if seeds is None else seeds
    with watch(len(chosen), "replay", "checking", shown=progress) as view:
        for seed in chosen:
            store = MemoryStore(run.settings.cache_size)
            world = World(world_space, calibration.scenario, seed)
            result = world.run(run.settings, store=store, read_text=texts.read, epoch_s=run.began_wall_s)
            replayed.append(_figures(result.attempts, result.makespan_s))
            view.advance()
    return Check(measure_run(run), tuple(replayed))


def measure_run(run: TraceRun) -> Figures:
    """A recorded run's figures."""
    return _figures(run.attempts, run.makespan_s)


def _figures(attempts: Sequence[Attempt], makespan_s: float) -> Figures:
    answered = [attempt for attempt in attempts if attempt.outcome is Outcome.OK]
    took_s = [attempt.ended_s - attempt.started_s for attempt in answered]
    return Figures(
        makespan_s=makespan_s,
        p50_s=quantile(took_s, 0.5),
        p95_s=quantile(took_s, 0.95),
        refusals=sum(attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts),
        calls=len(answered),
        tokens=sum(attempt.input_tokens + attempt.output_tokens for attempt in answered),
    )
