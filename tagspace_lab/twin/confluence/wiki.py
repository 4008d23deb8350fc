"""What a simulated wiki holds: a space on one day of its history, and the labels that were written to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from tagspace_lab.records import Page, Space
from tagspace_lab.twin.dialects import rfc3339
from tagspace_lab.twin.labels import LabelShelf
from tagspace_lab.twin.stopwatch import Stopwatch

__all__ = ["Wiki"]


class Wiki:
    """One space and one shelf of labels, however many interfaces show them."""

    def __init__(self, space: Space, elapsed_s: Stopwatch, day: int) -> None:
        self.space, self.day = space, day
        self._elapsed_s = elapsed_s
        self.labels = LabelShelf()
        self.writes: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self.space)

    def page(self, index: int) -> Page:
        """Page `index` as it is today."""
        return self.space.page(index, self.day)

    def find(self, page_id: str) -> Page | None:
        """The page of that id as it is today."""
        try:
            return self.page(self.space.index_of(page_id))
        except KeyError:
            return None

    def write(self, page_id: str, labels: Iterable[tuple[str, str]]) -> None:
        """Add (name, prefix) pairs to a page, and count them whether they were there or not."""
        labels = list(labels)
        self.writes.update((page_id, name) for name, _ in labels)
        self.labels.add(page_id, labels)

    @cached_property
    def created_at(self) -> str:
        """RFC 3339: everything was made when the world began."""
        return rfc3339(self._elapsed_s.epoch_s)
