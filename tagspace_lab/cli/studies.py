"""`tagspace-lab sweep` and `verify`: what settings do, and whether a profile keeps what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.endings import FAILED
from tagspace_lab.cli.options import (
    AsJson,
    Backend,
    EnvFile,
    Force,
    Goal,
    Jobs,
    ProfileName,
    Runs,
    ScenarioName,
    ScenarioNames,
    Scheduler,
    Seed,
    SpaceName,
    SpaceNames,
    choose_scheduler,
    examples,
    read_values,
    whole,
)
from tagspace_lab.cli.screen import describe_scenario, describe_space, print_frame, print_json, records, say
from tagspace_lab.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["commands"]

commands = typer.Typer()

Values = Annotated[str | None, typer.Option(metavar="N,N,...")]
_VARIED = {
    "--batch-size": "batch_size",
    "--concurrency": "ai_concurrency",
    "--max-concurrency": "max_ai_concurrency",
    "--cache-size": "cache_size",
}
_HEADINGS = {
    "batch_size": "batch",
    "ai_concurrency": "start",
    "max_ai_concurrency": "ceiling",
    "cache_size": "cache",
    "rate_limit_errors": "429s",
    "f1": "F1",
}


@commands.command(
    epilog=examples(
        "tagspace-lab sweep medium --scenario openai-tier1 --batch-size 1,5,10 --concurrency 2,4,8",
        "tagspace-lab sweep medium --scenario azure --batch-size 5,10,20 --jobs 2 -o grid.csv",
    )
)
def sweep(
    space: SpaceName,
    scenario: ScenarioName = "openai-tier1",
    batch_size: Values = None,
    concurrency: Values = None,
    max_concurrency: Values = None,
    cache_size: Values = None,
    profile: ProfileName = "default",
    seed: Seed = 0,
    seeds: Annotated[
        int, typer.Option(parser=whole(1, 1000), metavar="N", help="Replays of each combination, by seed.")
    ] = 1,
    runs: Runs = 2,
    jobs: Jobs = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.csv", help="Write all rows and columns as CSV.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Replay a grid of settings.

    Every combination of the values named is replayed; the other settings are those of --profile.
    The rows are the same for any number of --jobs. Pages that fail are counted in a column; they
    do not change the exit code.

    --json prints {space, scenario, seed, rows, notes}. Each of rows is a combination, seed and run:
    the varied settings, seed, and what each of runs holds in `replay --json`.
    """
    from tagspace_lab.lab.files import check_writable, replacing
    from tagspace_lab.lab.replay import as_space
    from tagspace_lab.lab.sweep import sweep as replay_all
    from tagspace_lab.twin.scenario import load_scenario

    grid = _read_grid(batch_size, concurrency, max_concurrency, cache_size)
    if output:
        check_writable(output, force=force)
    world, wiki = load_scenario(scenario), as_space(space)
    frame = replay_all(wiki, world, grid, settings=profile, seeds=seeds, seed=seed, runs=runs, jobs=jobs)
    if output:
        with replacing(output) as file:
            frame.to_csv(file, index=False)
    if as_json:
        rows = {"seed": seed, "rows": records(frame), "notes": frame.attrs["notes"]}
        print_json(describe_space(wiki) | describe_scenario(world) | rows)
    else:
        _show_rows(frame, f"{wiki.name} on {world.name}")
    for note in frame.attrs["notes"]:
        say(f"Note: {note}")
    if output:
        say(f"Wrote {len(frame)} rows to {output}.")


def _read_grid(*texts: str | None) -> dict[str, list[int]]:
    """Setting -> values, from the texts of the options in the order of _VARIED."""
    grid = {
        setting: read_values(option, setting, text)
        for (option, setting), text in zip(_VARIED.items(), texts, strict=True)
        if text is not None
    }
    if not grid:
        raise InputError(f"nothing to vary; give one or more of {', '.join(_VARIED)}, such as --batch-size 1,5,10")
    return grid


