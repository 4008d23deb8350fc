"""How time and memory grow with the space: 500 pages beside 20,000, each in a process of its own."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from benchmarks.figures import Figure, Stopwatch, fresh

__all__ = ["measure"]

_SMALL, _LARGE = 500, 20_000
_TIMES = 40
_MIB = 100
_ROUNDS = 3


def measure() -> Iterator[Figure]:
    rounds = [(fresh(_replay, _SMALL), fresh(_replay, _LARGE), fresh(_replay, _SMALL)) for _ in range(_ROUNDS)]
    small_s = min(cpu_s for before, _, after in rounds for cpu_s, _ in (before, after))
    large_s = min(large[0] for _, large, _ in rounds)
    growth_mib = max(large[1] - before[1] for before, large, _ in rounds)
    what = f"{_LARGE:,} generated pages beside {_SMALL}"
    costs = f"{large_s / small_s:.1f} times ({small_s:.2f} and {large_s:.2f} CPU s)"
    yield Figure(f"{what}: cost", f"<= {_TIMES} times", costs, large_s <= _TIMES * small_s)
    yield Figure(f"{what}: peak memory", f"< {_MIB} MiB more", f"{growth_mib:.0f} MiB more", growth_mib < _MIB)


def _replay(pages: int) -> tuple[float, float]:
    """CPU s of one run, and the peak of the process's memory in MiB."""
    from tagspace_lab.lab.replay import replay
    from tagspace_lab.twin.spaces import GeneratedSpace

    watch = Stopwatch()
    replay(GeneratedSpace("many", pages), "openai-tier1", runs=1, progress=False)
    return watch.cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
