"""Every throttle over random regimes: how near to the bound and to the oracle, at the price of how many refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from statistics import fmean, median

from joblib import Parallel, delayed

from benchmarks.figures import Figure, Stopwatch
from benchmarks.results import format_table, write_section
from tagspace_lab.lab.arena import LONGEST_S, MOST_ATTEMPTS, ORACLE, race
from tagspace_lab.lab.races import Score, score
from tagspace_lab.policy.limits import LIMITERS
from tagspace_lab.twin.regimes import CEILING, FIRST_CONCURRENCY, draw_regime

__all__ = ["measure"]

_REGIMES, _FIRST = 1_000, 200
_OURS = "learned"
_OTHERS = tuple(name for name in LIMITERS if name != _OURS)
_WALL_S = 180.0
_MEDIAN, _P5, _REFUSALS = 0.95, 0.85, 2
_CHANGES = ("halving", "doubling", "outage")
_HEADING = "Throttles over random regimes"
_HEAD = (
    "throttle",
    "n",
    "bound / makespan: median, p5, worst",
    "oracle / makespan: median, p5, worst",
    *("429s a call", "429s a run", "undone", "to capacity", "recovery", "share"),
)
_KIND_HEAD = ("family", "event", "n", "median", "p5", "below .85")
_WORDS = f"""\
`python -m benchmarks regimes` writes this section. A regime is a provider with its limits, latencies and events, drawn
from a number (`twin/regimes.py`); one client, in a tenth of them two, makes 50 to 500 calls, starts with a window of
{FIRST_CONCURRENCY} and may have {CEILING} in flight. The oracle knows the limits and starts each call at the first
instant at which it is let in.

- A run that left calls undone counts as 0 in both ratios, as does one that was stopped: after {LONGEST_S:,.0f} s of
  virtual time, or {MOST_ATTEMPTS} attempts a call. `ladder` gives calls up by design.
- p5 is the value that 5 % of the runs do not reach; 429s a call is a mean over the runs, a run a median.
- To capacity: when ten calls in a row were first let in at 90 % of the oracle's mean rate, in % of its makespan.
- Recovery: from a halving, a doubling or an outage's end until ten calls in a row were let in at 90 % of the
  oracle's rate after it, in % of its makespan. `never` where half of the runs never were.
