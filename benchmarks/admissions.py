"""What the throttle itself costs: admissions that never wait."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.figures import Figure, Stopwatch, fresh

__all__ = ["measure"]

_ADMISSIONS = 1_000_000
_EACH_US = 20.0


def measure() -> Iterator[Figure]:
    each_us = fresh(_admit)
    what = f"{_ADMISSIONS:,} admissions by `learned` that never wait"
    yield Figure(what, f"< {_EACH_US:g} CPU µs each", f"{each_us:.1f} CPU µs each", each_us < _EACH_US)


def _admit() -> float:
    """CPU microseconds of one call: asked when it may start, started, ended."""
    from tagspace_lab.policy.limits import Start, make_limiter
    from tagspace_lab.records import Cost, Outcome, Reply
    from tagspace_lab.settings import Settings

    limiter, cost = make_limiter(Settings(), random.Random(0)), Cost(900, 100)  # noqa: S311
    reply = Reply(Outcome.OK, 200, used=Cost(900, 50))
    watch = Stopwatch()
    for number in range(_ADMISSIONS):
        at_s = number * 0.1
        assert limiter.ready_at(at_s, 0, cost) == at_s
        start = Start(at_s, cost, 1)
        limiter.on_start(start)
        limiter.on_end(at_s + 0.05, start, reply)
    return watch.cpu_s / _ADMISSIONS * 1e6
