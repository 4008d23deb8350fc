"""Labels of live pages: added at most once by the interface that Cloud and Data Center share, and read side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import replace

from tagspace_lab.clients.confluence.answers import read_labels, results_of
from tagspace_lab.clients.confluence.site import Site, UnsettledError
from tagspace_lab.records import Page

__all__ = ["ReadLabels", "add_labels", "read_labels_of"]

_WRITES = 3

ReadLabels = Callable[[str], Awaitable[tuple[str, ...]]]
"""The labels that a page of that id has now."""


async def add_labels(site: Site, page_id: str, labels: Sequence[str], read: ReadLabels) -> tuple[str, ...]:
    """Add labels to a page, and give all that it has then.

    A write that may have been taken is settled by reading before what is still missing is sent again, twice at most.
    """
    missing = list(dict.fromkeys(labels))
    if not missing:
        return await read(page_id)
    for attempt in range(1, _WRITES + 1):
        try:
            stated = await _post(site, page_id, missing)
        except UnsettledError:
            await site.pause(attempt)
            stated = await read(page_id)
            missing = _absent(missing, stated)
            if not missing:
                return stated
            if attempt == _WRITES:
                raise
        else:
            break
    # An answer may hold only the first of many labels.
    return await read(page_id) if _absent(labels, stated) else stated


async def read_labels_of(pages: Sequence[Page], read: ReadLabels, ids: Container[str] | None = None) -> list[Page]:
    """The pages with their labels, read side by side; only those of `ids` if that is given."""

    async def label(page: Page) -> Page:
        return replace(page, labels=await read(page.id)) if ids is None or page.id in ids else page

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(label(page)) for page in pages]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _post(site: Site, page_id: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that the server states after one write."""
    content = [{"prefix": "global", "name": name} for name in labels]
    answer = await site.post(f"/rest/api/content/{site.check_id(page_id)}/label", content)
    return site.read(answer, lambda document: read_labels(results_of(document)), UnsettledError)


def _absent(labels: Sequence[str], stated: Sequence[str]) -> list[str]:
    """Those of `labels` that are not stated; servers write them in lower case."""
    there = {name.casefold() for name in stated}
    return [name for name in labels if name.casefold() not in there]
