"""The tables of a report, as pandas DataFrames.

Their columns are told where a report offers them. Importing pandas takes longer than most replays, so this
module is imported when the first table is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from tagspace_lab.pipeline.metrics import in_flight_steps
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.records import Attempt, Outcome, Status

if TYPE_CHECKING:
    from tagspace_lab.lab.report import RunSummary

__all__ = ["attempts_table", "in_flight_series", "overview", "pages_table", "runs_table"]

_COUNTS = (
    *("run", "call", "number", "status", "pages", "in_flight", "queued"),
    *("input_tokens", "output_tokens", "cached_tokens"),
)
_SECONDS = ("started_s", "ended_s", "waited_s", "retry_after_s")


def runs_table(runs: Sequence[RunSummary]) -> pd.DataFrame:
    """One row a run, indexed by `run`."""
    return pd.DataFrame([asdict(run) for run in runs]).set_index("run")


def attempts_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """One row a request to a provider, run by run in the order in which they started."""
    names = (
        *("call", "number", "provider", "outcome", "status", "started_s", "ended_s", "waited_s", "pages"),
        *(
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "in_flight",
            "window",
            "retry_after_s",
            "pace_per_s",
            "queued",
        ),
    )
    rows = [
        (number, *(getattr(attempt, name) for name in names))
        for number, result in enumerate(results, 1)
        for attempt in sorted(result.attempts, key=lambda attempt: (attempt.started_s, attempt.call))
    ]
    frame = pd.DataFrame(rows, columns=["run", *names]).replace({"pace_per_s": {math.inf: math.nan}})
    return frame.astype(
        dict.fromkeys(_COUNTS, "int64")
        | dict.fromkeys((*_SECONDS, "window", "pace_per_s"), "float64")
        | {
            "provider": pd.CategoricalDtype(["primary", "fallback"]),
            "outcome": pd.CategoricalDtype([str(outcome) for outcome in Outcome]),
        }
    )


def pages_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """One row a page and run, in the order in which pages ended."""
    rows = [
        (number, tagging.page_id, str(tagging.status), tagging.labels, tagging.reason)
        for number, result in enumerate(results, 1)
        for tagging in result.results
    ]
    frame = pd.DataFrame(rows, columns=["run", "page_id", "status", "labels", "reason"])
    statuses = pd.CategoricalDtype([str(status) for status in Status])
    return frame.astype({"run": "int64", "page_id": "str", "status": statuses, "reason": "str"})


def in_flight_series(attempts: Sequence[Attempt]) -> pd.Series:
    """Calls in flight from each instant on at which they change (the index, in s)."""
    return pd.Series(dict(in_flight_steps(attempts)), name="in_flight", dtype="int64").rename_axis("time_s")


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
