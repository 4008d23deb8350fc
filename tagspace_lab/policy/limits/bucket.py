"""What is believed of one of the provider's limits, on calls or tokens: its rate, its burst, and what is left of it.

The *level* (`level.py`) says when there is room for the next call; the *history* (`history.py`) says what refusals and
acceptances prove of the rate. Here they meet: the rate is searched until a second refusal bounds it, then lies at the
likeliest value, half a call above what was let in, and creeps to the highest that is not disproved, so that refusals
correct it and it never starves. When later anchors prove less than earlier ones did, the limit has fallen, and only
the later ones count; when acceptances prove more than a refusal allowed, it has risen, or something else is limited.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import math

from tagspace_lab.policy.limits.history import Call, History
from tagspace_lab.policy.limits.level import LONG_HOLD_S, Level
from tagspace_lab.policy.limits.protocol import Start
from tagspace_lab.records import Quota

__all__ = ["LearnedBucket"]

_SEARCH_GROWTH = 1.25
"""Before a second refusal has bounded the rate, each start is followed by the next this much sooner."""
_SEARCH_GAP_S = 0.2
"""The longest gap at which that search starts."""
_CREEP = 0.1
"""Of the way to the highest rate that is not disproved, with each start that is not refused."""
_TIGHT = 1.1
"""High over low: an interval as narrow as this is let be."""
_SLACK = 1.02
_ROW_CUT = 0.8
"""Refused again after what was asked had been waited for: others want their share."""
_OUTAGE_CALLS = 4
"""A row of refusals in which so many calls should have been let in tells of no rate."""
_FIRST_CALLS = 20
"""Where so many were let in before the first refusal, nothing held them back."""
_DEAR_CALLS, _DEAR_CUT = 8, 0.7
"""A refusal that costs more calls than this is not risked again: the rate is searched from well below."""
_NEAR_CALLS = 0.5
"""A refusal that asks for less than this was all but let in: the bucket was not empty."""
_TELLING_CALLS = 8
"""So many calls between two refusals tell enough of the rate: what was before is not asked."""
_SMALL_CALLS, _SMALL_CUT = 3, 0.9
"""A bucket so small tells of the last gap alone: one cut is this at most."""
_FAILED_S = 5.0
"""A refusal so soon after the rate was probed above is the answer."""
_MOST_ANCHORS = 8
_FAR, _LONGEST_EXPECTED_GAP_S, _TOLD_CALLS = 8.0, 1.0, 8
"""What a run was told of the rate is not believed when so many times as much was let in, nor for longer than this;
after so many calls without a refusal it is tried above: a wrong number costs a little time, not days."""


class LearnedBucket:
    """A rate between `low` and `high`, believed to be `rate` (inf: unknown), and the level that follows from it.

    All rates are in units (calls or tokens) a second. `expected_per_s` is where an earlier run ended.
    """

    def __init__(self, expected_per_s: float = math.inf) -> None:
        self.low, self.high, self.rate = 0.0, math.inf, expected_per_s
        self.disproved = 0
        """How often the interval turned empty: this is not what is limited, or the limit has changed."""
        self._expected_per_s = expected_per_s
        self._untested = 0  # calls paced by what was told
        self._searching = False
        self._history, self._level = History(), Level()
        self._anchors: list[Call] = []  # refused calls, one a congestion
        self._burst = math.inf  # units that were let in before the first refusal
        self._unraised = -math.inf, math.inf, math.inf  # when the rate was last probed above, high and rate before
        self._refused_at_s = -math.inf
        self._before: tuple[float, float, float] | None = None  # what was believed before a row of refusals
        self._row = 0  # refusals since anything was let in
        self._is_whole = True  # after a long hold all of the burst was there again, as in a window
        self._opened_at: float | None = None  # what had been sent when a long hold ended

    @property
    def is_known(self) -> bool:
        """Whether two refusals have bounded the rate."""
        return math.isfinite(self.high) and not self._searching

    @property
    def is_stated(self) -> bool:
        """Whether headers state the limit."""
        return math.isfinite(self._level.limit)

    @property
    def learned_per_s(self) -> float | None:
        """The rate, where two refusals or a header have told it; None where nothing has."""
        return self.rate if self.is_known or self.is_stated else None

    @property
    def proven_per_s(self) -> float:
        """What acceptances prove of the rate, or headers that tell of a bucket; 0.0 if nothing does."""
        return max(self.low, self._level.stated_per_s) if self._level.is_filling else self.low

    def ready_at(self, now_s: float, units: float) -> float:
        """When the level is believed to have room for `units`."""
        if math.isinf(self.rate):
            return now_s
        ready_s = self._level.ready_at(now_s, units, self.rate, self._history.largest)
        if self._anchors or self.is_stated:
            return ready_s
        return min(ready_s, max(now_s, self._level.at_s + _LONGEST_EXPECTED_GAP_S))

    def on_start(self, start: Start, units: float, later: float) -> None:
        """A call starts that takes `units`, `later` of them when it ends."""
        self._history.start(id(start), start.at_s, units, later)
        if math.isinf(self.rate):
            return
        due_s = self._level.ready_at(self._level.at_s, units, self.rate, self._history.largest)
        level = self._level.at(start.at_s, self.rate, self._history.largest)
        self._level.set(0.0 if math.isinf(level) else level - units, start.at_s)
        if start.at_s - due_s < units / self.rate:  # it was this limit that held the call back
            self._quicken()

    def on_let_in(self, start: Start, used: float | None) -> float:
        """A call was answered, and took `used` units instead of those that were expected (None: nobody knows).

        Returns what had been sent by when the provider let it in.
        """
        call, more = self._history.settle(id(start), used)
        self._level.units -= more
        if start.at_s > self._refused_at_s:
            self.end_row()
        if self._anchors and start.at_s > self._anchors[0].at_s:
            first = self._anchors[0]
            self.low = max(self.low, (call.before - first.before) / (start.at_s - first.at_s))
            if self.low > self.high * _SLACK:
                self._forget()
        return call.before + call.units

    def on_turned_away(self, start: Start) -> float:
        """Something else refused the call: it took nothing. Returns what had been sent before it."""
        call, units = self._history.take_back(id(start), self._anchors)
        self._level.units += units
        return call.before

    def on_refused(self, now_s: float, start: Start, wait_s: float, claim_s: float | None, *, is_first: bool) -> float:
        """A refusal by this limit; `is_first` of its congestion. Returns what had been sent before it.

        `wait_s`: how long everybody now waits, `claim_s`: how long the provider says that this call should.
        """
        call, units = self._history.take_back(id(start), self._anchors)
        self._refused_at_s = max(self._refused_at_s, start.at_s)
        if is_first:
            self._learn(now_s, call, units, wait_s, claim_s)
        elif len(self._anchors) == 1 and start.at_s == self._anchors[0].at_s:
            self._burst = min(self._burst, call.before)
        return call.before

    def on_stated(self, now_s: float, start: Start, stated: Quota, sent: float, *, contradicts: bool) -> None:
        """A response to `start` states the limit; `sent` units had been sent by when it was let in.

        `contradicts`: it refused a call by this limit, and states that there is room for it.
        """
        level = self._level
        if stated.limit and level.restate(stated.limit, self._history.sent):
            self._anchors.clear()
            self.low, self.high = 0.0, math.inf
            self.rate = min(self.rate, level.stated_per_s)
        level.is_believed &= not contradicts
        if stated.remaining is None or (math.isinf(self.rate) and not self.is_stated):
            return
        level.correct(now_s, start.at_s, stated, self._history, sent, self.rate, self._burst)
        if math.isinf(self.rate) or (level.is_believed and not self.is_known and self.is_stated):
            self.rate, self._searching = level.stated_per_s, False

    def open(self, now_s: float, held_s: float) -> None:
        """Everybody was held for so long: what has gathered meanwhile may be spent."""
        if held_s >= LONG_HOLD_S and math.isfinite(self.rate):
            gathered = self._burst if self._is_whole and not self.is_stated else self.rate * held_s
            self._opened_at = self._history.sent
            self._level.set(max(self._level.units, min(self._burst, gathered)), now_s)

    def raise_rate(self, now_s: float, factor: float) -> None:
        """Probe above what was proven; the next refusal says whether the limit has risen."""
        self._unraised = now_s, self.high, self.rate
        self.high *= factor
        self.rate = min(self.rate * factor, max(self.rate, self._level.stated_per_s))

    def end_row(self) -> None:
        """A row of refusals is over. If it was an outage, what was believed before it holds again."""
        if self._before is None:
            return
        low, high, rate = self._before
        lasted_s = self._refused_at_s - self._anchors[-1].at_s if self._anchors else 0.0
        is_outage = self._row >= 2 or lasted_s * self.low > _OUTAGE_CALLS * self._history.largest
        if is_outage or (self._row and (rate < math.inf or self._burst > _FIRST_CALLS)):
            self.low, self.high, self.rate = low, high, rate
            self._searching &= math.isfinite(rate)
        if is_outage or math.isinf(self.rate):
            self._anchors.clear()
        self._before, self._row = None, 0

    def _quicken(self) -> None:
        """The next call starts a little sooner: until a refusal bounds the rate, or up to what refusals allow."""
        if math.isinf(self._burst) and not self._searching and not self.is_stated:  # told, and not refuted
            self._untested += 1
            self.rate *= _SEARCH_GROWTH if self._untested > _TOLD_CALLS else 1.0
        elif self._searching:
            self.rate = max(self.rate, min(self.rate * _SEARCH_GROWTH, self.high))
        elif self.low * _TIGHT < self.high:
            allowed = min(self.high, self._level.stated_per_s, 2 * self.rate)
            self.rate += _CREEP * max(0.0, allowed - self.rate)

    def _learn(self, now_s: float, call: Call, units: float, wait_s: float, claim_s: float | None) -> None:
        """The first refusal of a congestion: an anchor, or one more of a row."""
        paced = self.rate if self._anchors else 0.0
        self._level.empty(now_s)
        if self._opened_at is not None:
            self._is_whole &= call.before - self._opened_at > self._burst - 1.5 * units
            self._opened_at = None
        if not self._anchors and math.isinf(self._burst):
            self._burst = call.before
        if self._anchors and call.before <= self._anchors[-1].before + 1e-9:
            self._go_on(call, units, claim_s)
        else:
            self._anchor(call, units, wait_s, claim_s)
        if claim_s is not None:
            self._level.units = max(0.0, units - self.rate * claim_s)
            if claim_s * self.rate > _DEAR_CALLS * units and not self.is_stated:
                safe = max(1.5 * self.low, 2 * units / claim_s, _DEAR_CUT * paced)
                self.rate, self._searching = min(self.rate, safe), True

    def _go_on(self, call: Call, units: float, claim_s: float | None) -> None:
        """Nothing was let in since the last refusal: an outage, a window that is used up, or a rate so low."""
        elapsed_s = call.at_s - self._anchors[-1].at_s
        self._row += claim_s is not None or self._row == 0
        if claim_s is not None:
            self.rate *= _ROW_CUT
        elif elapsed_s > 0:
            self.rate = min(self.rate, units / elapsed_s)
            self._level.units = _SLACK * units  # the gate says when

    def _anchor(self, call: Call, units: float, wait_s: float, claim_s: float | None) -> None:
        before = self.low, self.high, self.rate
        self._anchors.append(call)
        if len(self._anchors) == 1 and self.rate < _FAR * self._expected_per_s:
            self.rate = min(self.rate, self._expected_per_s)
            self.high = min(self.high, _TIGHT * self._expected_per_s)
        calls = math.inf if claim_s is None else claim_s * self.rate / units
        self._narrow(units, is_dear=_DEAR_CALLS < calls < math.inf, is_near=calls < _NEAR_CALLS)
        self._before = (self.low, self.high, self.rate) if self.is_known else before
        if math.isinf(self.rate):
            self.rate, self._searching = units / min(max(wait_s, 0.01), _SEARCH_GAP_S), True

    def _narrow(self, units: float, *, is_dear: bool, is_near: bool) -> None:
        """Two refusals bound the rate: at both the bucket was empty."""
        history = self._history
        self._anchors = [anchor for anchor in self._anchors if anchor.at_s >= history.begins_s]
        self._anchors = self._anchors[:1] + self._anchors[1:][-_MOST_ANCHORS:]
        if len(self._anchors) < 2:
            raised_s, high, rate = self._unraised
            if self._anchors[-1].at_s - raised_s < _FAILED_S:  # older refusals are forgotten, what they proved is not
                self.high, self.rate = high, rate
            return
        former, last = self._anchors[-2:]
        latest = history.solve(former, last, units, self._burst)
        if latest < self.low / _SLACK:  # less than was proven: the limit has fallen
            del self._anchors[:-2]
            self.low, self.high = 0.0, latest
        enough = (anchor for anchor in reversed(self._anchors[:-1]) if self._tells(anchor, last, units))
        first = next(enough, self._anchors[0])
        self.high = history.solve(first, last, units, self._burst)
        is_tight = len(self._anchors) > 3 and self.low * _TIGHT > self.high
        likely = history.solve(first, last, (0.05 if is_tight or is_near else 0.5) * units, self._burst)
        if self._burst < _SMALL_CALLS * units:
            likely = max(likely, _SMALL_CUT * self.rate)
        if self._searching and not is_dear:
            likely = max(likely, min(self.rate, history.latest_per_s(last, self._burst)))
            self.high = max(self.high, likely)
        self.rate = min(self.high, likely)
        if 1.05 * self._level.stated_per_s < self.high:
            self.rate = self._level.stated_per_s
        self._searching = False

    def _tells(self, anchor: Call, last: Call, units: float) -> bool:
        return last.before - anchor.before >= _TELLING_CALLS * units * max(1, len(self._anchors) / 6)

    def _forget(self) -> None:
        self.disproved += 1
        self._anchors.clear()
        self.rate, self._searching = self.low * _SEARCH_GROWTH, True
        self.low, self.high = 0.0, math.inf
