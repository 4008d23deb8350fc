"""`tagspace-lab lab`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from tagspace_lab.cli.options import examples
from tagspace_lab.errors import InputError
from tagspace_lab.shipped import shipped_dir

__all__ = ["commands"]

commands = typer.Typer()


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
    folder = _notebooks()
    if find_spec("jupyterlab") is None:
        raise InputError("JupyterLab is not installed; install it with: pip install 'tagspace-lab[lab]'")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *ctx.args, str(folder)])  # noqa: S606


def _notebooks() -> Path:
    folder = shipped_dir().parent / "notebooks"
    if not folder.is_dir():
        raise InputError(
            "the notebooks are not here: they come with the repository, not with the installed package. "
            "Clone the repository and run `make lab` there."
        )
    return folder
