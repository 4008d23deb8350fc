"""Who gets in: one gate decides over all limits of a provider at once, and says which one refused and for how long.

No clock here: time arrives as `now_s`, in seconds since the start of the run, and never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tagspace_lab.twin.meters import Bucket, FixedWindow, Meter, SlidingWindow
from tagspace_lab.twin.noise import uniform
from tagspace_lab.twin.schema import Event, Limits
from tagspace_lab.twin.supply import Supply

__all__ = ["CONCURRENCY", "OUTAGE", "Charge", "Gate", "Gauge", "Verdict"]

CONCURRENCY, OUTAGE = "concurrency", "outage"
"""Names of refusals that no meter gives."""

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call takes out of each limit; `requests` is 0 when a finished call is settled."""

    requests: float = 1.0
    tokens: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0

    def of(self, limit: str) -> float:
        amount: float = getattr(self, limit)
        return amount


@dataclass(frozen=True, slots=True)
class Gauge:
    """The state of one limit, as headers tell it.

    `limit` is stated per minute, however it is enforced; `remaining` is what would be admitted at once, and
    `reset_s` the time until no more could be.
    """

    limit: float
    remaining: float
    reset_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a call that arrives. `limit` names what refused it, and is empty if it is admitted.

    `wait_s` is the time until the call would be admitted if no other came: inf if never, None if that
    cannot be known. `claim_s` is what Retry-After says, None for nothing.
    """

    limit: str = ""
    status: int = 200
    wait_s: float | None = 0.0
    claim_s: float | None = None
    requested: float = 0.0
    gauge: Gauge | None = None

    @property
    def is_admitted(self) -> bool:
        return not self.limit


class Gate:
    """All limits of one provider. A call is admitted by every one of them or takes from none.

    `phase_s` is how far the outside clock is into a window at time 0; it matters for aligned windows.
    """

    def __init__(
        self,
        limits: Limits,
        events: Sequence[Event] = (),
        *,
        seed: int = 0,
        name: str = "provider",
        phase_s: float = 0.0,
    ) -> None:
        self._limits = limits
        self._key = (seed, name)
        self._supply = Supply(events, seed=seed, name=name)
        self._meters = _build_meters(limits, self._supply, phase_s)
        self._stated = {name: per_min for name, (per_min, _) in _stated_limits(limits).items()}
        self.in_flight = 0

    def admit(self, charge: Charge, now_s: float) -> Verdict:
        """Decide over a call that arrives; an admitted one is charged and in flight until `leave`."""
        verdict = self._judge(charge, now_s)
        if verdict.is_admitted:
            self.in_flight += 1
            self._take(charge, now_s)
        elif self._limits.rejected_count and "requests" in self._meters:
            self._meters["requests"].punish(now_s)
            if verdict.limit in self._meters:
                return self._refuse(verdict.limit, charge, now_s)
        return verdict

    def settle(self, charge: Charge, now_s: float) -> None:
        """Charge what was only known when the call had ended, even if that is more than there is."""
        self._take(charge, now_s)

    def leave(self) -> None:
        """One call in flight has ended, however it did."""
        self.in_flight -= 1

    def gauges(self, now_s: float) -> dict[str, Gauge]:
        """The state of every limit per minute, by name."""
        return {name: self._gauge(name, now_s) for name in self._meters}

    def wait_s(self, charge: Charge, now_s: float) -> float | None:
        """Seconds until the call would be admitted if no other came; None: not before one in flight has left."""
        return self._judge(charge, now_s).wait_s

    def _judge(self, charge: Charge, now_s: float) -> Verdict:
        if outage := self._supply.outage(now_s):
            wait_s = inf if outage.until_s is None else outage.until_s - now_s
            return Verdict(OUTAGE, outage.status, wait_s, outage.retry_after_s)
        cap = self._concurrency_cap(now_s)
        if self.in_flight >= cap:
            gauge = Gauge(cap, cap - self.in_flight, 0.0)
            return Verdict(CONCURRENCY, 429, None, self._claim_s(None, now_s), 1.0, gauge)
        waits_s = {name: meter.wait_s(charge.of(name), now_s) for name, meter in self._meters.items()}
        longest = max(waits_s, key=waits_s.__getitem__, default="")
        if not longest or waits_s[longest] <= 0:
            return Verdict()
        return self._refuse(longest, charge, now_s)

    def _refuse(self, limit: str, charge: Charge, now_s: float) -> Verdict:
        wait_s = max(other.wait_s(charge.of(name), now_s) for name, other in self._meters.items())
        return Verdict(limit, 429, wait_s, self._claim_s(wait_s, now_s), charge.of(limit), self._gauge(limit, now_s))

    def _gauge(self, name: str, now_s: float) -> Gauge:
        meter, scale = self._meters[name], self._supply.piece(now_s).scale
        return Gauge(self._stated[name] * scale, meter.remaining(now_s), meter.reset_s(now_s))

    def _claim_s(self, wait_s: float | None, now_s: float) -> float | None:
        """What Retry-After says: a provider cannot promise a time that it does not know."""
        match self._limits.retry_after:
            case "exact":
                return None if wait_s is None or wait_s == inf else wait_s
            case "late":
                return 1.5 * wait_s + 1.0 if wait_s is not None and wait_s != inf else None
            case "window":
                return self._limits.window_s
            case "wrong":
                return self._limits.window_s * uniform(*self._key, "claim", now_s)
            case "missing":
                return None

    def _concurrency_cap(self, now_s: float) -> float:
        cap = self._limits.concurrency_cap
        return inf if cap is None else max(1.0, int(cap * self._supply.piece(now_s).left))

    def _take(self, charge: Charge, now_s: float) -> None:
        for name, meter in self._meters.items():
            if amount := charge.of(name):
                meter.take(amount, now_s)


def _stated_limits(limits: Limits) -> dict[str, tuple[float, float | None]]:
    """(limit per minute, burst) of every limit that there is, by name."""
    known = {
        "requests": (limits.requests_per_min, limits.burst_requests),
        "tokens": (limits.tokens_per_min, limits.burst_tokens),
        "input_tokens": (limits.input_tokens_per_min, limits.burst_tokens),
        "output_tokens": (limits.output_tokens_per_min, limits.burst_tokens),
    }
    return {name: (per_min, burst) for name, (per_min, burst) in known.items() if per_min is not None}


def _build_meters(limits: Limits, supply: Supply, phase_s: float) -> dict[str, Meter]:
    return {
        name: _build_meter(limits, per_min, burst, supply, phase_s)
        for name, (per_min, burst) in _stated_limits(limits).items()
    }


def _build_meter(limits: Limits, per_min: float, burst: float | None, supply: Supply, phase_s: float) -> Meter:
    quota = per_min / _MINUTE_S * limits.window_s
    match limits.window:
        case "bucket":
            return Bucket(per_min / _MINUTE_S, max(1.0, burst or quota), supply)
        case "fixed":
            phase = phase_s % limits.window_s if limits.aligned else None
            return FixedWindow(quota, limits.window_s, supply, phase_s=phase)
        case "sliding":
            return SlidingWindow(quota, limits.window_s, supply)
