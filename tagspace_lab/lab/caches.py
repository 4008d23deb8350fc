"""What a space's runs ask a cache for, day after day, and how much of it can be hit at all.

A trace is a sequence of runs; a run is the keys that one pass over a space asks for, each once. The store of the
package knows where a run ends. `belady` sees one long list and knows the future, and need not keep what it was
asked for: no policy can hit more of it all (L. A. Belady, IBM Systems Journal 5, 1966).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.errors import InputError
from tagspace_lab.lab.replay import as_space
from tagspace_lab.lab.world import TextMemo
from tagspace_lab.policy.prompts import LabelRules, text_key
from tagspace_lab.records import Space
from tagspace_lab.settings import Settings

__all__ = ["Policy", "Trace", "belady", "hits_by_day", "run_aware", "trace_days"]

Trace = Sequence[Sequence[str]]
Policy = Callable[[Trace, int], Iterator[bool]]
"""Whether each request of a trace is a hit, in a cache of so many entries."""


def hits_by_day(space: str | Path | Space, cache_sizes: Sequence[int], days: int = 15) -> pd.DataFrame:
    """The hit rates of a run a day over `space` while it is edited, for each cache size, beside the best possible.

    One row a cache size and day. Columns: `cache_size` (int64, entries), `day` (int64; day 0 meets an empty cache),
    `hit_rate` and `best_hit_rate` (float64, share of the texts looked up that day, 0 to 1). The best is `belady`'s:
    most hits over all days together, and on a single day perhaps fewer than another policy has. InputError for a
    count below 1, and for a space that cannot be read.
    """
    if days < 1 or not cache_sizes or min(cache_sizes) < 1:
        raise InputError(f"days is {days}, cache sizes are {list(cache_sizes)}; allowed: integers from 1.")
    trace = trace_days(as_space(space), days)
    rows = [
        {"cache_size": size, "day": day, "hit_rate": share, "best_hit_rate": best}
        for size in cache_sizes
        for day, (share, best) in enumerate(
            zip(_shares(run_aware, trace, size), _shares(belady, trace, size), strict=True)
        )
    ]
    return pd.DataFrame(rows)


def trace_days(space: Space, days: int) -> Trace:
    """The keys of the space's texts as they were on day 0, 1, ...; equal texts of one day are asked for once."""
    texts, rules = TextMemo(), LabelRules(space.vocabulary, Settings().max_labels)
    return [list(dict.fromkeys(_read_keys(space, day, texts, rules))) for day in range(days)]


def run_aware(trace: Trace, capacity: int) -> Iterator[bool]:
    """The cache store in memory; every run ends whole."""
    store = MemoryStore(capacity)
    for number, keys in enumerate(trace):
        run = str(number)
        for key in keys:
            is_hit = store.get(key, "S", run) is not None
            if not is_hit:
                store.put(key, (), "S", run)
            yield is_hit
        store.end_run("S", run)


def belady(trace: Trace, capacity: int) -> Iterator[bool]:
    """What will be asked for last makes room, be it the new key itself."""
    requests = list(chain.from_iterable(trace))
    kept: dict[str, int] = {}  # when the key will be asked for next
    latest: list[tuple[int, str]] = []  # heap of (-when, key); what does not agree with `kept` is stale
    for key, at in zip(requests, _next_requests(requests), strict=True):
        is_hit = key in kept
        yield is_hit
        if not is_hit and len(kept) >= capacity:
            while kept.get(latest[0][1]) != -latest[0][0]:
                heapq.heappop(latest)
            if at >= -latest[0][0]:
                continue
            del kept[heapq.heappop(latest)[1]]
        kept[key] = at
        heapq.heappush(latest, (-at, key))


def _read_keys(space: Space, day: int, texts: TextMemo, rules: LabelRules) -> Iterable[str]:
    for index in range(len(space)):
        page = space.page(index, day)
        if text := texts.read(page.body):
            yield text_key(page.title, text, rules, "twin")


def _shares(policy: Policy, trace: Trace, capacity: int) -> Iterator[float]:
    """Hits of the requests, run by run."""
    hits = policy(trace, capacity)
    return (sum(islice(hits, len(keys))) / len(keys) if keys else 0.0 for keys in trace)


def _next_requests(requests: Sequence[str]) -> list[int]:
    """For each request, the number of the next one of its key; of those without one each a number of its own."""
    nexts, seen = [0] * len(requests), dict[str, int]()
    for number in reversed(range(len(requests))):
        nexts[number] = seen.get(requests[number], len(requests) + number)
        seen[requests[number]] = number
    return nexts
