"""What a replay shows: a summary of each run, every attempt and every page, as data, JSON, table and picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagspace_lab.errors import InputError
from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.facts import rounded, space_facts
from tagspace_lab.lab.profiles import Provenance, with_rates, write_profile
from tagspace_lab.lab.yardstick import LEFT_OUT, Bounds
from tagspace_lab.pipeline.metrics import mean_in_flight
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.records import Rates, Space, Status
from tagspace_lab.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["STANDING_NOTES", "Report", "RunSummary", "summarise_run"]

STANDING_NOTES = (
    "Quality is modelled: the twin answers with the gold labels, wrong or missing as the scenario states.",
    LEFT_OUT,
)
"""What a reader of any report has to know."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in numbers; the keys of `runs` in the JSON of a replay.

    `pages` came out, of which `tagged` by a question, `cached` without one, `skipped` (no text),
    `stopped` or `errors`. `makespan_s`, `bound_s` and `best_bound_s` are seconds; `efficiency` is
    bound_s / makespan_s and `best_efficiency` best_bound_s / makespan_s, 0 to 1. `calls` counts prompts,
    `attempts` requests; `rate_limit_share` is 429s / attempts. `hit_rate` is a share of look-ups.
    `settled_concurrency` is the mean of calls in flight from half to nine tenths of the makespan.
    `f1` is None where the space has no gold labels.
    """

    run: int
    pages: int
    tagged: int
    cached: int
    skipped: int
    stopped: int
    errors: int
    makespan_s: float
    bound_s: float
    binds: str
    best_bound_s: float
    efficiency: float
    best_efficiency: float
    pages_per_s: float
    calls: int
    attempts: int
    rate_limit_errors: int
    rate_limit_share: float
    retries: int
    fallbacks: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    hits: int
    misses: int
    hit_rate: float
    evictions: int
    cache_entries: int
    peak_concurrency: int
    mean_concurrency: float
    settled_concurrency: float
    f1: float | None


def summarise_run(number: int, result: RunResult, bounds: Bounds, f1: float | None) -> RunSummary:
    """The numbers of one run."""
    metrics, cache, span_s = result.concurrency_metrics, result.cache_stats, result.makespan_s
    ends = [tagging.status for tagging in result.results]
    return RunSummary(
        run=number,
        pages=result.processed,
        tagged=ends.count(Status.TAGGED),
        cached=ends.count(Status.CACHED),
        skipped=ends.count(Status.SKIPPED),
        stopped=ends.count(Status.STOPPED),
        errors=result.errors,
        makespan_s=span_s,
        bound_s=bounds.own.seconds,
        binds=bounds.own.binds,
        best_bound_s=bounds.best.seconds,
        efficiency=bounds.own.seconds / span_s if span_s else 1.0,
        best_efficiency=bounds.best.seconds / span_s if span_s else 1.0,
        pages_per_s=result.processed / span_s if span_s else 0.0,
        calls=metrics.total_ai_calls,
        attempts=metrics.attempts,
        rate_limit_errors=metrics.rate_limit_errors,
        rate_limit_share=metrics.rate_limit_errors / metrics.attempts if metrics.attempts else 0.0,
        retries=metrics.retries,
        fallbacks=metrics.fallbacks,
        input_tokens=sum(attempt.input_tokens for attempt in result.attempts),
        output_tokens=sum(attempt.output_tokens for attempt in result.attempts),
        cached_tokens=sum(attempt.cached_tokens for attempt in result.attempts),
        hits=cache.hits,
        misses=cache.misses,
        hit_rate=cache.hit_rate,
        evictions=cache.evictions,
        cache_entries=cache.size,
        peak_concurrency=metrics.peak_concurrency,
        mean_concurrency=metrics.mean_concurrency,
        settled_concurrency=mean_in_flight(result.attempts, span_s * 0.5, span_s * 0.9),
        f1=f1,
    )


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """One replay. Shows itself in a notebook; `summary`, `attempts` and `pages` are pandas DataFrames."""

    source: Space
    scenario: dict[str, Any]
    settings: Settings
    seed: int
    baseline: bool
    wall_clock: bool
    runs: tuple[RunSummary, ...]
    results: tuple[RunResult, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def space(self) -> dict[str, Any]:
        """Name, key, number of pages and content hash of the space; the hash, when first asked, reads every page."""
        return space_facts(self.source)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a run, indexed by `run` (1, 2, ...); columns, units and meanings as in :class:`RunSummary`."""
        from tagspace_lab.lab.tables import runs_table

        return runs_table(self.runs)

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row a request to a provider, in the order in which they started.

        Columns: run, call, number (int64: the number-th try of that prompt), provider, outcome
        (category), status (int64, HTTP; 0 without an answer), started_s, ended_s, waited_s (float64,
        seconds since the run began; time in the queue), pages, input_tokens, output_tokens,
        cached_tokens, in_flight (int64), window (float64: calls that the throttle allowed), retry_after_s
        (float64, NaN where the answer gave none), pace_per_s (float64: calls a second that the throttle
        allowed at the start, NaN where nothing paced), queued (int64: calls that waited behind this one then).
        """
        from tagspace_lab.lab.tables import attempts_table

        return attempts_table(self.results)

    @cached_property
    def pages(self) -> pd.DataFrame:
        """One row a page and run, in the order in which pages ended.

        Columns: run (int64), page_id (string), status (category), labels (tuple of strings), reason
        (string, empty for a page that has labels).
        """
        from tagspace_lab.lab.tables import pages_table

        return pages_table(self.results)

    def concurrency(self, run: int = 1) -> pd.Series:
        """Calls in flight over time: values at the instants (index, seconds since the run began) where they change."""
        from tagspace_lab.lab.tables import in_flight_series

        return in_flight_series(self.results[run - 1].attempts)

    @property
    def rates(self) -> Rates:
        """What the throttle learned of the primary's limits, in the last run that learned anything."""
        learned = [result.learned for result in self.results if result.learned != Rates()]
        return learned[-1] if learned else Rates()

    def keep_rates(self, path: str | Path, *, force: bool = False) -> None:
        """Write the settings and the learned rates as a profile: a run that starts with it skips the discovery.

        InputError where nothing was learned, where the file exists and `force` is not set, or where it cannot be
        written.
        """
        if self.rates == Rates():
            raise InputError(
                f"{self.source.name} on {self.scenario['name']}: nothing was refused or stated, so there is no rate to "
                "keep. Run with the profile that you have."
            )
        first = self.runs[0]
        provenance = Provenance(
            space=self.space["name"],
            space_hash=self.space["content_hash"],
            scenario=self.scenario["name"],
            scenario_hash=self.scenario["content_hash"],
            seeds=(self.seed,),
            trials=0,
            before_s=first.makespan_s,
            after_s=first.makespan_s,
            bound_s=first.bound_s,
            notes=("the settings of a replay, with the rates that its throttle learned of this scenario",),
        )
        write_profile(Path(path), with_rates(self.settings, self.rates), provenance, force=force)

    @property
    def failed(self) -> bool:
        """Whether a page ended as an error, or the listing broke off."""
        return any(run.errors for run in self.runs) or any(result.broke_off for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """The document that `replay --json` prints; numbers are rounded to 6 decimals."""
        return {
            "space": self.space,
            "scenario": self.scenario,
            "settings": self.settings.to_variables(),
            "seed": self.seed,
            "baseline": self.baseline,
            "wall_clock": self.wall_clock,
            "runs": [rounded(asdict(run)) for run in self.runs],
            "learned": asdict(self.rates),
            "errors": sorted({tagging.reason for tagging in self._errors()}),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """`to_dict` as indented JSON; the same bytes for the same seed."""
        return json.dumps(self.to_dict(), indent=2)

    def plot(self, ax: Axes | None = None, run: int = 1) -> Axes:
        """Calls in flight, refusals and the bound of one run over time."""
        from tagspace_lab.lab.plots import plot_run

        return plot_run(self, ax=ax, run=run)

    def plot_throttle(self, ax: Axes | None = None, run: int = 1) -> Axes:
        """Window, pace, queue and 429s of the primary provider over the time of one run."""
        from tagspace_lab.lab.plots import plot_throttle

        return plot_throttle(self, ax=ax, run=run)

    def _errors(self) -> list[Any]:
        return [tagging for result in self.results for tagging in result.results if tagging.status is Status.ERROR]

    def _repr_html_(self) -> str:
        from tagspace_lab.lab.tables import overview

        title = f"{self.source.name}: {len(self.source)} pages, scenario {self.scenario['name']}, seed {self.seed}"
        return render_card(title, overview(self.runs), self.notes)

    def __repr__(self) -> str:
        from tagspace_lab.lab.tables import overview

        return overview(self.runs).to_string()
