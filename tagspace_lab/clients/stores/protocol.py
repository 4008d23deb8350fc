"""What a cache store promises, and which entry makes room for which.

A nightly run over a whole space is a cyclic scan, on which general policies (LRU and its successors) hit next to
nothing once the space is larger than the cache. So nothing that a space still needs makes room for what is new:

- When a run over a space has ended whole, the entries of that space which it did not ask for are *given up*, unless a
  run that began after it has asked for them. Entries of other spaces stay as they are.
- A new entry takes free space, else the place of an entry that was given up: of the one that was asked for least
  recently, counted in runs. Where there is none it is not kept.
- An entry that was given up is still an answer. Asked for before its place was needed, it is an entry like any other.

An entry belongs to the space that asked for it last. Two spaces that share a text both find it; one that no longer has
it gives it up only where no other has asked since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["RUNS_REMEMBERED", "Entry", "Store"]

RUNS_REMEMBERED: Final = 1_000
"""A run that did not end whole keeps its number, and so may go on, until so many others have begun."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, and where it is from: page version and run of the question, and the space that asked for it last."""

    labels: tuple[str, ...]
    version: int
    space: str
    run: str


class Store(Protocol):
    """Labels by content key, at most a stated number of them; never a page's text.

    `space` and `run` are any text; together they name one run, which begins with the first call that names it.
    No call raises because a store is away: it answers like one that is empty and full.
    """

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        """The labels under `key`, noted as asked for by this run; None if there are none."""

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str, version: int = 0) -> bool:
        """Keep an entry if there is room, with the page version that it was asked for; whether it was kept."""

    def look(self, key: str) -> Entry | None:
        """The entry under `key`, for audit: nothing is noted."""

    def end_run(self, space: str, run: str) -> int:
        """Give up the entries of `space` that `run`, which ended whole, did not ask for; how many that were.

        A run that was stopped, failed, filtered or dry must not call this.
        """

    def close(self) -> None:
        """Let go of files and connections. The store must not be used afterwards."""

    def __len__(self) -> int:
        """Entries kept, those that were given up among them."""
