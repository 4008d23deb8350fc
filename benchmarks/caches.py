"""Traces of what a cache is asked for, and how many hits each policy has of them.

A trace is a sequence of runs; a run is the keys that one pass over a space asks for. Ours knows where a run ends, the
others see one long list.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Final

from tagspace_lab.lab.caches import Policy, Trace, belady, run_aware

__all__ = ["EDITS", "POLICIES", "Policy", "Trace", "cut", "cyclic", "hit_share", "weekly", "zipf"]

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "corpora"
EDITS: Final = Path(os.environ.get("TAGSPACE_CORPORA") or _BESIDE, "digitalgov-edits.csv.gz")
_WEEK_S: Final = 7 * 24 * 3600


def cyclic(keys: int, runs: int) -> Trace:
    """So many passes over one space that does not change."""
    return [[str(key) for key in range(keys)]] * runs


def weekly(edits: Path = EDITS) -> Trace:
    """The contents of all pages of digital.gov, every week from 2017 to 2025: a hash each, oldest page first."""
    return list(_read_weeks(edits))


def _read_weeks(edits: Path) -> Iterator[Sequence[str]]:
    live: dict[str, str] = {}
    with gzip.open(edits, "rt", encoding="utf-8", newline="") as file:
        ends_s = None
        for edit in csv.DictReader(file):
            at_s = int(edit["unix_time_s"])
            ends_s = ends_s or at_s + _WEEK_S
            while at_s > ends_s:
                yield list(live.values())
                ends_s += _WEEK_S
            if edit["content_hash"]:
                live[edit["page"]] = edit["content_hash"]
            else:
                live.pop(edit["page"], None)
    yield list(live.values())


def zipf(requests: int, *, exponent: float = 0.8, keys: int = 100_000, seed: int = 0) -> Sequence[str]:
    """Requests that know nothing of one another; key number k is asked for with a share of 1 / k ** exponent."""
    shares = list(accumulate((number + 1) ** -exponent for number in range(keys)))
    return random.Random(seed).choices([str(key) for key in range(keys)], cum_weights=shares, k=requests)  # noqa: S311


def cut(requests: Sequence[str], size: int) -> Trace:
    """Runs of `size` requests each."""
    return [requests[start : start + size] for start in range(0, len(requests), size)]


def lru(trace: Trace, capacity: int) -> Iterator[bool]:
    """What was asked for least recently makes room."""
    kept = OrderedDict[str, None]()
    for key in chain.from_iterable(trace):
        yield key in kept
        kept[key] = None
        kept.move_to_end(key)
        if len(kept) > capacity:
            kept.popitem(last=False)


def w_tinylfu(trace: Trace, capacity: int) -> Iterator[bool]:
    """A modern general policy, as theine has it: frequency decides who is admitted, behind a window of recent keys."""
    from theine import Cache

    cache = Cache[str, bool](capacity, nolock=True)
    for key in chain.from_iterable(trace):
        _, is_hit = cache.get(key)
        if not is_hit:
            cache.set(key, True)
        yield is_hit


def hit_share(policy: Policy, trace: Trace, capacity: int, *, first: int = 0) -> float:
    """Hits of the requests, 0 to 1; the `first` of them only fill the cache."""
    hits = list(policy(trace, capacity))[first:]
    return sum(hits) / len(hits)


POLICIES: Final[Mapping[str, Policy]] = {
    "ours": run_aware,
    "LRU": lru,
    "W-TinyLFU": w_tinylfu,
    "Belady": belady,
}
