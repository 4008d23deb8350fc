"""The quality curve of a live model: one sample of pages tagged at several batch sizes, compared page by page."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tagspace_lab.clients.models import Model
from tagspace_lab.errors import ScenarioError
from tagspace_lab.lab.facts import rounded
from tagspace_lab.lab.samples import Sample, tag_pages
from tagspace_lab.pipeline.router import Endpoint
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prompts import LabelRules, Prompt, parse_answer
from tagspace_lab.records import Attempt, Outcome, Reply, Status
from tagspace_lab.settings import Settings
from tagspace_lab.twin.schema import Quality

__all__ = ["QualityCurve", "SizeResult", "measure_quality", "read_quality"]

Labels = Mapping[str, tuple[str, ...]]
_RESAMPLES = 2_000
_CONFIDENCE = 0.95
_AGAIN = "again"


@dataclass(frozen=True, slots=True)
class SizeResult:
    """One pass over the sample. `labels` by page id; pages that ended as errors have none.

    `left_out`: the share of pages that answers to prompts of this size left out.
    """

    batch_size: int
    labels: Labels
    calls: int
    tokens: int
    left_out: float


@dataclass(frozen=True)
class QualityCurve:
    """The passes in order: batch size 1 twice (it does not agree with itself either), then the others."""

    sample: Sample
    first: SizeResult
    again: SizeResult
    others: tuple[SizeResult, ...]
    seed: int

    @property
    def has_gold(self) -> bool:
        return any(page.labels for page in self.sample.pages)

    def rows(self) -> list[dict[str, Any]]:
        """One row a pass: `agreement` with the first (share of pages with the same labels), `f1`; 95 % intervals."""
        names = ["1", f"1 {_AGAIN}", *(str(each.batch_size) for each in self.others)]
        passes = (self.first, self.again, *self.others)
        return [self._row(name, each) for name, each in zip(names, passes, strict=True)]

    def quality(self) -> Quality:
        """The table `[quality]` of a scenario. Accuracies are relative to what batch size 1 agrees with itself, or,
        where there are gold labels, to its own share of pages that are all right.
        """
        by_size = {1: self.first} | {each.batch_size: each for each in self.others}
        accuracies = {size: self._accuracy(each) for size, each in sorted(by_size.items())}
        whole = accuracies[1] or 1.0
        relative, missing, lowest, highest = [], [], 1.0, 0.0
        for size, accuracy in accuracies.items():
            lowest = min(lowest, accuracy / whole)
            highest = max(highest, by_size[size].left_out)
            relative.append((size, round(lowest, 4)))
            missing.append((size, round(highest, 4)))
        known = {"accuracy": round(accuracies[1], 4)} if self.has_gold else {}
        return Quality.model_validate({"relative_accuracy": tuple(relative), "missing": tuple(missing), **known})

    def to_toml(self) -> str:
        """A file with the table `[quality]` alone, for `calibrate --quality`, or to be put into a scenario."""
        quality = self.quality()
        source = f"{len(self.sample)} pages at batch sizes {', '.join(row['batch_size'] for row in self.rows())}"
        gold = "against gold labels" if self.has_gold else "accuracy is not known without gold labels: the default"
        return (
            f"# Measured on {source}, seed {self.seed}; {gold}.\n[quality]\n"
            f"accuracy = {quality.accuracy}\n"
            f"relative_accuracy = {json.dumps([list(point) for point in quality.relative_accuracy])}\n"
            f"missing = {json.dumps([list(point) for point in quality.missing])}\n"
        )

    def to_dict(self) -> dict[str, Any]:
        """What `quality --json` prints."""
        return {
            "pages": len(self.sample),
            "seed": self.seed,
            "sizes": self.rows(),
            "quality": self.quality().model_dump(mode="json"),
        }

    def _accuracy(self, each: SizeResult) -> float:
        """All right against the gold labels; without these, the same as the first pass (its own: the second's)."""
        if self.has_gold:
            return float(self._matches(each, self._gold()).mean())
        other = self.again if each is self.first else each
        return float(self._matches(other, self.first.labels).mean())

    def _gold(self) -> Labels:
        return {page.id: page.labels for page in self.sample.pages}

    def _row(self, name: str, each: SizeResult) -> dict[str, Any]:
        agreement = self._matches(each, self.first.labels)
        row: dict[str, Any] = {"agreement": float(agreement.mean())}
        row["agreement_low"], row["agreement_high"] = self._interval(lambda drawn: agreement[drawn].mean(axis=1))
        counts = self._counts(each)
        has_f1 = self.has_gold
        row["f1"] = float(_f1(counts.sum(axis=0)[None])[0]) if has_f1 else None
        bounds = self._interval(lambda drawn: _f1(counts[drawn].sum(axis=1))) if has_f1 else (None, None)
        row["f1_low"], row["f1_high"] = bounds
        row |= {"left_out": each.left_out, "calls": each.calls, "tokens_per_page": each.tokens / len(self.sample)}
        return {"batch_size": name} | rounded(row)

    def _matches(self, each: SizeResult, wanted: Labels) -> NDArray[np.float64]:
        """1.0 for every page whose labels are the wanted ones, whatever their order."""
        pages = self.sample.pages
        return np.array(
            [page.id in each.labels and set(each.labels[page.id]) == set(wanted.get(page.id, ())) for page in pages],
            float,
        )

    def _counts(self, each: SizeResult) -> NDArray[np.float64]:
        """For every page: labels that are right, that were given, and that are wanted."""
        rows = [(set(each.labels.get(page.id, ())), set(page.labels)) for page in self.sample.pages]
        return np.array([(len(given & gold), len(given), len(gold)) for given, gold in rows], float)

    def _interval(self, statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> tuple[float, float]:
        """The bootstrap's, over pages; the same resamples for every pass, so that differences can be compared."""
        count = len(self.sample)
        drawn = np.random.default_rng(self.seed).integers(count, size=(_RESAMPLES, count))
        low, high = np.quantile(statistic(drawn), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        return float(low), float(high)


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Micro-F1 of (right, given, wanted), row by row; 0 where nothing is given or wanted."""
    total = counts[:, 1] + counts[:, 2]
    return np.divide(2 * counts[:, 0], total, out=np.zeros_like(total), where=total > 0)


async def measure_quality(
    sample: Sample,
    model: Model,
    sizes: Sequence[int],
    *,
    rules: LabelRules,
    settings: Settings,
    seed: int = 0,
    record: Callable[[Attempt], None] | None = None,
) -> QualityCurve:
    """Tag `sample` at batch size 1 twice and once at every other of `sizes`, with one throttle for all passes.

    Each pass has the pages in another order: neighbours and places in a batch matter, and are luck. `record` gets
    every attempt. Nothing is written to any page.
    """
    rng = random.Random(f"quality {seed}")  # noqa: S311 - an order, and jitter
    watch = _Watch(model, rules)
    endpoint = Endpoint("primary", watch, Throttle(make_limiter(settings, rng)))
    results = []
    for size in (1, 1, *sorted(set(sizes) - {1})):
        pages = list(sample.pages)
        rng.shuffle(pages)
        watch.begin(size)
        shuffled = Sample(tuple(pages), sample.vocabulary)
        result = await tag_pages(shuffled, endpoint, settings.with_changes(batch_size=size), rules, rng, record)
        tagged = {each.page_id: each.labels for each in result.results if each.status is Status.TAGGED}
        answered = [attempt for attempt in result.attempts if attempt.outcome is Outcome.OK]
        tokens = sum(attempt.input_tokens + attempt.output_tokens for attempt in answered)
        results.append(SizeResult(size, tagged, len(answered), tokens, watch.left_out))
    first, again, *others = results
    return QualityCurve(sample, first, again, tuple(others), seed)


class _Watch:
    """A model that counts the pages which its answers to prompts of one size leave out."""

    def __init__(self, model: Model, rules: LabelRules) -> None:
        self._model, self._rules = model, rules
        self.begin(1)

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def left_out(self) -> float:
        return self._missing / self._asked if self._asked else 0.0

    def begin(self, size: int) -> None:
        self._size, self._asked, self._missing = size, 0, 0

    async def send(self, prompt: Prompt) -> Reply:
        reply = await self._model.send(prompt)
        if reply.outcome is Outcome.OK and len(prompt.page_ids) == self._size:
            self._asked += self._size
            self._missing += len(parse_answer(reply.text, prompt.page_ids, self._rules).missing)
        return reply


def read_quality(path: Path) -> Quality:
    """The table `[quality]` of a TOML file; ScenarioError says what is wrong with it."""
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("quality")
        if not isinstance(table, dict):
            raise ScenarioError(f"{path} holds no table [quality]; make one with `tagspace-lab quality -o {path}`")
        return Quality.model_validate_json(json.dumps(table))
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ScenarioError(f"{path}: this is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ScenarioError(f"{path}: quality.{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from error
