"""`tagspace-lab notebook` and `tagspace-lab lab`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from tagspace_lab.cli.options import Force, examples
from tagspace_lab.cli.screen import print_table, say
from tagspace_lab.errors import InputError

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab notebook",
        "tagspace-lab notebook 05 --space my.jsonl.gz -o out.ipynb",
        "tagspace-lab notebook 05 --space my.jsonl.gz --scenario mine.toml --set trials=40 -o out.ipynb",
    )
)
def notebook(
    which: Annotated[
        str | None, typer.Argument(metavar="NUMBER", help="A notebook's number or name; without one, all are listed.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.ipynb", help="Where it is written; .html beside it.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="SPACE", help="A shipped space (small, medium, large) or a snapshot file.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.toml", help="A shipped scenario or a scenario file.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of it; again for more.")
    ] = None,
    force: Force = False,
) -> None:
    """Run a notebook on a space of your own, and make a page of it.

    The notebook is written as it ran, with all outputs, and beside it the same as an HTML page that needs
    nothing else. Where a cell fails, the notebook holds what ran up to there, and there is no page. Without
    --space and the like it runs on what it was committed with.
    """
    from tagspace_lab.lab.notebooks import find_notebook, read_notebooks, run_notebook
    from tagspace_lab.lab.snapshots import load_space
    from tagspace_lab.twin.scenario import load_scenario

    if which is None:
        rows = [(each.name, each.question, ", ".join(each.parameters)) for each in read_notebooks()]
        print_table(("notebook", "question", "parameters"), rows, right=False)
        return
    chosen = find_notebook(which)
    if output is None:
        raise InputError(f"name where notebook {chosen.name} is written: -o FILE.ipynb")
    given = {name: text for name, text in (("space", space), ("scenario", scenario)) if text is not None}
    values = chosen.read_values(given | _read_pairs(set_ or []))
    if "space" in values:
        load_space(values["space"])
    if "scenario" in values:
        load_scenario(values["scenario"])
    page = run_notebook(chosen, values, output, force=force)
    say(f"Wrote {output} and {page}.")


@commands.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=examples(
        "tagspace-lab lab",
        "tagspace-lab lab --no-browser --port 9999",
    ),
)
def lab(ctx: typer.Context) -> None:
    """Open JupyterLab on the notebooks.

    Options that follow are JupyterLab's own.
    """
    from tagspace_lab.lab.notebooks import notebooks_dir

    folder = notebooks_dir()
    if find_spec("jupyterlab") is None:
        raise InputError("JupyterLab is not installed; install it with: pip install 'tagspace-lab[lab]'")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *ctx.args, str(folder)])  # noqa: S606


def _read_pairs(texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--set {text!r}; allowed: NAME=VALUE, as in trials=40.")
        pairs[name] = value
    return pairs
