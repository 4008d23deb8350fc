"""`tagspace-lab profile show|diff|check`."""

from __future__ import annotations

from typing import Annotated

import typer

from tagspace_lab.cli.endings import WRONG_INPUT
from tagspace_lab.cli.options import examples
from tagspace_lab.cli.screen import print_table, say

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
        "tagspace-lab profile diff old.env new.env",
    )
)
def diff(before: ProfileName, after: ProfileName) -> None:
    """Show the settings in which two profiles differ."""
    from tagspace_lab.lab.profiles import diff_profiles, read_profile

    first, second = read_profile(before), read_profile(after)
    changes = diff_profiles(first, second)
    if not changes:
        say(f"{before} and {after} mean the same.")
        return
    rows = [(row.variable, row.before or "not set", row.after or "not set") for row in changes]
    print_table(("setting", first.name, second.name), rows)


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