def _show_rows(frame: pd.DataFrame, title: str) -> None:
    """One row a combination: median makespans over the seeds, the rest over all its seeds and runs; then the best."""
    varied = list(frame.columns[: frame.columns.get_loc("seed")])
    spans = frame.pivot_table(index=varied, columns="run", values="makespan_s", aggfunc="median")
    others = frame.groupby(varied)[["rate_limit_errors", "f1", "errors"]].agg(
        {"rate_limit_errors": "sum", "f1": "mean", "errors": "sum"}
    )
    table = spans.rename(columns="run {}, s".format).join(others).reset_index().rename(columns=_HEADINGS)
    print_frame(table.set_index(table.columns[0]), title)
    best = spans.sum(axis=1).sort_values(kind="stable").reset_index().iloc[0]
    words = ", ".join(f"{_HEADINGS[name]} {best[name]:g}" for name in varied)
    say(f"Shortest over all runs: {words}.")


@commands.command(
    epilog=examples(
        "tagspace-lab verify medium.env medium --scenario openai-tier1",
        "tagspace-lab verify medium.env medium large --scenario openai-tier1 --scenario openai-tier2 --json",
        "tagspace-lab verify tuned.env docs.jsonl.gz --scenario mine.toml --live 60 --env-file .env",
    )
)
def verify(
    profile: Annotated[str, typer.Argument(metavar="FILE.env", help="The profile to judge.")],
    space: SpaceNames,
    scenario: ScenarioNames = ["openai-tier1"],  # noqa: B006 - typer wants a list, and copies it
    against: Annotated[str, typer.Option(metavar="FILE.env|NAME", help="The profile it is judged by.")] = "default",
    seeds: Annotated[
        int, typer.Option(parser=whole(2, 1000), metavar="N", help="Fresh seeds that both are replayed with.")
    ] = 10,
    seed: Seed = 0,
    runs: Runs = 2,
    goal: Goal = "fastest",
    jobs: Jobs = 1,
    backend: Backend = "local",
    scheduler: Scheduler = None,
    live: Annotated[
        int | None,
        typer.Option(parser=whole(2, 100_000), metavar="N", help="Ask the real model, too, with N calls at most."),
    ] = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a profile is better.

    It, today's settings and the conservative ones are replayed on seeds that no study saw, and on the
    last days of the spaces' edits; each space against each scenario. It holds where the whole 95 %
    interval of what it saves is above zero, it is nowhere worse beyond doubt, and no more pages end
    as errors than before. Ends with 0 where it holds, with 1 where it does not.

    --live lets both profiles tag the same few pages at the model that TAG_SPACE_MODEL names, taking
    turns, and never makes more than N calls. No label is written.

    --json prints {space, scenario, goals, before, after, beside, seeds, first_day, holds, runs, live}:
    before, after and each of beside are {name, settings}. Each of runs (1, 2, ..., all, then each place
    where there are several) holds run, before_s and after_s (median makespan), gain, gain_low, gain_high
    (share saved of what the goal seeks, 95 % interval), and before_ and after_ of rate_limit_share,
    tokens, f1 and errors. first_day is that of the edits on which a replay begins. live (null without
    --live) holds budget, calls, gain, foreseen_gain and arms: name, pages, calls, refusals, errors,
    seconds_per_page, foreseen_s_per_page, foreseen_refusals.
    """
    from tagspace_lab.lab.goals import Goals
    from tagspace_lab.lab.verify import verify as judge

    if live is not None:
        from tagspace_lab.cli.measuring import show_live, try_profiles
        from tagspace_lab.lab.replay import as_settings
        from tagspace_lab.lab.trials import fits_budget

        if len(space) * len(scenario) > 1:
            raise InputError("--live foresees one space in one scenario; name one of each.")
        fits_budget([as_settings(against), as_settings(profile)], live)
    verification = judge(
        profile,
        list(space),
        list(scenario),
        against=against,
        seeds=seeds,
        seed=seed,
        runs=runs,
        jobs=jobs,
        scheduler=choose_scheduler(backend, scheduler),
        goals=Goals(seek=goal),
    )
    trial = None
    if live is not None:
        before, after = zip(verification.names, verification.settings, strict=True)
        trial = try_profiles((before, after), space[0], scenario[0], live, seed, env_file)
    if as_json:
        print_json(verification.to_dict() | {"live": trial.to_dict() if trial else None})
    else:
        print_frame(verification.overview(), verification.title)
        typer.echo(verification.verdict())
        if trial is not None:
            show_live(trial)
    if not verification.holds:
        raise typer.Exit(FAILED)
