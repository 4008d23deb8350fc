"""All commands under one roof."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from tagspace_lab import __version__
from tagspace_lab.cli import (
    calibration,
    gallery,
    measuring,
    notebooks,
    operations,
    replays,
    serving,
    studies,
    tagging,
    tuning,
    worlds,
)
from tagspace_lab.cli.endings import EndsWell, report_defect
from tagspace_lab.cli.options import examples
from tagspace_lab.cli.profiles import profiles
from tagspace_lab.cli.snapshots import snapshots

__all__ = ["app", "main"]

app = typer.Typer(
    cls=EndsWell,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=examples(
        "tagspace-lab replay medium --scenario openai-tier1",
        "tagspace-lab tune medium --scenario openai-tier1 -o medium.env",
        "tagspace-lab verify medium.env medium --scenario openai-tier1",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tagspace-lab {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tag a wiki space with a language model, and find the settings that do it fastest.

    The settings are found in virtual time, without a key or a server: a SPACE is a shipped one
    (small, medium, large) or a snapshot file there, a scenario is a provider and a Confluence with
    their limits (see `tagspace-lab scenarios`). `tag`, `serve`, `check` and `quality` work on a live
    wiki and model, which the environment names: see `tagspace-lab tag --help`.

    Results go to standard output, progress and messages to standard error.

    \b
    Exit codes:
      0    done
      1    the job ran and something failed
      2    wrong input
      130  interrupted
    TAGSPACE_DEBUG=1 in the environment adds the traceback to any error.
    """


for group in (
    tagging,
    serving,
    operations,
    replays,
    studies,
    tuning,
    calibration,
    measuring,
    worlds,
    gallery,
    notebooks,
):
    app.add_typer(group.commands)
app.add_typer(snapshots, name="snapshot")
app.add_typer(profiles, name="profile")


def main() -> None:
    """Run the command that was typed; ends in SystemExit with its exit code. SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="tagspace-lab")
    except Exception as error:
        sys.exit(report_defect(error))
