"""A space that asks what a recorded run asked: as many pages, as long, in the same order, and nothing of their text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from tagspace_lab.lab.calibration.answers import first_calls
from tagspace_lab.lab.calibration.findings import NOT_SEEN, TOKENS, Finding, quantile
from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.lab.world import World
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Outcome, Page
from tagspace_lab.twin.scenario import Latency, Limits, Provider, Quality, Scenario

__all__ = ["Replica", "replicate", "token_finding"]

_FIRST_ID = 100_001
_COUNTED = 1_000
"""Calls whose characters are counted."""
_WORD = "word"
_TOKENS_AROUND = 12
"""By which a prompt's estimate counts what stands around a page (`policy/prompts.py`)."""


@dataclass(frozen=True)
class Replica:
    """Pages of so many estimated tokens each; no two are alike. The vocabulary makes a prompt's fixed part as long."""

    tokens: tuple[int, ...]
    vocabulary: tuple[str, ...]
    name: str
    key: str = "REPLICA"
    last_day: int = 0
    content_hash: str = "replica"

    def __len__(self) -> int:
        return len(self.tokens)

    def page(self, index: int, day: int = 0) -> Page:
        if not 0 <= index < len(self):
            raise IndexError(f"page {index} of a space of {len(self)} pages")
        page_id = str(_FIRST_ID + index)
        words = f"{page_id[:6]:<6}" + _WORD * len(page_id)
        body = (words + _WORD * self.tokens[index])[: max(8, 4 * self.tokens[index])]
        return Page(page_id, f"Page {page_id}", f"<p>{body}</p>", 1, self.gold(page_id))

    def index_of(self, page_id: str) -> int:
        if not page_id.isdecimal() or not 0 <= int(page_id) - _FIRST_ID < len(self):
            raise KeyError(page_id)
        return int(page_id) - _FIRST_ID

    def gold(self, page_id: str) -> tuple[str, ...]:
        self.index_of(page_id)
        return self.vocabulary[:1]


def replicate(run: TraceRun, most_calls: int | None = None) -> Replica:
    """The pages that a run asked about, in its first `most_calls` calls; those of one call share its tokens."""
    vocabulary = _vocabulary(run)
    around = LabelRules(vocabulary, run.settings.max_labels).system_tokens
    tokens: list[int] = []
    for call in islice(first_calls(run).values(), most_calls):
        pages = max(1, call.pages)
        each = (call.expected.input_tokens - around - _TOKENS_AROUND * pages) // pages
        tokens += [max(2, each)] * pages
    return Replica(tuple(tokens), vocabulary, run.space)


def _vocabulary(run: TraceRun) -> tuple[str, ...]:
    """As many labels as the run had, as long as they make the fixed part of its prompts."""
    if not run.labels:
        return ()
    bare = LabelRules(tuple(f"{number:x}" for number in range(run.labels)), run.settings.max_labels).system_tokens
    more = max(0, 4 * (run.prompt_tokens - bare)) // run.labels
    return tuple(f"{'x' * more}{number:x}" for number in range(run.labels))


def token_finding(run: TraceRun, dialect: str) -> Finding:
    """`chars_per_token`: the characters of prompts as long as the recorded ones, beside what the provider counted."""
    counted = {each.call: each for each in run.attempts if each.outcome is Outcome.OK and each.input_tokens}
    first = dict(islice(first_calls(run).items(), _COUNTED))
    known = [counted[number] for number in first if number in counted]
    if not any(each.expected.input_tokens for each in known):
        return Finding("chars_per_token", None, NOT_SEEN, note="no answer says how many tokens were read")
    expected = sum(call.expected.input_tokens for call in first.values())
    answered = sum(each.input_tokens for each in known)
    # Prompts that were never answered are as long as they were expected to be.
    used = max(1.0, answered * expected / max(1, sum(each.expected.input_tokens for each in known)))
    value = _count_chars(run, dialect) / used
    ratios = [each.expected.input_tokens / each.input_tokens for each in known]
    middle = quantile(ratios, 0.5) or 1.0
    low, high = (value * quantile(ratios, share) / middle for share in (0.025, 0.975))
    return Finding(
        "chars_per_token", value, TOKENS, low, high, "from prompts as long; the range is that of single calls"
    )


def _count_chars(run: TraceRun, dialect: str) -> float:
    """Characters of all prompts of a replica: a twin with one token a character counts them."""
    provider = Provider.model_validate(
        {
            "headers": dialect,
            "chars_per_token": 1.0,
            "max_context_tokens": 10**9,
            "limits": Limits(),
            "latency": Latency(first_token_s=0.01, first_token_sigma=0.0, output_tokens_per_s=1e9),
        }
    )
    quality = Quality(missing=((1, 0.0),))
    scenario = Scenario(name="count", description="counts", source="none", provider=provider, quality=quality)
    settings = run.settings.with_changes(cache_enabled=False, throttle="fixed")
    return float(
        sum(attempt.input_tokens for attempt in World(replicate(run, _COUNTED), scenario).run(settings).attempts)
    )
