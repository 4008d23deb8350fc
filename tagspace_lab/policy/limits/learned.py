"""Learns how many calls may be in flight and how fast they may start, from what is refused and what is not.

Four things hold a call back, each with its own file and its own reason, and the latest of them counts:

- the *window* (`window.py`): calls in flight, found by one more at a time, and a cap once one shows;
- a *bucket* for each limit on requests and tokens (`bucket.py`): a rate that refusals bound, and what is left, which
  headers state;
- the *gate* (`gate.py`): after a refusal nobody starts for a while, then one call goes first.

One decrease for one congestion event: a refusal of a call that was sent before the last decrease teaches nothing more.
A refusal teaches the limit that it names; one that names none teaches those that are stated as used up, or, where no
header states any, requests and tokens both, of which that one paces whose interval contradicts itself less often.
Above the pace it probes sparingly, at intervals that double when they fail and shorten when they do not.
"""

from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits.bucket import LearnedBucket
from tagspace_lab.policy.limits.gate import Gate
from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.sizes import UNITS, Sizes
from tagspace_lab.policy.limits.window import Window
from tagspace_lab.records import Cost, Outcome, RateLimit, Rates, Reply
from tagspace_lab.settings import Settings

__all__ = ["Learned"]

_CONCURRENCY = "concurrency"
_UNNAMED = ("requests", "tokens")
"""What a refusal may be about that names nothing, where no header states a limit."""
_PROBE_S, _QUICK_PROBE_S, _LONGEST_PROBE_S = 20.0, 5.0, 600.0
_PROBE_FACTOR, _QUICK_PROBE_FACTOR = 1.2, 1.5
"""How much above the pace is probed: at first, and after a probe that went well."""


