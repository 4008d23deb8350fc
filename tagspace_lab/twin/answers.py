"""What the simulated model says: the pages' gold labels, made wrong or left out as often as the quality model says.

A page's luck is keyed by (seed, page id) alone: the page whose draw lies above the accuracy is wrong, so
a batch size with a lower accuracy makes the same mistakes and some more. A mistake replaces one label
by another of the vocabulary, or drops it, and is the same mistake every time.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from tagspace_lab.records import Space
from tagspace_lab.twin.noise import uniforms
from tagspace_lab.twin.schema import Output, Quality

__all__ = ["Model", "accuracy_at", "cut_short", "interpolate", "render"]


class Model:
    """A language model that knows the space's gold labels."""

    def __init__(self, space: Space, quality: Quality, output: Output, *, seed: int = 0) -> None:
        self._space, self._quality, self._output, self._seed = space, quality, output, seed
        self._vocabulary = tuple(space.vocabulary)

    def answer(self, page_ids: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        """The answer to one prompt, `{"id", "labels"}` for each page in order, and its output tokens."""
        size = len(page_ids)
        missing = interpolate(self._quality.missing, size)
        tokens = self._output.tokens_per_call
        entries = []
        for position, page_id in enumerate(page_ids):
            right, present, length, choice = uniforms(4, self._seed, "page", page_id)
            if present <= missing:
                continue
            labels = self._gold(page_id)
            if labels and right > accuracy_at(self._quality, size, position):
                labels = self._mistake(labels, choice)
            entries.append({"id": page_id, "labels": list(labels)})
            tokens += self._output.tokens_per_page * (0.5 + length)
        return entries, max(1, round(tokens))

    def _gold(self, page_id: str) -> tuple[str, ...]:
        try:
            return self._space.gold(page_id)
        except KeyError:
            return ()

    def _mistake(self, labels: tuple[str, ...], choice: float) -> tuple[str, ...]:
        """One label replaced, or in a quarter of the cases dropped; `choice` in (0, 1) decides which and how."""
        others = [label for label in self._vocabulary if label not in labels]
        spot = int(choice * len(labels))
        fine = choice * len(labels) - spot
        if fine < 0.25 or not others:
            return labels[:spot] + labels[spot + 1 :]
        return (*labels[:spot], others[int((fine - 0.25) / 0.75 * len(others))], *labels[spot + 1 :])


def accuracy_at(quality: Quality, size: int, position: int) -> float:
    """Share of right answers at a position, counted from 0, of a batch of `size` pages.

    The batch size decides the mean loss against batch size 1; the tilt shifts it from the front to the end.
    """
    loss = 1.0 - interpolate(quality.relative_accuracy, size)
    place = 2.0 * position / (size - 1) - 1.0 if size > 1 else 0.0
    return quality.accuracy * (1.0 - min(1.0, loss * (1.0 + quality.position_tilt * place)))


def interpolate(points: Sequence[tuple[int, float]], size: int) -> float:
    """The curve through `points` at `size`: straight lines between them, the nearest point beyond them."""
    index = bisect_left(points, size, key=lambda point: point[0])
    if index == len(points):
        return points[-1][1]
    if index == 0 or points[index][0] == size:
        return points[index][1]
    (left, low), (right, high) = points[index - 1], points[index]
    return low + (high - low) * (size - left) / (right - left)


def render(entries: Sequence[Mapping[str, Any]]) -> str:
    """The answer as the JSON text that the prompt asks for."""
    return json.dumps({"pages": entries}, ensure_ascii=False, separators=(",", ":"))


def cut_short(entries: Sequence[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """The first `share` (0 to 1) of the entries: at least one is lost."""
    return list(entries[: max(0, ceil(share * len(entries)) - 1)])
