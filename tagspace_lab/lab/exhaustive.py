"""Every point of a grid, and how far a study's result is from the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tagspace_lab.lab.objective import Referee, Verdict
from tagspace_lab.lab.search import Problem
from tagspace_lab.lab.watch import watch
from tagspace_lab.settings import Settings

__all__ = ["Regret", "find_regret", "lay_grid"]

_CEILINGS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 26, 34, 44, 58, 76, 100)
_STARTS = (0.0, 0.5, 1.0)
_BATCHES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 32, 40, 50)
_CACHES = (0.5, 1.0)  # of the largest space
_CONTENDERS = 20


@dataclass(frozen=True, slots=True)
class Regret:
    """What a study missed: its result beside the best of `points` settings, both on seeds that chose neither.

    `share` is how much more the result costs than the best, as a share; below 0 where it costs less than any point.
    """

    points: int
    best: Verdict
    result: Verdict

    @property
    def share(self) -> float:
        return self.result.objective_s / self.best.objective_s - 1 if self.best.objective_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "points": self.points,
            "share": round(self.share, 6),
            "best": self.best.settings.to_variables(),
            "best_objective_s": round(self.best.objective_s, 6),
            "result_objective_s": round(self.result.objective_s, 6),
        }


def lay_grid(problem: Problem) -> list[Settings]:
    """Some 2,000 settings if everything is varied, fewer else; each once, today's among them."""
    pages = max(len(place.space) for place in problem.referee.workers.places)
    axes: dict[str, Sequence[dict[str, Any]]] = {
        "concurrency": [
            {"ai_concurrency": 1 + round(share * (ceiling - 1)), "max_ai_concurrency": ceiling}
            for ceiling, share in product(_CEILINGS, _STARTS)
        ],
        "batch_size": [{"batch_size": size} for size in _BATCHES],
        "cache_enabled": [{"cache_enabled": True}, {"cache_enabled": False}],
        "cache_size": [{"cache_size": max(1, round(share * pages))} for share in _CACHES],
    }
    return list(dict.fromkeys([problem.today, *_combine(problem.today, [axes[name] for name in problem.varied])]))


def _combine(today: Settings, axes: Sequence[Sequence[dict[str, Any]]]) -> Iterator[Settings]:
    for combination in product(*axes):
        changes = {name: value for part in combination for name, value in part.items()}
        settings = today.with_changes(**changes)
        yield settings if settings.cache_enabled else settings.with_changes(cache_size=today.cache_size)


def find_regret(
    problem: Problem, result: Settings, choosing: Sequence[int], truth: Sequence[int], *, progress: bool = True
) -> Regret:
    """Measure the grid on the study's seeds, its best twenty on `choosing`, and the best of these on `truth`."""
    grid, referee = lay_grid(problem), problem.referee
    verdicts = []
    with watch(len(grid), "point", "whole grid", shown=progress) as view:
        for verdict in referee.judge(grid):
            verdicts.append(verdict)
            view.advance()
    best = find_best(verdicts, referee, choosing)
    last = anew(referee, truth, problem.today)
    best_verdict, result_verdict = last.judge([best, result])
    return Regret(len(grid), best_verdict, result_verdict)


def find_best(
    verdicts: Sequence[Verdict], referee: Referee, choosing: Sequence[int], contenders_at_most: int = _CONTENDERS
) -> Settings:
    """The best of so many of the best that keep the goals, measured again on other seeds."""
    kept = sorted((each for each in verdicts if each.feasible), key=lambda each: each.objective_s)
    kept = kept[:contenders_at_most]
    today = verdicts[0].settings
    contenders = [each.settings for each in kept] or [today]
    again = list(anew(referee, choosing, today).judge(contenders))
    return min([each for each in again if each.feasible] or again, key=lambda each: each.objective_s).settings


def anew(referee: Referee, seeds: Sequence[int], today: Settings) -> Referee:
    """The same referee on other seeds."""
    return Referee.prepare(referee.workers, today, referee.goals, seeds, referee.runs, referee.first_day)
