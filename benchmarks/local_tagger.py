"""The digitalgov pages tagged by `local`, through the pipeline: how good its labels are, and how long it takes."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.digitalgov import ARCHIVE, convert
from benchmarks.figures import Figure, Stopwatch, fresh, skipped
from benchmarks.results import format_table, write_section

__all__ = ["measure"]

_WHAT = "the digitalgov pages tagged by `local` within their vocabulary"
_MIN_F1 = 0.40
_PROCESSES = 3
_HEADING = "Labels by the embedded tagger"
_WORDS = """\
`python -m benchmarks local-tagger` writes this section: pages of a public web site whose labels people gave, 55 in all
and 2.9 a page, tagged through the pipeline with today's settings, at most 5 labels a page, without a network. The
numbers in `policy/matching.py` were chosen on these pages (on one half of them, they do as well on the other); another
site may suit them less. Of the two other ways that number of labels a page is shown which is best; what is frequent is
told by the gold labels, which `local` never sees.
"""


@dataclass(frozen=True, slots=True)
class _Tagged:
    """One way to label the pages: micro-averaged, and in seconds where it was timed."""

    way: str
    f1: float
    precision: float
    recall: float
    labels: int
    pages: int
    cpu_s: float = 0.0


def measure() -> Iterator[Figure]:
    """Runs each way; writes the section with the table."""
    target = f"micro-F1 >= {_MIN_F1:.2f}"
    if not ARCHIVE.is_file():
        yield skipped(_WHAT, target, f"{ARCHIVE.name} is not there")
        return
    with tempfile.TemporaryDirectory() as folder:
        snapshot = fresh(convert, folder)
        runs = [fresh(_tag, snapshot) for _ in range(_PROCESSES)]
        keywords = fresh(_tag, snapshot, every=10, has_vocabulary=False)
        others = fresh(_tag_otherwise, snapshot)
    local = min(runs, key=lambda run: run.cpu_s)
    time = f"{local.pages:,} pages in {local.cpu_s:.1f} CPU s, {local.pages / local.cpu_s:,.0f} a second"
    other_time = f"{keywords.cpu_s / keywords.pages * 1e3:.0f} CPU ms a page, over {keywords.pages} pages"
    table = _table([local, *others])
    write_section(_HEADING, f"{_WORDS}\n{table}\n`local` read and tagged {time}; without a vocabulary, {other_time}.")
    yield Figure(_WHAT, target, f"{local.f1:.3f}; {time}", local.f1 >= _MIN_F1)
    yield Figure("the same without a vocabulary: keywords", "", other_time, None)


def _table(ways: Sequence[_Tagged]) -> str:
    rows = (
        (way.way, *(f"{share:.3f}" for share in (way.f1, way.precision, way.recall)), f"{way.labels / way.pages:.1f}")
        for way in ways
    )
    return format_table(("labels", "micro-F1", "precision", "recall", "labels a page"), rows)


def _tag(snapshot: Path, every: int = 1, has_vocabulary: bool = True) -> _Tagged:
    """One run of the pipeline over every so many pages, once all is imported and read."""
    from tagspace_lab.clients.models.local import LocalTagger
    from tagspace_lab.lab.snapshots import load_space
    from tagspace_lab.pipeline.cache import ResultCache
    from tagspace_lab.pipeline.pipeline import Pipeline, RunResult
    from tagspace_lab.pipeline.router import Endpoint, Router
    from tagspace_lab.pipeline.throttle import Throttle
    from tagspace_lab.policy.limits import make_limiter
    from tagspace_lab.policy.prompts import LabelRules
    from tagspace_lab.records import Page
    from tagspace_lab.settings import Settings

    space, settings, rng = load_space(snapshot), Settings(), random.Random(0)  # noqa: S311
    pages = [space.page(index) for index in range(0, len(space), every)]
    rules = LabelRules(space.vocabulary if has_vocabulary else (), settings.max_labels)
    result = RunResult("local")
    model = LocalTagger(rules)

    class Source:
        async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
            for start in range(0, len(pages), 100):
                yield pages[start : start + 100]

    async def run() -> None:
        endpoint = Endpoint("local", model, Throttle(make_limiter(settings, rng)))
        router = Router(endpoint, None, settings=settings, rules=rules, rng=rng, record=result.attempts.append)
        cache = ResultCache(None, space.key, result.task_id)
        pipeline = Pipeline(
            Source(), router, cache, settings=settings, rules=rules, model_name=model.name, result=result
        )
        await pipeline.run(space.key)

    watch = Stopwatch()
    asyncio.run(run())
    cpu_s = watch.cpu_s
    assert (result.processed, result.errors) == (len(pages), 0)
    labels = {tagging.page_id: tagging.labels for tagging in result.results}
    return _rate("`local`", [labels[page.id] for page in pages], [page.labels for page in pages], cpu_s)


def _tag_otherwise(snapshot: Path) -> list[_Tagged]:
    """The most frequent labels for every page, and the labels that stand in its text word by word."""
    from tagspace_lab.lab.snapshots import load_space
    from tagspace_lab.policy.text import page_text

    space = load_space(snapshot)
    pages = [space.page(index) for index in range(len(space))]
    gold = [page.labels for page in pages]
    frequent = [label for label, _ in Counter(label for labels in gold for label in labels).most_common()]
    found = [_find(f"{page.title} {page_text(page.body)}".lower(), space.vocabulary) for page in pages]
    sizes = range(1, 6)
    return [
        max((_rate("labels that stand in the text", [each[:most] for each in found], gold) for most in sizes), key=_f1),
        max((_rate("the most frequent labels", [frequent[:most]] * len(gold), gold) for most in sizes), key=_f1),
    ]


def _find(text: str, vocabulary: Sequence[str]) -> list[str]:
    counts = {label: text.count(label.replace("-", " ")) for label in vocabulary}
    return sorted(filter(counts.__getitem__, counts), key=lambda label: -counts[label])


def _rate(way: str, given: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], cpu_s: float = 0.0) -> _Tagged:
    right = sum(len(set(labels) & set(wanted)) for labels, wanted in zip(given, gold, strict=True))
    labels, wanted = (sum(map(len, sets)) for sets in (given, gold))
    return _Tagged(way, 2 * right / (labels + wanted), right / max(labels, 1), right / wanted, labels, len(gold), cpu_s)


def _f1(way: _Tagged) -> float:
    return way.f1
