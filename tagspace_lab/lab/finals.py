"""The last choice among what a study found, on seeds that its search never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tagspace_lab.lab.objective import Referee, Verdict
from tagspace_lab.lab.pareto import find_front, find_knee
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.search import Trial, rank, spread
from tagspace_lab.lab.tuned import Front
from tagspace_lab.lab.watch import watch
from tagspace_lab.settings import Settings

__all__ = ["choose", "choose_front"]

_FEWEST = 3
_FRONT = 8


def choose(final: Referee, today: Settings, trials: Sequence[Trial], *, progress: bool = True) -> Settings:
    """The best of the finalists on the referee's seeds; today's settings where none of them is better.

    A finalist for every fourth trial, the best first. At most two have the same batch size where there are others:
    what the few seeds of a search say of different batch sizes is mostly luck, as their calls are not the same ones.
    All are replayed on the first half of the seeds, and the better half of them on the others, too.
    """
    ranking = [settings for settings in rank([trial.verdict for trial in trials]) if settings != today]
    finalists = spread(ranking, max(_FEWEST, len(trials) // 4), each=2)
    middle, better = math.ceil(len(final.seeds) / 2), math.ceil(len(finalists) / 2)
    replays: dict[Settings, list[Sequence[RunSummary]]] = {settings: [] for settings in finalists}
    verdicts: list[Verdict] = []
    total = final.places * (len(finalists) * middle + better * (len(final.seeds) - middle))
    with watch(total, "replay", "choosing", shown=progress) as view:
        for seeds in (final.seeds[:middle], final.seeds[middle:]):
            measured = final.workers.measure_each(finalists, seeds, final.runs, first_day=final.first_day)
            for settings, more in zip(finalists, measured, strict=True):
                replays[settings] += more
                view.advance(len(more))
            verdicts = [final.rule(settings, replays[settings]) for settings in finalists]
            verdicts = sorted((each for each in verdicts if each.feasible), key=lambda each: each.objective_s)
            finalists = [verdict.settings for verdict in verdicts[:better]]
    todays = final.rule(today, final.todays)
    return min([*verdicts, todays], key=lambda verdict: verdict.objective_s).settings


def choose_front(final: Referee, today: Settings, trials: Sequence[Trial], *, progress: bool = True) -> Front:
    """The front of the trials, eight of it at most, as it is on fresh seeds; today's settings may be a part of it."""
    feasible = {trial.verdict.settings: trial.verdict for trial in trials if trial.verdict.feasible}
    verdicts = list(feasible.values())
    members = [verdicts[number] for number in find_front([verdict.values for verdict in verdicts])]
    members.sort(key=lambda verdict: verdict.values)
    members = members[:: max(1, -(-len(members) // _FRONT))]
    again = []
    with watch(len(members) * len(final.todays), "replay", "choosing", shown=progress) as view:
        for verdict in final.judge([member.settings for member in members]):
            again.append(verdict)
            view.advance(len(final.todays))
    kept = [verdict for verdict in again if verdict.feasible] or again or [final.rule(today, final.todays)]
    best = [kept[number] for number in find_front([verdict.values for verdict in kept])]
    return Front(tuple(best), find_knee([verdict.values for verdict in best]))
