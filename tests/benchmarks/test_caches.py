"""The three promises of the cache, and the yardsticks that they are measured with."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.caches import EDITS, POLICIES, Trace, cut, cyclic, hit_share, weekly, zipf
from tests.fakes import examples

OURS, LRU, BELADY = (POLICIES[name] for name in ("ours", "LRU", "Belady"))
needs_corpora = pytest.mark.skipif(not EDITS.exists(), reason="the corpora do not lie beside the checkout")


@pytest.mark.parametrize(("pages", "entries"), [(100, 99), (1_000, 431), (2_000, 20)])
def test_cyclic_scan_larger_than_the_cache_hits_what_is_possible(pages: int, entries: int) -> None:
    share = hit_share(OURS, cyclic(pages, 6), entries, first=pages)
    assert share >= 0.98 * (entries - 1) / (pages - 1)
    assert share <= hit_share(BELADY, cyclic(pages, 6), entries, first=pages)
    assert hit_share(LRU, cyclic(pages, 6), entries) == 0


@needs_corpora
def test_weekly_edits_of_a_real_site_hit_what_belady_does() -> None:
    trace = weekly()
    assert len(trace) == 416
    assert sum(map(len, trace)) // len(trace) == 3_153
    best = hit_share(BELADY, trace, 431)
    assert best == pytest.approx(0.133, abs=0.0005)
    assert hit_share(OURS, trace, 431) >= 0.94 * best


@pytest.mark.parametrize("entries", [1_000, 10_000])
def test_zipf_is_hit_as_lru_does_however_it_is_cut_into_runs(entries: int) -> None:
    requests = zipf(200_000)
    least = hit_share(LRU, [requests], entries) - 0.05
    assert least > 0.1
    for size in (100, 3_000, 30_000, len(requests)):
        assert hit_share(OURS, cut(requests, size), entries) >= least


def best_share(trace: Trace, entries: int) -> float:
    """The most hits of all ways to keep `entries` keys, by trying them all."""
    requests = list(chain.from_iterable(trace))
    most: dict[frozenset[str], int] = {frozenset(): 0}
    for key in requests:
        after: dict[frozenset[str], int] = {}
        for kept, hits in most.items():
            ways = [
                kept,
                *(((kept - {gone}) | {key}) for gone in kept),
                *([kept | {key}] if len(kept) < entries else []),
            ]
            for way in ways:
                after[way] = max(after.get(way, 0), hits + (key in kept))
        most = after
    return max(most.values()) / len(requests)


@examples(100)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=14), st.integers(1, 3), st.integers(1, 5))
def test_belady_is_the_best_of_all_ways(requests: list[str], entries: int, size: int) -> None:
    trace = cut(requests, size)
    best = hit_share(BELADY, trace, entries)
    assert best == best_share(trace, entries)
    assert all(hit_share(policy, trace, entries) <= best for policy in (OURS, LRU))


def test_lru_keeps_the_latest() -> None:
    assert list(LRU([list("abcabdab")], 3)) == [False, False, False, True, True, False, True, True]


def test_modern_policy_of_the_library_runs_beside() -> None:
    pytest.importorskip("theine")
    assert hit_share(POLICIES["W-TinyLFU"], [zipf(20_000, keys=1_000)], 100) > 0.2
