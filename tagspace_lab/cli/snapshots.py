"""`tagspace-lab snapshot folder|confluence|generate`: spaces in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.options import EnvFile, Force, Output, Seed, examples, whole
from tagspace_lab.cli.screen import say

if TYPE_CHECKING:
    from tagspace_lab.lab.folders import Summary

__all__ = ["snapshots"]

_SHOWN_PROBLEMS = 20

snapshots = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make snapshots: spaces in one file each.")


@snapshots.command(
    epilog=examples(
        "tagspace-lab snapshot folder docs -o docs.jsonl.gz",
        "tagspace-lab replay docs.jsonl.gz --scenario openai-tier1",
    )
)
def folder(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A tree of .md, .markdown, .html or .htm files.")],
    output: Output,
    force: Force = False,
) -> None:
    """Turn a tree of Markdown or HTML pages into a snapshot.

    Labels, tags, topics and categories in a page's front matter are its gold labels. A page that
    cannot be read is left out, and named.
    """
    from tagspace_lab.lab.folders import snapshot_folder
    from tagspace_lab.lab.watch import watch

    with watch(None, "file", "reading") as view:
        summary = snapshot_folder(source, output, force=force, progress=view.reach)
    _tell(summary)


@snapshots.command(
    epilog=examples(
        "tagspace-lab snapshot confluence DOCS -o docs.jsonl.gz",
        "tagspace-lab replay docs.jsonl.gz --scenario openai-tier1",
    )
)
def confluence(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="The key of a space, as in its address.")],
    output: Output,
    force: Force = False,
    env_file: EnvFile = None,
) -> None:
    """Turn a live Confluence space into a snapshot. Nothing is changed in the wiki.

    Its current pages are read as they are today; the labels that they carry are their gold labels.
    CONFLUENCE_URL says where the wiki is; CONFLUENCE_USERNAME and CONFLUENCE_API_TOKEN let one into a
    Cloud, CONFLUENCE_PERSONAL_TOKEN into a Data Center.
    """
    import asyncio
    import os
    import random
    import time

    from tagspace_lab.lab.watch import watch
    from tagspace_lab.lab.wikis import snapshot_wiki
    from tagspace_lab.live.connections import load_connections

    connections = load_connections(os.environ, env_file)
    rng = random.Random(os.urandom(8))  # noqa: S311 - jitter, not a secret
    with watch(None, "page", "reading") as view:
        summary = asyncio.run(
            snapshot_wiki(connections, space, output, rng=rng, wall_clock=time.time, force=force, progress=view.reach)
        )
    _tell(summary)


@snapshots.command(
    epilog=examples(
        "tagspace-lab snapshot generate --pages 2000 --seed 7 -o wiki.jsonl.gz",
        "tagspace-lab replay wiki.jsonl.gz --scenario self-hosted",
    )
)
def generate(
    output: Output,
    pages: Annotated[int, typer.Option(parser=whole(1, 10_000_000), metavar="N", help="How many pages.")],
    seed: Seed = 1,
    force: Force = False,
) -> None:
    """Write a space of made-up pages with gold labels and a month of edits, like a real wiki's."""
    from tagspace_lab.lab.snapshots import save_space
    from tagspace_lab.lab.watch import watch
    from tagspace_lab.twin.spaces import GeneratedSpace

    space = GeneratedSpace(f"generated-{pages}-{seed}", pages, seed)
    with watch(pages, "page", "writing") as view:
        save_space(space, output, force=force, progress=view.reach)
    say(f"Wrote {output}: {pages} pages, seed {seed}.")


def _tell(summary: Summary) -> None:
    for problem in summary.problems[:_SHOWN_PROBLEMS]:
        say(f"Note: {problem}")
    if len(summary.problems) > _SHOWN_PROBLEMS:
        say(f"Note: and {len(summary.problems) - _SHOWN_PROBLEMS} more like these")
    say(
        f"Wrote {summary.path}: {summary.pages} pages, {summary.labelled} of them with gold labels "
        f"({summary.vocabulary} labels in all), {summary.without_text} without text."
    )
