"""What a replay shows: a summary of each run, every attempt and every page, as data, JSON, table and picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from tagspace_lab.lab.yardstick import LEFT_OUT, Bounds
from tagspace_lab.pipeline.metrics import mean_in_flight
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.records import Outcome, Status
from tagspace_lab.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["STANDING_NOTES", "Report", "RunSummary", "overview", "summarise_run"]

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


@dataclass(frozen=True, eq=False)
class Report:
    """One replay. Shows itself in a notebook; `summary`, `attempts` and `pages` are pandas DataFrames."""

    space: dict[str, Any]
    scenario: dict[str, Any]
    settings: Settings
    seed: int
    baseline: bool
    wall_clock: bool
    runs: tuple[RunSummary, ...]
    results: tuple[RunResult, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a run, indexed by `run` (1, 2, ...); columns, units and meanings as in :class:`RunSummary`."""
        return pd.DataFrame([asdict(run) for run in self.runs]).set_index("run")

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row a request to a provider, in the order in which they started.

        Columns: run, call, number (int64: the number-th try of that prompt), provider, outcome
        (category), status (int64, HTTP; 0 without an answer), started_s, ended_s, waited_s (float64,
        seconds since the run began; time in the queue), pages, input_tokens, output_tokens,
        cached_tokens, in_flight (int64), window (float64: calls that the throttle allowed), retry_after_s
        (float64, NaN where the answer gave none).
        """
        names = (
            *("call", "number", "provider", "outcome", "status", "started_s", "ended_s", "waited_s", "pages"),
            *("input_tokens", "output_tokens", "cached_tokens", "in_flight", "window", "retry_after_s"),
        )
        rows = [
            (number, *(getattr(attempt, name) for name in names))
            for number, result in enumerate(self.results, 1)
            for attempt in sorted(result.attempts, key=lambda attempt: (attempt.started_s, attempt.call))
        ]
        frame = pd.DataFrame(rows, columns=["run", *names])
        return frame.astype(
            dict.fromkeys(("run", "call", "number", "status", "pages", "in_flight"), "int64")
            | dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens"), "int64")
            | dict.fromkeys(("started_s", "ended_s", "waited_s", "window", "retry_after_s"), "float64")
            | {
                "provider": pd.CategoricalDtype(["primary", "fallback"]),
                "outcome": pd.CategoricalDtype([str(outcome) for outcome in Outcome]),
            }
        )

    @cached_property
    def pages(self) -> pd.DataFrame:
        """One row a page and run, in the order in which pages ended.

        Columns: run (int64), page_id (string), status (category), labels (tuple of strings), reason
        (string, empty for a page that has labels).
        """
        rows = [
            (number, tagging.page_id, str(tagging.status), tagging.labels, tagging.reason)
            for number, result in enumerate(self.results, 1)
            for tagging in result.results
        ]
        frame = pd.DataFrame(rows, columns=["run", "page_id", "status", "labels", "reason"])
        statuses = pd.CategoricalDtype([str(status) for status in Status])
        return frame.astype({"run": "int64", "page_id": "str", "status": statuses, "reason": "str"})

    def concurrency(self, run: int = 1) -> pd.Series:
        """Calls in flight over time: values at the instants (index, seconds since the run began) where they change."""
        from tagspace_lab.pipeline.metrics import in_flight_steps

        steps = dict(in_flight_steps(self.results[run - 1].attempts))
        return pd.Series(steps, name="in_flight", dtype="int64").rename_axis("time_s")

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
            "runs": [_rounded(asdict(run)) for run in self.runs],
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

    def _errors(self) -> list[Any]:
        return [tagging for result in self.results for tagging in result.results if tagging.status is Status.ERROR]

    def _repr_html_(self) -> str:
        title = f"{self.space['name']}: {self.space['pages']} pages, scenario {self.scenario['name']}, seed {self.seed}"
        notes = "".join(f"<li>{note}</li>" for note in self.notes)
        return f"<p><b>{title}</b></p>{overview(self.runs).to_html()}<ul>{notes}</ul>"

    def __str__(self) -> str:
        return overview(self.runs).to_string()


def overview(runs: Sequence[RunSummary]) -> pd.DataFrame:
    """The numbers that people look at first, worded: one column a run."""
    rows = {
        f"run {run.run}": {
            "makespan": f"{run.makespan_s:.1f} s",
            "bound": f"{run.bound_s:.1f} s ({run.binds})",
            "best bound": f"{run.best_bound_s:.1f} s",
            "efficiency": f"{run.efficiency:.0%}",
            "calls": f"{run.calls}",
            "429s": f"{run.rate_limit_errors} ({run.rate_limit_share:.1%})",
            "retries, fallbacks": f"{run.retries}, {run.fallbacks}",
            "cache hits": f"{run.hit_rate:.0%}",
            "settled concurrency": f"{run.settled_concurrency:.1f}",
            "tokens": f"{run.input_tokens + run.output_tokens:,}",
            "F1": "no gold labels" if run.f1 is None else f"{run.f1:.3f}",
            "errors": f"{run.errors}",
        }
        for run in runs
    }
    return pd.DataFrame(rows)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
