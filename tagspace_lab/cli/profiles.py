"""`tagspace-lab profile show|diff|check|export|apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagspace_lab.cli.endings import WRONG_INPUT
from tagspace_lab.cli.options import PROCESSORS, AsJson, Force, Jobs, Runs, ScenarioName, Seed, examples, whole
from tagspace_lab.cli.options import ProfileName as StartingProfile
from tagspace_lab.cli.screen import print_frame, print_json, print_table, say

if TYPE_CHECKING:
    from tagspace_lab.lab.effects import Effects
    from tagspace_lab.lab.profiles import Change
    from tagspace_lab.lab.tuned import Tuned

__all__ = ["profiles"]

profiles = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at profiles: settings in .env files, by file or by name."
)

ProfileNames = Annotated[
    list[str], typer.Argument(metavar="FILE.env|NAME", help="Profile files, or shipped ones: default, conservative.")
]
ProfileName = Annotated[str, typer.Argument(metavar="FILE.env|NAME", help="A profile file, or a shipped one.")]


@profiles.command(
    epilog=examples(
        "tagspace-lab profile show default",
        "tagspace-lab profile show medium.env",
    )
)
def show(names: ProfileNames) -> None:
    """Show every setting of a profile, those it leaves to their defaults included."""
    from tagspace_lab.lab.profiles import read_profile
    from tagspace_lab.settings import SETTINGS

    for name in names:
        profile = read_profile(name)
        values = profile.settings.to_variables()
        for comment in profile.comments:
            typer.echo(comment)
        rows = [(row.variable, values.get(row.variable, "not set"), row.default) for row in SETTINGS]
        print_table((profile.name, "value", "default"), rows)


@profiles.command(
    epilog=examples(
        "tagspace-lab profile diff default medium.env",
        "tagspace-lab profile diff old.env new.env --space medium --scenario azure",
    )
)
def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A profile file, or a shipped one.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The one it is compared with.")],
    space: Annotated[
        str | None, typer.Option("--space", metavar="SPACE", help="Replay both on it: a shipped space, or a snapshot.")
    ] = None,
    scenario: ScenarioName = "openai-tier1",
    seeds: Annotated[
        int, typer.Option(parser=whole(2, 1000), metavar="N", help="Seeds that both are replayed on.")
    ] = 10,
    seed: Seed = 0,
    runs: Runs = 2,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Show the settings in which two profiles differ, and with --space what that does.

    Both are then replayed on the same fresh seeds, with the same luck. Each change has its 95 %
    interval over the seeds; one that may as well be none is said to be chance, perhaps.

    --json prints {before, after, changes}: changes holds variable, before and after (null where
    not set). With --space also {space, scenario, seeds, effects}: each of effects holds quantity,
    before, after, change, low and high; change is a share for makespans, tokens and calls, else a
    difference.
    """
    from tagspace_lab.lab.effects import measure_effects
    from tagspace_lab.lab.profiles import diff_profiles, read_profile

    first, second = read_profile(before), read_profile(after)
    changes = diff_profiles(first, second)
    effects = None
    if space is not None:
        effects = measure_effects(first, second, space, scenario, seeds=seeds, seed=seed, runs=runs, jobs=jobs)
    if as_json:
        said = {"before": before, "after": after, "changes": _list_changes(changes)}
        print_json(said | (effects.to_dict() if effects else {}))
        return
    if changes:
        rows = [(row.variable, row.before or "not set", row.after or "not set") for row in changes]
        print_table(("setting", first.name, second.name), rows)
    else:
        say(f"{before} and {after} mean the same.")
    if effects:
        _show_effects(effects)


def _show_effects(effects: Effects) -> None:
    print_frame(effects.overview(), f"{effects.space['name']} on {effects.scenario['name']}")
    typer.echo(effects.verdict())


