"""The twin against itself: the same run over real sockets in real time must take what virtual time says."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.figures import Figure

__all__ = ["measure"]

_ROUNDS = 3
_MAKESPAN = 0.03
_REFUSALS = 2
_REFUSALS_SHARE = 0.10


def measure() -> Iterator[Figure]:
    virtual_s, expected = _replay(wall_clock=False)
    rounds = [_replay(wall_clock=True) for _ in range(_ROUNDS)]
    real_s, refusals = median(seconds for seconds, _ in rounds), median(count for _, count in rounds)
    off = real_s / virtual_s - 1
    what = f"blind-bucket, `large`, batch 1, wall clock beside virtual time, median of {_ROUNDS}"
    told = f"{off:+.1%} ({real_s:.2f} s beside {virtual_s:.2f} s)"
    yield Figure(f"{what}: makespan", f"within {_MAKESPAN:.0%}", told, abs(off) <= _MAKESPAN)
    allowed = max(_REFUSALS, _REFUSALS_SHARE * expected)
    yield Figure(
        f"{what}: 429s", "within 2 or 10 %", f"{refusals} beside {expected}", abs(refusals - expected) <= allowed
    )


def _replay(*, wall_clock: bool) -> tuple[float, int]:
    """Makespan in s, and 429s."""
    from tagspace_lab.lab.replay import replay
    from tagspace_lab.settings import Settings

    settings = Settings(batch_size=1)
    run = replay("large", "blind-bucket", settings, runs=1, progress=False, wall_clock=wall_clock).runs[0]
    return run.makespan_s, run.rate_limit_errors
