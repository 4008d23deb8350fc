"""What is hit of what can be hit: the run-aware store beside LRU, W-TinyLFU and Belady; and what a call of it costs."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

from benchmarks.caches import EDITS, POLICIES, Trace, cut, cyclic, hit_share, weekly, zipf
from benchmarks.figures import Figure, Stopwatch, skipped
from benchmarks.results import format_table, write_section
from tagspace_lab.clients.stores import MemoryStore, RedisStore, SQLiteStore, Store

__all__ = ["measure"]

_OF_BEST, _OF_BELADY, _BELOW_LRU = 0.98, 0.94, 0.05
_CYCLES = ((100, 99), (1_000, 500), (3_000, 431), (10_000, 100))
_RE_RUNS = 9
_WEEKLY_ENTRIES = 431
_REQUESTS = 1_000_000
_RUN_SIZES = (100, 1_000, 10_000, 100_000, _REQUESTS)
_CALLS = 10_000
_HEADING = "Cache policies"
_WORDS = f"""\
`python -m benchmarks cache-policies` writes this section: shares of all requests that are hits. `ours` is the store in
memory, which the others equal call for call. Belady knows the future and keeps only what it wants; W-TinyLFU is
theine's, which hashes anew in each process, so that its last digits vary.

- cyclic: {_RE_RUNS} passes over a space that does not change, after a first one that is not counted. The best possible
  is (C - 1) / (N - 1) of a scan without an end; `ours` keeps C of N, which is a little more.
- digitalgov: the job run weekly over all pages of a public site, 2017 to 2025, with {_WEEKLY_ENTRIES} entries.
- Zipf: {_REQUESTS:,} independent requests of 100,000 keys, exponent 0.8, the first tenth not counted; `ours` sees them
  as runs of so many requests, each ended whole.
"""
_HEAD = ("trace", "entries", *POLICIES)


def measure() -> Iterator[Figure]:
    """Writes the section with the tables."""
    rows: list[Sequence[str]] = []
    yield from _measure_cycles(rows)
    yield from _measure_weeks(rows)
    yield from _measure_zipf(rows)
    costs = list(_measure_calls())
    table = format_table(("store", f"{_CALLS:,} puts", f"{_CALLS:,} gets", "end of a run"), costs)
    write_section(
        _HEADING,
        f"{_WORDS}\n{format_table(_HEAD, rows)}\nOne process, wall clock; the end of a run gives all up.\n\n{table}"
        f"\ntheine {version('theine')}, redis-py {version('redis')}.",
    )


def _measure_cycles(rows: list[Sequence[str]]) -> Iterator[Figure]:
    for pages, entries in _CYCLES:
        shares = _shares(cyclic(pages, _RE_RUNS + 1), entries, first=pages)
        rows.append(_row(f"cyclic, {pages:,} pages", entries, shares))
        of_best = shares["ours"] / ((entries - 1) / (pages - 1))
        what = f"cache of {entries:,} on a cyclic scan of {pages:,}: hits of the best possible"
        yield Figure(what, f">= {_OF_BEST:.0%}", f"{of_best:.1%}", of_best >= _OF_BEST)


def _measure_weeks(rows: list[Sequence[str]]) -> Iterator[Figure]:
    what = f"cache of {_WEEKLY_ENTRIES} on digitalgov, weekly: hits of Belady's"
    target = f">= {_OF_BELADY:.0%}"
    if not EDITS.is_file():
        yield skipped(what, target, f"{EDITS.name} is not there")
        return
    shares = _shares(weekly(), _WEEKLY_ENTRIES)
    rows.append(_row("digitalgov, weekly", _WEEKLY_ENTRIES, shares))
    of_belady = shares["ours"] / shares["Belady"]
    yield Figure(what, target, f"{of_belady:.1%}", of_belady >= _OF_BELADY)


def _measure_zipf(rows: list[Sequence[str]]) -> Iterator[Figure]:
    requests, first = zipf(_REQUESTS), _REQUESTS // 10
    for entries in (1_000, 10_000):
        shares = _shares([requests], entries, first=first)
        for size in _RUN_SIZES:
            shares["ours"] = hit_share(POLICIES["ours"], cut(requests, size), entries, first=first)
            name = f"Zipf, runs of {size:,}" if size < _REQUESTS else "Zipf, one run"
            rows.append(_row(name, entries, shares))
            above = shares["ours"] - shares["LRU"]
            what = f"cache of {entries:,} on {name}: points above LRU"
            yield Figure(what, f">= -{100 * _BELOW_LRU:.0f}", f"{100 * above:+.1f}", above >= -_BELOW_LRU)


def _shares(trace: Trace, entries: int, first: int = 0) -> dict[str, float]:
    return {name: hit_share(policy, trace, entries, first=first) for name, policy in POLICIES.items()}


def _row(trace: str, entries: int, shares: Mapping[str, float]) -> Sequence[str]:
    return (trace, f"{entries:,}", *(f"{share:.3f}" for share in shares.values()))


def _measure_calls() -> Iterator[Sequence[str]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield _time_calls("memory", MemoryStore(_CALLS))
        yield _time_calls("SQLite", SQLiteStore(Path(folder, "cache.db"), _CALLS))
        if shutil.which("redis-server"):
            yield _time_calls("Redis, over loopback", RedisStore(_start_redis(Path(folder), stack), _CALLS))


def _time_calls(name: str, store: Store) -> Sequence[str]:
    keys = [f"{number:064x}" for number in range(_CALLS)]
    with closing(store):
        watch = Stopwatch()
        kept = [store.put(key, ("alpha", "beta", "gamma"), "S", "1") for key in keys]
        put_s, watch = watch.wall_s, Stopwatch()
        found = [store.get(key, "S", "2") for key in keys]
        get_s = watch.wall_s
        store.end_run("S", "2")
        watch = Stopwatch()
        given_up = store.end_run("S", "3")
        end_s = watch.wall_s
    assert all(kept)
    assert all(found)
    assert given_up == _CALLS
    return name, f"{put_s:.3f} s", f"{get_s:.3f} s", f"{end_s:.3f} s"


def _start_redis(folder: Path, stack: ExitStack) -> str:
    """The URL of a server that ends with the stack."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(server.kill)
    assert server.stdout is not None
    assert any("Ready to accept connections" in line for line in server.stdout)
    return f"redis://127.0.0.1:{port}/0"
