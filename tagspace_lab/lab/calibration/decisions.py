"""What a provider's gate decided, call by call, as arrays: who was let in, who was refused, and what each call took.

All runs of a trace on one time line where their clocks allow it; where a run begins before the last one has ended
(two simulated worlds), it is a world of its own, and begins with whole limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.records import Attempt, Outcome

__all__ = ["MOST_DECISIONS", "Decisions", "Floats", "decide"]

Floats = NDArray[np.float64]
MOST_DECISIONS = 6_000
"""Decisions that limits are learned from: the first ones. More would take minutes and tell little."""
_INSTANT_S, _ARRIVAL_S = 0.001, 0.01
"""Within which one call ends and the next takes its place: clients write the two down in either order. One that was let
in may have arrived later than that: by then more calls had ended."""
_GATE = {Outcome.OK, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.RATE_LIMITED}
"""Outcomes that say what the gate decided. A refused request may never have come to it."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in the order in which the calls arrived. Times in s from the first run's begin; all arrays as long.

    `world` numbers the worlds. `others`: calls let in and still in progress when this one arrived. `read`: input tokens
    that count; `reserved`: output tokens that were allowed; `written`: output tokens that came.
    """

    attempts: tuple[Attempt, ...]
    world: NDArray[np.int64]
    at_s: Floats
    ended_s: Floats
    is_refused: NDArray[np.bool_]
    others: Floats
    read: Floats
    reserved: Floats
    written: Floats
    scale: Floats
    """What all limits are multiplied by when each call arrives: they may have changed on the way."""
    began_wall_s: tuple[float, ...]
    """Of each world: what the wall clock said at its time 0."""

    def __len__(self) -> int:
        return len(self.attempts)

    def select(self, kept: NDArray[np.bool_]) -> Decisions:
        """Some of the decisions, in their order."""
        arrays = ("world", "at_s", "ended_s", "is_refused", "others", "read", "reserved", "written", "scale")
        attempts = tuple(attempt for attempt, is_kept in zip(self.attempts, kept, strict=True) if is_kept)
        return replace(self, attempts=attempts, **{name: getattr(self, name)[kept] for name in arrays})


def decide(runs: Sequence[TraceRun], provider: str) -> Decisions:
    """The decisions of one provider over all runs; tokens of refused calls are those of the same call's answer."""
    attempts: list[Attempt] = []
    world: list[int] = []
    offsets: list[float] = []
    began: list[float] = []
    ended_wall_s = 0.0
    for run in runs:
        if not began or run.began_wall_s < ended_wall_s:
            began.append(run.began_wall_s)
        ended_wall_s = run.began_wall_s + run.makespan_s
        for attempt in run.of(provider):
            if attempt.outcome in _GATE:
                attempts.append(attempt)
                world.append(len(began) - 1)
                offsets.append(run.began_wall_s - began[-1])
    return _arrange(attempts, world, offsets, tuple(began), _tokens_read(runs, provider))


def _arrange(
    attempts: list[Attempt],
    world: list[int],
    offsets: list[float],
    began: tuple[float, ...],
    read: dict[int, float],
) -> Decisions:
    refused = [attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts]
    at_s = [attempt.started_s + offset for attempt, offset in zip(attempts, offsets, strict=True)]
    order = sorted(range(len(attempts)), key=lambda place: (world[place], at_s[place], refused[place]))[:MOST_DECISIONS]
    chosen = [attempts[place] for place in order]
    starts = np.array([at_s[place] for place in order])
    ends = np.array([attempts[place].ended_s + offsets[place] for place in order])
    is_refused = np.array([refused[place] for place in order], bool)
    worlds = np.array([world[place] for place in order], np.int64)
    return Decisions(
        attempts=tuple(chosen),
        world=worlds,
        at_s=starts,
        ended_s=ends,
        is_refused=is_refused,
        others=_count_others(worlds, starts, ends, is_refused),
        read=np.array([read[id(attempt)] for attempt in chosen]),
        reserved=np.array([float(attempt.expected.output_tokens) for attempt in chosen]),
        written=np.array([float(attempt.output_tokens) for attempt in chosen]),
        scale=np.ones(len(chosen)),
        began_wall_s=began,
    )


def _tokens_read(runs: Sequence[TraceRun], provider: str) -> dict[int, float]:
    """Input tokens of each attempt, cached ones apart, by the attempt's identity."""
    found: dict[int, float] = {}
    for run in runs:
        attempts = run.of(provider)
        known = {(attempt.call): attempt for attempt in attempts if attempt.input_tokens}
        expected = sum(attempt.expected.input_tokens for attempt in known.values())
        counted = sum(attempt.input_tokens - _free(attempt) for attempt in known.values())
        ratio = counted / expected if expected else 1.0
        for attempt in attempts:
            same = known.get(attempt.call, attempt)
            tokens = float(same.input_tokens - _free(same)) if same.input_tokens else 0.0
            found[id(attempt)] = tokens or attempt.expected.input_tokens * ratio
    return found


def _free(attempt: Attempt) -> int:
    """Cached input tokens do not count where headers tell input tokens apart (Anthropic)."""
    return attempt.cached_tokens if "input_tokens" in attempt.rate_limit.quotas else 0


def _count_others(world: NDArray[np.int64], at_s: Floats, ended_s: Floats, is_refused: NDArray[np.bool_]) -> Floats:
    """Calls that were let in before and are in progress; one that ends in the very instant is not.

    What takes its place may be recorded as sent a little before it is recorded as ended.
    """
    others = np.zeros(len(at_s))
    for number in np.unique(world):
        here = np.flatnonzero(world == number)
        admitted = here[~is_refused[here]]
        ends = np.sort(ended_s[admitted])
        begun: NDArray[np.int64] = np.cumsum(~is_refused[here]) - ~is_refused[here]
        arrived_s = at_s[here] + np.where(is_refused[here], _INSTANT_S, _ARRIVAL_S)
        others[here] = begun - np.searchsorted(ends, arrived_s, side="right")
    return np.maximum(others, 0.0)
