"""Texts into batches, by count and by tokens, in the order in which they come."""

from __future__ import annotations

from collections.abc import Iterator

from tagspace_lab.records import Batch, Text

__all__ = ["Packer", "split"]


class Packer:
    """Fills one batch at a time; a batch is handed out as soon as it is full.

    A batch holds at most `max_pages` texts and at most `max_tokens` estimated page tokens; a single
    text above `max_tokens` goes alone.
    """

    def __init__(self, max_pages: int, max_tokens: int) -> None:
        self._max_pages = max_pages
        self._max_tokens = max_tokens
        self._texts: list[Text] = []
        self._tokens = 0

    def add(self, text: Text) -> Iterator[Batch]:
        """Take `text` in; yield the batches that this closes (none, one, or two)."""
        if self._texts and self._tokens + text.tokens > self._max_tokens:
            yield from self.flush()
        self._texts.append(text)
        self._tokens += text.tokens
        if len(self._texts) == self._max_pages or self._tokens >= self._max_tokens:
            yield from self.flush()

    def flush(self) -> Iterator[Batch]:
        """Yield what is left, if anything."""
        if self._texts:
            batch = Batch(tuple(self._texts))
            self._texts, self._tokens = [], 0
            yield batch


def split(batch: Batch) -> list[Batch]:
    """Both halves of a batch, the first one the larger; a single text stays as it is."""
    if len(batch) < 2:
        return [batch]
    middle = (len(batch) + 1) // 2
    return [Batch(batch.texts[:middle]), Batch(batch.texts[middle:])]
