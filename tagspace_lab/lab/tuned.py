"""What a study found: the settings, the numbers that speak for them, and every trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.exhaustive import Regret
from tagspace_lab.lab.facts import rounded
from tagspace_lab.lab.goals import name_missed
from tagspace_lab.lab.objective import Goals, Measured, Verdict, pool
from tagspace_lab.lab.profiles import Provenance, with_rates, write_profile
from tagspace_lab.lab.search import Trial
from tagspace_lab.lab.verify import Verification
from tagspace_lab.records import Rates
from tagspace_lab.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SEARCHED", "Front", "Trial", "Tuned"]

SEARCHED = ("ai_concurrency", "max_ai_concurrency", "batch_size", "cache_enabled", "cache_size")


@dataclass(frozen=True, slots=True)
class Front:
    """Settings of which none is better in makespan, tokens and 429s at once; `at` is the position of the knee."""

    verdicts: tuple[Verdict, ...]
    at: int

    @property
    def knee(self) -> Settings:
        """The settings that are nearest to the best of everything."""
        return self.verdicts[self.at].settings

    @property
    def table(self) -> pd.DataFrame:
        """One row a point, fastest first: the five settings, makespan_s and tokens (means of a run),
        rate_limit_share (429s per request), f1_loss, and knee (bool)."""
        rows = [
            {name: getattr(verdict.settings, name) for name in SEARCHED}
            | dict(zip(("makespan_s", "tokens", "rate_limit_share"), verdict.values, strict=True))
            | {"f1_loss": verdict.f1_loss, "knee": number == self.at}
            for number, verdict in enumerate(self.verdicts)
        ]
        return pd.DataFrame(rows).sort_values("makespan_s", kind="stable", ignore_index=True)

    def overview(self) -> pd.DataFrame:
        """The same in words, the index `point`."""
        rows = [
            {
                "concurrency": f"{row['ai_concurrency']}-{row['max_ai_concurrency']}",
                "batch": f"{row['batch_size']}",
                "cache": f"{row['cache_size']}" if row["cache_enabled"] else "off",
                "makespan": f"{row['makespan_s']:.1f} s",
                "tokens": f"{row['tokens']:,.0f}",
                "429s": f"{row['rate_limit_share']:.2%}",
                "": "knee" if row["knee"] else "",
            }
            for row in self.table.to_dict("records")
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="point"))


@dataclass(frozen=True, eq=False, repr=False)
class Tuned:
    """The result of a study. Every number but those of `trials` was measured on seeds that the study never saw.

    `verification` compares today's settings with the study's best; `study_seeds` are the trials' seeds. `missed` are
    the limits, in the user's words, that today's settings miss and the study's best keeps. `front` is
    there where a Pareto front was sought, `regret` where the whole grid was measured, too.
    """

    verification: Verification
    goals: Goals
    study_seeds: tuple[int, ...]
    history: tuple[Trial, ...]
    missed: tuple[str, ...] = ()
    front: Front | None = None
    regret: Regret | None = None

    @property
    def improved(self) -> bool:
        """Whether the study's best beats today's settings beyond doubt, or keeps limits that they miss, without more
        errors."""
        before, after = self.verification.before, self.verification.after
        return self.verification.holds or bool(self.missed and pool(after).errors <= pool(before).errors)

    @property
    def settings(self) -> Settings:
        """The study's best where that holds, else today's."""
        today, best = self.verification.settings
        return best if self.improved else today

    @property
    def before(self) -> Measured:
        """Today's settings on fresh seeds."""
        return pool(self.verification.before)

    @property
    def after(self) -> Measured:
        """`settings` on the same seeds."""
        return pool(self.verification.after if self.improved else self.verification.before)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by `trial` (0 is today's settings), measured on the study's own seeds.

        Columns: origin (str), the five settings searched, objective_s (float64, s with prices), feasible
        (bool), partial (bool: given up after some of the seeds), makespan_s, bound_s, best_bound_s (float64, s, mean
        of all runs), rate_limit_share (429s per request), calls, tokens and concurrency (mean of a run), hit_rate,
        f1 (NaN without gold labels), errors (int64, pages), f1_loss (against batch size 1).
        """
        rows = [
            {"trial": trial.number, "origin": trial.origin}
            | {name: getattr(trial.verdict.settings, name) for name in SEARCHED}
            | {"objective_s": trial.verdict.objective_s, "feasible": trial.verdict.feasible}
            | {"partial": trial.verdict.is_partial}
            | asdict(trial.verdict.measured)
            | {"f1_loss": trial.verdict.f1_loss}
            for trial in self.history
        ]
        return pd.DataFrame(rows).set_index("trial").astype({"f1": "float64"})

    def overview(self) -> pd.DataFrame:
        """The numbers that people look at first, worded: before, after, bound; makespans are medians."""
        spans = {
            f"makespan, run {run + 1}": [f"{span:.1f} s" for span in self._spans(run)]
            for run in range(len(self.verification.before[0]))
        }
        sides = (self.verification.settings[0], self.before), (self.settings, self.after)
        numbers = {name: [word(*side) for side in sides] + [""] for name, word in _WORDED.items()}
        return pd.DataFrame.from_dict(spans | numbers, orient="index", columns=["before", "after", "bound"])

    def verdict(self) -> str:
        """A few sentences."""
        proof = self.verification
        told = f" {self._told(self.regret)}" if self.regret else ""
        limits = " and ".join(self.missed)
        if proof.settings[0] == proof.settings[1]:
            return f"Nothing beat today's settings on fresh seeds: they are kept.{self._unkept()}{told}"
        if not self.improved:
            return f"{proof.verdict()} Today's settings are kept.{self._unkept()}{told}"
        if proof.holds:
            kept = f" It keeps the limit on {limits}, which today's settings miss." if limits else ""
            return f"{proof.verdict()}{kept}{told}"
        return (
            f"tuned keeps the limit on {limits}, which today's settings miss. It {proof.word_gain()} over "
            f"{len(proof.seeds)} fresh seeds, with no more errors.{told}"
        )

    def provenance(self) -> Provenance:
        """The header of the exported profile; its makespans are those of the first run, the notes have the others."""
        proof = self.verification
        space, scenario, seeds = proof.space, proof.scenario, proof.seeds
        (before_s, after_s, bound_s), *reruns = [self._spans(run) for run in range(len(self.verification.before[0]))]
        notes = [
            f"makespan of run {number}, after edits: {before:.1f} s before, {after:.1f} s after, bound {bound:.1f} s"
            for number, (before, after, bound) in enumerate(reruns, 2)
        ]
        return Provenance(
            space=space["name"],
            space_hash=space["content_hash"],
            scenario=scenario["name"],
            scenario_hash=scenario["content_hash"],
            seeds=self.study_seeds,
            trials=len(self.history),
            before_s=before_s,
            after_s=after_s,
            bound_s=bound_s,
            verified=True,
            notes=(
                *notes,
                f"medians over the fresh seeds {' '.join(map(str, seeds))}; run 1 on day {proof.first_day} with a cold "
                "cache, later ones with a warm cache",
                f"sought: {self.goals.seek}, over the {self.goals.over} of {len(proof.places)} place(s)",
                self.verdict(),
            ),
        )

    def export(self, path: str | Path, *, rates: Rates = Rates(), force: bool = False) -> None:  # noqa: B008 - frozen
        """Write the settings and their provenance as a profile; InputError where it exists and `force` is not set.

        `rates`: those that a run is to start at, such as `replay(...).rates`.
        """
        write_profile(Path(path), with_rates(self.settings, rates), self.provenance(), force=force)

    def to_dict(self) -> dict[str, Any]:
        """The document that `tune --json` prints; numbers are rounded to 6 decimals, F1 may be null."""
        return {
            "space": self.verification.space,
            "scenario": self.verification.scenario,
            "settings": self.settings.to_variables(),
            "improved": self.improved,
            "trials": len(self.history),
            "seeds": list(self.study_seeds),
            "goals": self.goals.to_dict(),
            "before": rounded(asdict(self.before)),
            "after": rounded(asdict(self.after)),
            "verification": self.verification.to_dict(),
            "front": _records(self.front.table) if self.front else None,
            "regret": self.regret.to_dict() if self.regret else None,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The objective of every trial, the best so far, today's settings, and what missed a goal."""
        from tagspace_lab.lab.plots import plot_trials

        return plot_trials(self, ax=ax)

    def __repr__(self) -> str:
        return f"{self.overview().to_string()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        title = f"{self.verification.title}: {len(self.history)} trials"
        return render_card(title, self.overview(), [self.verdict()])

    def _unkept(self) -> str:
        """The limits that today's settings miss on the study's seeds, where they are the result all the same."""
        missed = " and ".join(name_missed(self.history[0].verdict.excess))
        if not missed:
            return ""
        kept = sum(trial.verdict.feasible for trial in self.history)
        proved = f"{kept} of {len(self.history)} trials kept all, but none of them proved it on fresh seeds"
        tried = proved if kept else "no trial kept all"
        return f" They miss the limit on {missed}: {tried}; loosen one, or try more."

    @staticmethod
    def _told(regret: Regret) -> str:
        cost = f"{abs(regret.share):.1%} {'less' if regret.share < 0 else 'more'}"
        return f"The study's best costs {cost} than the best of {regret.points:,} points, on seeds that chose neither."

    def _spans(self, run: int) -> tuple[float, float, float]:
        """Median makespans of one run before and after, and the best bound of any settings, in s."""
        before, after = self.verification.sides[:2]
        sides = (before, after if self.improved else before)
        bounds = (median(replay[run].best_bound_s for replay in side.replays) for side in sides)
        spans = [self.verification.makespan_s(side, run) for side in sides]
        return spans[0], spans[1], min(bounds)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain numbers, rounded."""
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    return [rounded(row) for row in rows]


_WORDED: dict[str, Callable[[Settings, Measured], str]] = {
    "429s": lambda settings, measured: f"{measured.rate_limit_share:.2%}",
    "F1": lambda settings, measured: "no gold labels" if measured.f1 is None else f"{measured.f1:.3f}",
    "errors": lambda settings, measured: f"{measured.errors}",
    "tokens of a run": lambda settings, measured: f"{measured.tokens:,.0f}",
    "cache hits": lambda settings, measured: f"{measured.hit_rate:.0%}",
    "concurrency": lambda settings, measured: f"{settings.ai_concurrency}, at most {settings.max_ai_concurrency}",
    "batch size": lambda settings, measured: f"{settings.batch_size}",
    "cache": lambda settings, measured: f"{settings.cache_size} entries" if settings.cache_enabled else "off",
}
