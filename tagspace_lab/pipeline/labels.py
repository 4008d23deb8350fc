"""Writes labels to pages: reads again, adds what is missing, compares. Nothing is ever removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

__all__ = ["Change", "LabelWriter", "LabelledPages"]


class LabelledPages(Protocol):
    """What of a wiki labels are written with: a part of :class:`~tagspace_lab.clients.confluence.Confluence`."""

    async def labels(self, page_id: str) -> tuple[str, ...]: ...
    async def add_labels(self, page_id: str, labels: Sequence[str]) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Change:
    """What one page's labels were and became.

    `existing` are those that it had; `added` those that it lacked and has now (in a preview: would get);
    `missing` those that were written and that the server then does not state: it may split or change names.
    """

    page_id: str
    existing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelWriter:
    """Adds labels to pages of one wiki, each at most once however often it is asked to.

    Labels are read before every write, so a run that was killed can be repeated; the client settles by reading
    what became of a write that broke off. Errors are ConfluenceErrors, and say whether a write was refused.
    """

    confluence: LabelledPages

    async def preview(self, page_id: str, labels: Sequence[str]) -> Change:
        """What writing would change; reads only."""
        existing = await self.confluence.labels(page_id)
        return Change(page_id, existing, added=_absent(labels, existing))

    async def write(self, page_id: str, labels: Sequence[str]) -> Change:
        """Add those of `labels` that the page lacks; without any there is no request but the reading."""
        change = await self.preview(page_id, labels)
        if not change.added:
            return change
        stated = await self.confluence.add_labels(page_id, change.added)
        missing = _absent(change.added, stated)
        return replace(change, added=_absent(change.added, missing), missing=missing)


def _absent(labels: Sequence[str], stated: Sequence[str]) -> tuple[str, ...]:
    """Those of `labels` that are not among `stated`, each once; servers write them in lower case."""
    there = {label.casefold() for label in stated}
    return tuple(label for label in dict.fromkeys(labels) if label.casefold() not in there)