- Share: the smaller client's in the calls let in during the first half of the run, where there are two; .50 is fair.
"""


def measure() -> Iterator[Figure]:
    """Runs everything on all processors; writes the section with the tables."""
    watch = Stopwatch()
    ours = _run_all(_REGIMES, (_OURS,))
    wall_s = watch.wall_s
    others = _run_all(_FIRST, _OTHERS)
    first = ours[: 2 * _FIRST]
    by_throttle = _group(first + [each for each in others if each.throttle != ORACLE], lambda each: each.throttle)
    write_section(_HEADING, f"{_WORDS}\n{_tables(ours, by_throttle)}")
    learned = [each for each in ours if each.throttle == _OURS]
    yield _at_most(f"{_OURS} and oracle over {_REGIMES:,} regimes: wall", wall_s, _WALL_S, "s")
    yield from _promises(learned)
    for name in _OTHERS:
        yield _lead(name, by_throttle)


def _run_all(count: int, throttles: Sequence[str]) -> list[Score]:
    """The scores of the oracle and of `throttles` in the first `count` regimes, regime by regime."""
    scores = Parallel(n_jobs=-1)(delayed(_run)(number, throttles) for number in range(count))
    return [each for regime in scores for each in regime]


def _run(number: int, throttles: Sequence[str]) -> list[Score]:
    regime = draw_regime(number)
    oracle = race(regime, ORACLE)
    return [score(oracle, oracle), *(score(race(regime, throttle), oracle) for throttle in throttles)]


def _promises(learned: Sequence[Score]) -> Iterator[Figure]:
    ratios = [each.of_oracle for each in learned]
    what = f"{_OURS} over {len(learned):,} regimes"
    yield _at_least(f"{what}: oracle / makespan, median", median(ratios), _MEDIAN)
    yield _at_least(f"{what}: oracle / makespan, p5", _p5(ratios), _P5)
    refusals = median(each.refusals - (each.event in _CHANGES) for each in learned)
    yield _at_most(f"{what}: 429s a run, less 1 a change, median", refusals, _REFUSALS, "")
    yield _at_most(f"{what}: calls undone", sum(each.undone for each in learned), 0, "")


def _lead(other: str, by_throttle: dict[str, list[Score]]) -> Figure:
    ours, theirs = ([each.of_oracle for each in by_throttle[name]] for name in (_OURS, other))
    holds = median(ours) > median(theirs) and _p5(ours) > _p5(theirs)
    measured = f"{median(ours):.3f} and {_p5(ours):.3f} beside {median(theirs):.3f} and {_p5(theirs):.3f}"
    return Figure(f"{_OURS} beside {other}: oracle / makespan, median and p5", "both ahead", measured, holds)


def _tables(ours: Sequence[Score], by_throttle: dict[str, list[Score]]) -> str:
    everywhere = _group(ours, lambda each: each.throttle)
    rows = [_row(f"{name}, all", everywhere[name]) for name in (ORACLE, _OURS)]
    rows += [_row(name, by_throttle[name]) for name in (ORACLE, _OURS, *_OTHERS)]
    by_kind = format_table(_KIND_HEAD, _kinds(everywhere[_OURS]))
    words = f"`{_OURS}` over all regimes, oracle / makespan by family and by event:"
    return f"{format_table(_HEAD, rows)}\n{words}\n\n{by_kind}"


def _row(name: str, scores: Sequence[Score]) -> tuple[str, ...]:
    return (
        name,
        f"{len(scores):,}",
        _spread([each.efficiency for each in scores]),
        _spread([each.of_oracle for each in scores]),
        f"{fmean(each.refusals / each.calls for each in scores):.2f}",
        f"{median(each.refusals for each in scores):g}",
        f"{sum(each.undone for each in scores):,}",
        _middle([each.to_capacity for each in scores], "{:.0%}"),
        _middle([each.recovery for each in scores], "{:.0%}"),
        _middle([each.smaller_share for each in scores], "{:.2f}"),
    )


def _kinds(scores: Sequence[Score]) -> Iterator[tuple[str, ...]]:
    """A row for every family, then for every event: oracle / makespan."""
    for family, group in _group(scores, lambda each: each.family).items():
        yield family, "any", *_kind(group)
    for event, group in _group(scores, lambda each: each.event).items():
        yield "any", event, *_kind(group)


def _kind(scores: Sequence[Score]) -> tuple[str, ...]:
    ratios = [each.of_oracle for each in scores]
    below = fmean(ratio < _P5 for ratio in ratios)
    return f"{len(ratios):,}", f"{median(ratios):.3f}", f"{_p5(ratios):.3f}", f"{below:.1%}"


def _group(scores: Sequence[Score], key: Callable[[Score], str]) -> dict[str, list[Score]]:
    return {name: list(group) for name, group in groupby(sorted(scores, key=key), key)}


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3f}, {_p5(values):.3f}, {min(values):.3f}"


def _middle(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    middle = median(known) if known else None
    return "-" if middle is None else form.format(middle) if math.isfinite(middle) else "never"


def _p5(values: Sequence[float]) -> float:
    """The smallest value that at least 5 % of `values` do not exceed."""
    return sorted(values)[math.ceil(0.05 * len(values)) - 1]


def _at_least(what: str, measured: float, wanted: float) -> Figure:
    return Figure(what, f">= {wanted:g}", f"{measured:.3f}", measured >= wanted)


def _at_most(what: str, measured: float, wanted: float, unit: str) -> Figure:
    return Figure(what, f"<= {wanted:g} {unit}".rstrip(), f"{measured:.4g} {unit}".rstrip(), measured <= wanted)
