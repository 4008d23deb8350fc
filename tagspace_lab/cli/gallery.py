"""`tagspace-lab gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagspace_lab.cli.options import Force, examples
from tagspace_lab.cli.screen import say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab gallery -o gallery.html",
        "tagspace-lab gallery -o docs/gallery.html --force",
    )
)
def gallery(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="Where the page is written.")],
    force: Force = False,
) -> None:
    """Draw every picture that the package has, on one page.

    All of it is made from bundled data in virtual time, so the page is the same each time. It takes some
    twenty seconds, is whole in itself, and needs no network.
    """
    from tagspace_lab.lab.files import check_writable, replacing
    from tagspace_lab.lab.plots.gallery import PICTURES, Samples, render_gallery
    from tagspace_lab.lab.watch import watch

    check_writable(output, force=force)
    with watch(len(PICTURES), "picture", "drawing") as view:
        page = render_gallery(Samples(), view.advance)
    with replacing(output) as file:
        file.write(page.encode())
    say(f"Wrote {len(PICTURES)} pictures to {output}.")
