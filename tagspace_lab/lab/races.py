"""What a race is judged by, beside the oracle's race in the same regime.

A call counts as admitted when it was sent, if it was answered. All rates are calls a second, over spans of ten calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tagspace_lab.lab.arena import ORACLE, Race, race
from tagspace_lab.policy.limits import LIMITERS
from tagspace_lab.records import Outcome
from tagspace_lab.twin.regimes import draw_regime
from tagspace_lab.twin.scenario import LimitStep, Outage

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Score",
    "admitted_s",
    "race_all",
    "recovery_s",
    "score",
    "smaller_share",
    "tabulate_scores",
    "time_to_capacity_s",
]

_SPAN = 10
_ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Score:
    """One race in numbers. Efficiencies are 0 to 1 (the oracle may be beaten: above 1), 0.0 if calls are undone.

    `to_capacity` and `recovery` are shares of the oracle's makespan; inf: never reached; None: nothing to measure.
    """

    throttle: str
    family: str
    event: str
    calls: int
    efficiency: float
    of_oracle: float
    refusals: int
    undone: int
    to_capacity: float | None
    recovery: float | None
    smaller_share: float | None


def score(race: Race, oracle: Race) -> Score:
    """`race` beside the oracle's race in the same regime."""
    regime = race.regime
    return Score(
        throttle=race.throttle,
        family=regime.family,
        event=regime.event,
        calls=regime.calls,
        efficiency=race.efficiency,
        of_oracle=oracle.makespan_s / race.makespan_s if race.is_complete else 0.0,
        refusals=race.refusals,
        undone=regime.calls - race.done,
        to_capacity=_share(time_to_capacity_s(race, oracle), oracle.makespan_s),
        recovery=_share(recovery_s(race, oracle), oracle.makespan_s),
        smaller_share=smaller_share(race),
    )


def race_all(numbers: Iterable[int], throttles: Iterable[str] = tuple(LIMITERS)) -> list[Score]:
    """Every throttle in each of the random regimes of these numbers, regime by regime."""
    scores = []
    for regime in map(draw_regime, numbers):
        oracle = race(regime, ORACLE)
        scores += [score(race(regime, throttle), oracle) for throttle in throttles]
    return scores


def tabulate_scores(scores: Sequence[Score]) -> pd.DataFrame:
    """One row a throttle, the nearest to the oracle first; the index is `throttle`.

    Columns: of_oracle and worst (float64, the oracle's makespan / the throttle's: mean and least of the regimes),
    refusals (float64, mean of the 429s a call), undone (int64, calls in all that were never answered).
    """
    import pandas as pd

    frame = pd.DataFrame(map(asdict, scores))
    groups = frame.assign(refusals=frame["refusals"] / frame["calls"]).groupby("throttle")
    table = pd.DataFrame(
        {
            "of_oracle": groups["of_oracle"].mean(),
            "worst": groups["of_oracle"].min(),
            "refusals": groups["refusals"].mean(),
            "undone": groups["undone"].sum(),
        }
    )
    return table.sort_values("of_oracle", ascending=False, kind="stable")


def admitted_s(race: Race) -> list[float]:
    """When each answered call was sent, of all clients together, in order."""
    return sorted(
        attempt.started_s for attempts in race.attempts for attempt in attempts if attempt.outcome is Outcome.OK
    )


def time_to_capacity_s(race: Race, oracle: Race) -> float | None:
    """When ten calls in a row were first admitted at 90 % of the oracle's mean rate, calls over makespan."""
    return _first_at(admitted_s(race), oracle.regime.calls / oracle.makespan_s)


def recovery_s(race: Race, oracle: Race) -> float | None:
    """Seconds from the limits' step, or an outage's end, until ten calls in a row are at 90 % of the oracle's rate.

    The rate is that of all calls which the oracle admits after that instant. None without a step, and where
    either has no more than ten calls left.
    """
    step_s = _step_s(race)
    after, wanted = ([at_s - step_s for at_s in admitted_s(each) if at_s >= step_s] for each in (race, oracle))
    if len(wanted) <= _SPAN or len(after) <= _SPAN or wanted[-1] <= 0:
        return None
    return _first_at(after, len(wanted) / wanted[-1])


def smaller_share(race: Race) -> float | None:
    """Share of the smaller of two clients in the calls admitted in the first half of the makespan; None for one."""
    if len(race.attempts) < 2:
        return None
    half_s = race.makespan_s / 2
    counts = [
        sum(attempt.outcome is Outcome.OK and attempt.started_s <= half_s for attempt in attempts)
        for attempts in race.attempts
    ]
    return min(counts) / sum(counts) if any(counts) else None


def _first_at(times_s: Sequence[float], rate_per_s: float) -> float | None:
    """When a span of ten calls first ends within the time that nine tenths of `rate_per_s` needs; inf: never."""
    if len(times_s) <= _SPAN:
        return None
    longest_s = _SPAN / (_ENOUGH * rate_per_s)
    spans = zip(times_s, times_s[_SPAN:], strict=False)
    return next((last_s for first_s, last_s in spans if last_s - first_s <= longest_s), math.inf)


def _step_s(race: Race) -> float:
    """The instant after which a new limit holds, or the old one again; inf without such an event."""
    for event in race.regime.provider.events:
        match event:
            case LimitStep():
                return event.at_s
            case Outage(until_s=until_s) if until_s is not None:
                return until_s
    return math.inf


def _share(time_s: float | None, whole_s: float) -> float | None:
    return None if time_s is None else time_s / whole_s
