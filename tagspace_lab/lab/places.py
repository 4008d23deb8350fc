"""What the twin's model makes of batches: how many pages are answered rightly, by batch size and place in the batch.

The pages are asked in the order of the space, without a pipeline around the model: what a batch loses is not asked
again here. Quality is modelled: this measures what a scenario states, over the very pages of a space.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tagspace_lab.errors import InputError
from tagspace_lab.lab.replay import as_space
from tagspace_lab.records import Space
from tagspace_lab.twin.answers import Model
from tagspace_lab.twin.scenario import Scenario, load_scenario

__all__ = ["PLACES", "quality_by_place"]

PLACES = ("front", "middle", "end")
"""Thirds of a batch, in the order of the prompt."""

_Z = 1.96  # 95 %


def quality_by_place(
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    batch_sizes: Sequence[int] = (1, 5, 10, 20, 50),
    *,
    seeds: int = 20,
) -> pd.DataFrame:
    """Ask all pages with gold labels in batches of each size, once for each of `seeds` seeds, and count what is right.

    One row a batch size and place. Columns: `batch_size` (int64, pages a call; the last batch is filled up with pages
    before it, which count once; a smaller space is one batch),
    `place` (str, one of PLACES; a single page stands in the middle), `pages` (int64, asked), `right_share` (float64,
    0 to 1: answered with exactly the gold labels; a page that the answer leaves out is wrong), `low` and `high`
    (its 95 % interval, Wilson's). InputError for a count below 1 and for a space without gold labels.
    """
    world = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    if seeds < 1 or not batch_sizes or min(batch_sizes) < 1:
        raise InputError(f"seeds is {seeds}, batch sizes are {list(batch_sizes)}; allowed: integers from 1.")
    wiki = as_space(space)
    gold = {page.id: set(labels) for page in map(wiki.page, range(len(wiki))) if (labels := wiki.gold(page.id))}
    if not gold:
        raise InputError(f"{wiki.name} has no gold labels: there is nothing to judge answers by.")
    models = [Model(wiki, world.quality, world.provider.output, seed=seed) for seed in range(seeds)]
    return pd.DataFrame([row for size in batch_sizes for row in _count(gold, models, size)])


def _count(gold: dict[str, set[str]], models: Sequence[Model], size: int) -> Iterator[dict[str, object]]:
    asked, right = Counter[str](), Counter[str]()
    page_ids = list(gold)
    for start in range(0, len(page_ids), size):
        first = max(0, min(start, len(page_ids) - size))
        batch = page_ids[first : first + size]
        places = {page_id: _place(batch.index(page_id), len(batch)) for page_id in batch[start - first :]}
        for model in models:
            asked.update(places.values())
            entries, _ = model.answer(batch)
            fine = [entry["id"] for entry in entries if set(entry["labels"]) == gold[entry["id"]]]
            right.update(places[page_id] for page_id in fine if page_id in places)
    for place in PLACES:
        if asked[place]:
            low, high = _interval(right[place], asked[place])
            share = right[place] / asked[place]
            facts: dict[str, object] = {"batch_size": size, "place": place, "pages": asked[place]}
            yield facts | {"right_share": share, "low": low, "high": high}


def _place(position: int, size: int) -> str:
    return PLACES[int(3 * (position + 0.5) / size)]


def _interval(right: int, asked: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, JASA 22, 1927)."""
    share, weight = right / asked, _Z**2 / asked
    middle = share + weight / 2
    spread = _Z * math.sqrt(share * (1 - share) / asked + weight / asked / 4)
    return (middle - spread) / (1 + weight), (middle + spread) / (1 + weight)
