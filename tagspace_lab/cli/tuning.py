"""`tagspace-lab tune`: which settings are best?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.endings import FAILED
from tagspace_lab.cli.options import (
    PROCESSORS,
    AsJson,
    Backend,
    Force,
    Goal,
    Jobs,
    Output,
    ProfileName,
    Runs,
    ScenarioNames,
    Scheduler,
    Seed,
    SpaceNames,
    choose_scheduler,
    examples,
    one_of,
    whole,
)
from tagspace_lab.cli.screen import print_frame, print_json, say

if TYPE_CHECKING:
    from tagspace_lab.lab.tuned import Tuned

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab tune medium --scenario openai-tier1 -o medium.env",
        "tagspace-lab tune medium --goal cheapest --limit '429s<1%' --limit 'calls<200' -o cheap.env",
        "tagspace-lab tune medium --scenario azure --scenario guide --over worst -o either.env",
        "tagspace-lab tune small medium --vary batch_size,cache_size --runs 8 --exhaustive -o days.env",
    )
)
def tune(
    space: SpaceNames,
    output: Output,
    scenario: ScenarioNames = ["openai-tier1"],  # noqa: B006 - typer wants a list, and copies it
    trials: Annotated[int, typer.Option(parser=whole(1, 100_000), metavar="N", help="Settings that are tried.")] = 40,
    profile: ProfileName = "default",
    goal: Goal = "fastest",
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME<N",
            help="Of 429s, f1_loss (shares or per cent), errors, calls, tokens, makespan; again for more.",
            show_default="429s<=5% f1_loss<=0.02 errors<=0",
        ),
    ] = None,
    over: Annotated[
        str,
        typer.Option(
            parser=one_of("mean", "worst", "cvar"),
            metavar="mean|worst|cvar",
            help="How the replays of a trial count together; cvar is the mean of the worst quarter.",
        ),
    ] = "mean",
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Seek the front of makespan, tokens and 429s; its knee is written.")
    ] = False,
    vary: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="What is searched; the rest stays as in --profile.")
    ] = "concurrency,batch_size,cache_enabled,cache_size",
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Replay a whole grid, too, and say what the study missed.")
    ] = False,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(parser=whole(1, 1000), metavar="N", help="Replays of each trial, by seed.")] = 3,
    runs: Runs = 2,
    jobs: Jobs = PROCESSORS,
    batch: Annotated[
        int, typer.Option(parser=whole(1, 1000), metavar="N", help="Trials that are asked before one is told.")
    ] = 4,
    backend: Backend = "local",
    scheduler: Scheduler = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="What keeps the trials: a journal, or postgresql://user:password@host/database.",
            show_default="studies/OUTPUT.journal",
        ),
    ] = None,
    keep_rates: Annotated[
        bool, typer.Option("--keep-rates", help="Write the rates that a run with these settings learns, too.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Search for the best settings.

    They are written as a profile. Every space is replayed against every scenario, with the same seeds
    for every trial. The settings of --profile are the first trial. The winner is measured against
    them on seeds and days that the search never saw; where it does not win there too, they are what
    is written. The result depends on --seed and --batch, not on --jobs, --backend or --storage. Ctrl-C
    keeps the trials that were done: the same command goes on from there. --keep-rates adds the
    rates that one more replay learns: they are the scenario's, and help where that states your real
    limits. Ends with 1 where more pages than --limit allows ended as errors all the same.

    --json prints {space, scenario, settings, improved, trials, seeds, goals, before, after,
    verification, front, regret}: settings are those that were written; before and after hold
    makespan_s, bound_s, best_bound_s, calls, tokens, hit_rate, f1 (means of a run), rate_limit_share
    and errors on fresh seeds; verification is what `verify --json` prints. front (null without
    --pareto) is a list of settings with makespan_s, tokens, rate_limit_share, f1_loss and knee;
    regret (null without --exhaustive) holds points, share, best, best_objective_s and
    result_objective_s.
    """
    from tagspace_lab.lab.files import check_writable
    from tagspace_lab.lab.goals import Goals
    from tagspace_lab.lab.replay import replay
    from tagspace_lab.lab.tune import tune as search
    from tagspace_lab.records import Rates

    check_writable(output, force=force)
    goals = Goals.read(limit or (), seek=goal, over=over)
    tuned = search(
        list(space),
        list(scenario),
        profile,
        trials=trials,
        seeds=seeds,
        seed=seed,
        runs=runs,
        jobs=jobs,
        batch=batch,
        vary=vary.split(","),
        pareto=pareto,
        exhaustive=exhaustive,
        storage=storage or Path("studies", f"{output.stem}.journal"),
        scheduler=choose_scheduler(backend, scheduler),
        goals=goals,
    )
    rates = Rates()
    if keep_rates:
        rates = replay(space[0], scenario[0], tuned.settings, runs=1, seed=seed, progress=False).rates
    tuned.export(output, rates=rates, force=force)
    if as_json:
        print_json(tuned.to_dict())
    else:
        named = [part for name in scenario for part in ("--scenario", name)]
        _show_tuned(tuned, output, ["tagspace-lab", "verify", str(output), *space, *named])
    if tuned.after.errors > goals.max_errors:
        say(f"Error: {tuned.after.errors} pages ended as errors even so: exit code 1.")
        raise typer.Exit(FAILED)


def _show_tuned(tuned: Tuned, output: Path, next_step: list[str]) -> None:
    if tuned.front is not None:
        print_frame(tuned.front.overview(), "makespan, tokens and 429s: none of these is beaten in all three")
    count = len(tuned.history)
    print_frame(tuned.overview(), f"{tuned.verification.title}, {count} trial{'s' * (count > 1)}")
    typer.echo(tuned.verdict())
    say(f"Wrote {output}. Next: {shlex.join(next_step)}")
    say(f"To use it: docker run --env-file {output} ...; or in bash: set -a; source {output}; set +a")
