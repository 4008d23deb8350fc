"""`tagspace-lab replay`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.endings import FAILED
from tagspace_lab.cli.options import AsJson, Force, ProfileName, Runs, ScenarioName, Seed, SpaceName, examples
from tagspace_lab.cli.screen import print_frame, print_json, say

if TYPE_CHECKING:
    from tagspace_lab.lab.report import Report
    from tagspace_lab.pipeline.traces import TraceWriter

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab replay medium --scenario openai-tier1",
        "tagspace-lab replay docs.jsonl.gz --scenario mine.toml --profile tuned.env",
        "tagspace-lab replay large --scenario blind-bucket --keep-rates learned.env",
        "tagspace-lab replay medium --scenario blind-bucket --trace run.jsonl",
        "tagspace-lab replay small --json | jq '.runs[].makespan_s'",
    )
)
def replay(
    space: SpaceName,
    scenario: ScenarioName = "openai-tier1",
    profile: ProfileName = "default",
    seed: Seed = 0,
    runs: Runs = 2,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="The way of before: one page a call, no cache, fixed concurrency.")
    ] = False,
    wall_clock: Annotated[
        bool, typer.Option("--wall-clock", help="Over real sockets and in real time: takes as long as it says.")
    ] = False,
    keep_rates: Annotated[
        Path | None,
        typer.Option("--keep-rates", metavar="FILE.env", help="Write a profile with the rates that were learned."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Append every attempt to a trace, for `calibrate`."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Tag a space in the simulated world and report what it took.

    Each run after the first sees the edits of one more day and the cache of the runs before.
    Ends with 1 where a page ended as an error. The same seed gives the same bytes.
    A run with the profile of --keep-rates starts at the rates that this one ended at.

    --json prints {space, scenario, settings, seed, baseline, wall_clock, runs, learned, errors,
    notes}: learned holds requests_per_min and tokens_per_min, null where nothing was refused or
    stated; errors are the distinct reasons of failed pages. Each of runs holds
      run                  1, 2, ...
      pages                that came out: tagged + cached + skipped (no text) + stopped + errors
      makespan_s           seconds from start to end
      bound_s, binds       no schedule of these calls ends sooner; the limit that says so
      best_bound_s         the same over every batch size and concurrency
      efficiency           bound_s / makespan_s; best_efficiency: best_bound_s / makespan_s
      pages_per_s          pages / makespan_s
      calls, attempts      prompts, and requests made for them
      rate_limit_errors    429s; rate_limit_share: 429s / attempts
      retries, fallbacks   attempts after a prompt's first; attempts at the other provider
      input_tokens, output_tokens, cached_tokens
      hits, misses, hit_rate, evictions, cache_entries
      peak_concurrency, mean_concurrency, settled_concurrency   calls in flight
      f1                   against gold labels; null where there are none
    """
    from tagspace_lab.lab.files import check_writable
    from tagspace_lab.lab.replay import replay as run

    if keep_rates:
        check_writable(keep_rates, force=force)
    with recorder(trace) as record:
        report = run(
            space,
            scenario,
            profile,
            runs=runs,
            seed=seed,
            baseline=baseline,
            wall_clock=wall_clock,
            trace=record,
        )
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report)
    if keep_rates:
        report.keep_rates(keep_rates, force=force)
        say(f"Wrote {keep_rates}. A run with --profile {keep_rates} starts at the rates that this one learned.")
    if report.failed:
        say("A page ended as an error, or the space was not listed to its end: exit code 1.")
        raise typer.Exit(FAILED)


def recorder(path: Path | None) -> AbstractContextManager[TraceWriter | None]:
    """The trace that a run is appended to, where one is wanted."""
    from tagspace_lab.pipeline.traces import TraceWriter

    return nullcontext() if path is None else TraceWriter(path)


def _show(report: Report) -> None:
    from tagspace_lab.lab.tables import overview

    way = ", the way of before" if report.baseline else ""
    title = (
        f"{report.space['name']}, {report.space['pages']} pages, on {report.scenario['name']}, seed {report.seed}{way}"
    )
    print_frame(overview(report.runs), title)
    for reason in report.to_dict()["errors"]:
        say(f"Error: {reason}")
    for note in report.notes:
        say(f"Note: {note}")