def _list_changes(changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    return [{"variable": row.variable, "before": row.before, "after": row.after} for row in changes]


@profiles.command(
    epilog=examples(
        "tagspace-lab profile check medium.env",
        "tagspace-lab profile check profiles/*.env",
    )
)
def check(names: ProfileNames) -> None:
    """List what in a profile a reader of .env files would take differently, or is no valid setting.

    Prints FILE:LINE: problem; cure. Ends with 2 where there is one.
    """
    from tagspace_lab.lab.profiles import check_profile

    count = 0
    for name in names:
        problems = check_profile(name)
        for problem in problems:
            typer.echo(f"{name}:{problem.line}: {problem.what}; {problem.cure}")
        if not problems:
            say(f"{name} is good: python-dotenv, docker, bash and systemd read it alike.")
        count += len(problems)
    if count:
        say(f"Error: {count} problem{'s' if count > 1 else ''} found.")
        raise typer.Exit(WRONG_INPUT)


@profiles.command(
    epilog=examples(
        "tagspace-lab profile export -o profiles --scenario openai-tier1",
        "tagspace-lab profile export docs.jsonl.gz blog.jsonl.gz -o profiles --scenario mine.toml",
    )
)
def export(
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the profiles are written.")],
    spaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="SPACE", help="Spaces or snapshots.", show_default="small medium large"),
    ] = None,
    scenario: ScenarioName = "openai-tier1",
    trials: Annotated[int, typer.Option(parser=whole(1, 100_000), metavar="N", help="Settings that are tried.")] = 40,
    profile: StartingProfile = "default",
    seed: Seed = 0,
    jobs: Jobs = PROCESSORS,
    studies: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Journals of the studies, taken up where they are there.")
    ] = Path("studies"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Tune a profile for each class of spaces: small, medium and large, or your own.

    Each space is searched as by `tune` and written as FOLDER/NAME.env when all are done. A study
    that `tune SPACE -o NAME.env` kept, with the same options, is not made again.

    --json prints {profiles}: by name, what `tune --json` prints, with path: where it was written.
    """
    from tagspace_lab.lab.classes import CLASSES, export_profiles

    found = export_profiles(
        folder,
        scenario,
        spaces or CLASSES,
        profile,
        trials=trials,
        seed=seed,
        jobs=jobs,
        studies=studies,
        force=force,
    )
    if as_json:
        print_json(
            {"profiles": {name: {"path": str(folder / f"{name}.env")} | one.to_dict() for name, one in found.items()}}
        )
        return
    _show_classes(found, scenario)
    say(f"Wrote {', '.join(str(folder / f'{name}.env') for name in found)}.")


def _show_classes(found: dict[str, Tuned], scenario: str) -> None:
    """One row a class: its settings, and what they save on fresh seeds."""
    rows = []
    for name, tuned in found.items():
        settings, proof = tuned.settings, tuned.verification
        gain, (low, high) = (proof.gain, proof.interval) if tuned.improved else (0.0, (0.0, 0.0))
        saved = f"{gain:.1%} [{low:.1%}, {high:.1%}]" if tuned.improved else "none: today's are kept"
        cache = f"{settings.cache_size}" if settings.cache_enabled else "off"
        calls = f"{settings.ai_concurrency} to {settings.max_ai_concurrency}"
        rows.append((name, proof.space["pages"], calls, settings.batch_size, cache, saved))
    print_table(("space", "pages", "concurrency", "batch", "cache", "time saved"), rows, f"on {scenario}")


@profiles.command(
    epilog=examples(
        "tagspace-lab profile apply medium.env /srv/wiki/.env --dry-run",
        "tagspace-lab profile apply medium.env /srv/wiki/.env",
    )
)
def apply(
    name: ProfileName,
    target: Annotated[Path, typer.Argument(metavar="TARGET.env", help="The .env file that is changed.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the five keys of a profile into a .env file that is there.

    Each key gets its value where it stands, or is added at the end; every other byte stays as it
    is, and mode and owner of the file, too. What the file was is kept beside it as TARGET.env.bak,
    .bak2 and so on: move it back to undo the change. A file that is a link, or has a second name,
    is refused. Shows the changed lines, as diff does, and those of other settings in which the two
    differ.

    --json prints {target, changed, backup, diff, left}: backup is null where nothing was written;
    left holds variable, before (the file) and after (the profile) of settings that were not touched.
    """
    from tagspace_lab.lab.envfiles import apply_profile
    from tagspace_lab.lab.profiles import read_profile

    applied = apply_profile(read_profile(name), target, dry_run=dry_run)
    if as_json:
        document = {"target": str(target), "changed": applied.after != applied.before, "diff": applied.diff()}
        backup = str(applied.backup) if applied.backup else None
        print_json(document | {"backup": backup, "left": _list_changes(applied.left)})
    elif applied.diff():
        typer.echo(applied.diff())
    for row in applied.left:
        said, wanted = row.before or "not set", row.after or "not set"
        say(f"Note: {row.variable} is {said} in {target} and {wanted} in {name}: left as it is.")
    if applied.backup:
        say(f"Wrote {target}; what it was is in {applied.backup}, its secrets, too.")
    elif applied.after == applied.before:
        say(f"{target} says all of it already.")