class Learned(Limiter):
    """The default limiter: window, request rate and token rates learned together."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = Window(settings.ai_concurrency, settings.max_ai_concurrency)
        self._gate = Gate(rng)
        self._sizes = Sizes()
        self._last_cost = Cost(1, 1)
        expected = {"requests": settings.requests_per_min, "tokens": settings.tokens_per_min}
        self._buckets = {unit: LearnedBucket(_per_s(expected.get(unit))) for unit in UNITS}
        self._binding = tuple(unit for unit, per_min in expected.items() if per_min is not None)
        self._cut_s = -math.inf
        self._probe_pace_s, self._probe_factor, self._raised_s = _PROBE_S, _PROBE_FACTOR, 0.0

    @property
    def window(self) -> float:
        return self._window.size

    @property
    def pace_per_s(self) -> float:
        units = self._sizes.of(self._last_cost)
        return min((self._buckets[unit].rate / units[unit] for unit in self._binding if units[unit]), default=math.inf)

    @property
    def rates(self) -> Rates:
        """What refusals proved of the limits that pace, or headers stated of any; of tokens those read, where the
        provider counts these apart."""
        learned = {unit: self._buckets[unit].learned_per_s for unit in self._binding}
        tokens = learned.get("tokens", learned.get("input_tokens"))
        requests = learned.get("requests")
        return Rates(
            None if requests is None else round(requests * 60, 2),
            None if tokens is None else max(1, round(tokens * 60)),
        )

    @property
    def cooling_until_s(self) -> float:
        return self._gate.until_s

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        opens_s = self._window.opens_at(now_s, in_flight)
        if opens_s == math.inf:
            return opens_s
        opens_s = max(opens_s, self._gate.opens_at(now_s, self._window.grace_s))
        if self._binding:
            units = self._sizes.of(cost)
            opens_s = max(opens_s, *(self._buckets[unit].ready_at(now_s, units[unit]) for unit in self._binding))
        return opens_s

    def on_start(self, start: Start) -> None:
        self._probe_above(start.at_s)
        passed, held_s = self._gate.on_start(start)
        self._last_cost = start.cost
        units, later = self._sizes.of(start.cost), self._sizes.later(start.cost)
        for unit, bucket in self._buckets.items():
            if passed:
                bucket.end_row()
            if held_s:
                bucket.open(start.at_s, held_s)
            bucket.on_start(start, units[unit], later[unit])
        self._window.on_start(start)

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        was_probe = self._gate.on_end(start)
        self._window.on_end(start, was_let_in=reply.outcome is Outcome.OK)
        if reply.outcome is Outcome.RATE_LIMITED:
            sent = self._on_refused(now_s, start, reply, was_probe=was_probe)
        else:
            sent = self._on_let_in(start, reply)
        if reply.outcome is Outcome.OVERLOADED:
            self._gate.hold(now_s, self._wait_s(start, reply))
        self._on_stated(now_s, start, reply.rate_limit, sent)

    def _on_let_in(self, start: Start, reply: Reply) -> dict[str, float]:
        """Whatever else came of it: the call was let in. Gives what had been sent by then, by unit."""
        used: dict[str, float] = {}
        if reply.outcome is Outcome.OK:
            counted = Cost(reply.used.input_tokens or start.cost.input_tokens, reply.used.output_tokens)
            self._sizes.learn(start.cost, counted)
            used = self._sizes.count(counted)
            if start.at_s > self._cut_s:
                self._gate.refusals = 0
        return {unit: bucket.on_let_in(start, used.get(unit)) for unit, bucket in self._buckets.items()}

    def _on_refused(self, now_s: float, start: Start, reply: Reply, *, was_probe: bool) -> dict[str, float]:
        """Gives what had been sent before the call, by unit."""
        said = reply.rate_limit
        is_first = start.at_s > self._cut_s
        self._window.on_refused(now_s, start)
        if is_first:
            self._cut_s = now_s
            self._gate.on_refused(was_probe=was_probe)
            self._settle_probe(now_s)
        wait_s = self._wait_s(start, reply)
        to_blame = self._find_cause(start, said)
        sent = {
            unit: bucket.on_refused(now_s, start, wait_s, said.retry_after_s, is_first=is_first)
            if unit in to_blame
            else bucket.on_turned_away(start)
            for unit, bucket in self._buckets.items()
        }
        if said.cause == _CONCURRENCY:
            self._window.on_full(now_s, start, is_first=is_first, is_named=True)
        if is_first:
            self._cut(now_s, start, said, to_blame, wait_s)
        return sent

    def _cut(self, now_s: float, start: Start, said: RateLimit, to_blame: tuple[str, ...], wait_s: float) -> None:
        if said.cause == _CONCURRENCY and start.in_flight > 1:
            return  # there is room as soon as a call ends, whatever is asked
        if not said.cause and not any(bucket.is_known or bucket.is_stated for bucket in self._buckets.values()):
            self._window.on_full(now_s, start, is_first=True, is_named=False)
        if to_blame:
            self._binding = self._choose_binding(said)
        self._gate.close(now_s, wait_s)

    def _on_stated(self, now_s: float, start: Start, said: RateLimit, sent: dict[str, float]) -> None:
        units = self._sizes.of(start.cost)
        for unit, stated in said.quotas.items():
            if unit == "tokens" and "input_tokens" in said.quotas:
                continue  # repeats whichever of them is nearer to its end
            contradicts = said.cause == unit and (stated.remaining or 0) >= units[unit] + 1
            self._buckets[unit].on_stated(now_s, start, stated, sent[unit], contradicts=contradicts)
            if unit not in self._binding and self._buckets[unit].is_stated:
                self._binding += (unit,)

    def _find_cause(self, start: Start, said: RateLimit) -> tuple[str, ...]:
        """The limits that a refusal may be about; none, if it names none and all that are stated have room."""
        if said.cause:
            return (said.cause,)
        if not any(bucket.is_stated for bucket in self._buckets.values()):
            return _UNNAMED
        units = self._sizes.of(start.cost)
        left = {unit: stated.remaining for unit, stated in said.quotas.items() if stated.remaining is not None}
        return tuple(unit for unit in UNITS if unit in left and left[unit] < units[unit])

    def _choose_binding(self, said: RateLimit) -> tuple[str, ...]:
        """The limits that pace from now on."""
        if said.cause:
            return tuple(unit for unit in UNITS if unit in self._binding or unit == said.cause)
        if any(bucket.is_stated for bucket in self._buckets.values()):
            return self._binding
        requests, tokens = (self._buckets[unit] for unit in _UNNAMED)
        return ("tokens",) if requests.disproved > tokens.disproved else ("requests",)

    def _wait_s(self, start: Start, reply: Reply) -> float:
        said, units = reply.rate_limit, self._sizes.of(start.cost)
        asked_s = said.retry_after_s
        if asked_s is None:
            known = any(self._buckets[unit].is_known for unit in self._binding)
            gaps_s = (units[unit] / self._buckets[unit].rate for unit in self._binding)
            return self._gate.own_wait_s(max(gaps_s, default=0.0) if known else 0.0, self._window.grace_s)
        for unit, quota in said.quotas.items():
            if quota.remaining == 0 and quota.reset_s and said.cause in ("", unit):
                asked_s = min(asked_s, quota.reset_s)  # then all of it is there again
        proven = ((units[unit], self._buckets[unit].proven_per_s) for unit in self._binding)
        return self._gate.asked_wait_s(asked_s, max((size / low for size, low in proven if low), default=math.inf))

    def _probe_above(self, now_s: float) -> None:
        """After a quiet spell, allow a little more than was proven: limits rise, and first estimates are low."""
        if self._cut_s <= 0 or now_s - max(self._cut_s, self._raised_s) <= self._probe_pace_s:
            return
        if self._raised_s > self._cut_s:  # the last probe went well
            self._probe_pace_s, self._probe_factor = _QUICK_PROBE_S, _QUICK_PROBE_FACTOR
        self._raised_s = now_s
        for unit in self._binding:
            self._buckets[unit].raise_rate(now_s, self._probe_factor)

    def _settle_probe(self, now_s: float) -> None:
        """A refusal soon after a probe: it failed, and the next one comes after twice the time."""
        if self._raised_s > 0:
            failed = now_s - self._raised_s < self._probe_pace_s
            self._probe_pace_s = min(_LONGEST_PROBE_S, max(_PROBE_S, 2 * self._probe_pace_s)) if failed else _PROBE_S
            self._raised_s = 0.0
        self._probe_factor = _PROBE_FACTOR


def _per_s(per_min: float | None) -> float:
    return math.inf if per_min is None else per_min / 60
