"""A live Confluence space into a snapshot: its current pages as they are today, their labels as the gold labels."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

from tagspace_lab.clients.confluence import Confluence
from tagspace_lab.clients.http import open_http
from tagspace_lab.errors import SnapshotError
from tagspace_lab.lab.files import check_writable
from tagspace_lab.lab.folders import Summary
from tagspace_lab.lab.snapshots import Progress, SnapshotSpace, save_space
from tagspace_lab.live.connections import Connections
from tagspace_lab.live.opening import open_confluence
from tagspace_lab.policy.text import plain_text
from tagspace_lab.records import Page
from tagspace_lab.twin.spaces import page_line

__all__ = ["read_wiki", "snapshot_confluence", "snapshot_wiki"]


async def snapshot_wiki(
    connections: Connections,
    space_key: str,
    out: Path | str,
    *,
    rng: random.Random,
    wall_clock: Callable[[], float],
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Read the space `space_key` of the wiki that the connections name, as :func:`snapshot_confluence` does."""
    async with open_http() as http:
        confluence = open_confluence(connections, http, rng, wall_clock, with_labels=True)
        return await snapshot_confluence(confluence, space_key, out, force=force, progress=progress)


async def read_wiki(
    connections: Connections,
    space_key: str,
    *,
    rng: random.Random,
    wall_clock: Callable[[], float],
    progress: Progress | None = None,
) -> SnapshotSpace:
    """The space as a snapshot would hold it, and no file. Raises what :func:`snapshot_confluence` raises."""
    async with open_http() as http:
        confluence = open_confluence(connections, http, rng, wall_clock, with_labels=True)
        return (await _read(confluence, space_key, progress)).space(space_key)


async def snapshot_confluence(
    confluence: Confluence,
    space_key: str,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Read a live space, write the snapshot `out`, and say what came of it. Nothing is changed in the wiki.

    `confluence` is connected `with_labels`, else pages have no gold labels on Cloud. `progress` gets (pages read, 0),
    since nobody knows how many there are. ConfluenceError where the space cannot be read to its end, SnapshotError
    where it has no page; nothing is written then.
    """
    out = Path(out)
    check_writable(out, force=force)
    reader = await _read(confluence, space_key, progress)
    space = reader.space(space_key)
    save_space(space, out, force=force)
    problems = tuple(reader.problems)
    return Summary(out, len(space), reader.labelled, reader.without_text, len(space.vocabulary), problems)


async def _read(confluence: Confluence, space_key: str, progress: Progress | None) -> _Reader:
    await confluence.who_am_i()
    reader = _Reader()
    async for listing in confluence.listings(space_key):
        for page in listing:
            reader.add(page)
        if progress is not None:
            progress(reader.pages, 0)
    return reader


class _Reader:
    """Pages as lines of a snapshot, held compressed: a large wiki is gigabytes."""

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.problems: list[str] = []
        self.labelled = self.without_text = 0

    @property
    def pages(self) -> int:
        return len(self.packed)

    def space(self, key: str) -> SnapshotSpace:
        """All that was read. SnapshotError where that is nothing."""
        if not self.packed:
            raise SnapshotError(f"the space {key} holds no current page that this account may see")
        return SnapshotSpace(key, key, map(zlib.decompress, self.packed))

    def add(self, page: Page) -> None:
        if not page.id.isdecimal():
            self.problems.append(f"page {page.id}: its id is no number, left out")
            return
        self.labelled += bool(page.labels)
        self.without_text += not plain_text(page.body)
        self.packed.append(zlib.compress(page_line([(0, page)]), 1))
