"""After a refusal nobody starts: for how long, who goes first, and when the others follow.

The wait is what the provider asks for and a little jitter more, so that clients that were told the same do not come
back together; less only where headers or acceptances prove it overstated, and then one call tries first and doubts less
if it is refused. Where nothing is asked the wait doubles with every refusal in a row. Then one call goes alone, and
the others follow when it was not refused within the grace. Many refusals in a row make every wait longer: clients that
all obey the same Retry-After can push its end before them for ever.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import random

from tagspace_lab.policy.limits.protocol import Start

__all__ = ["Gate"]

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_LONGEST_GAPS = 4
"""Gaps of a known pace that the wait may reach, where these are longer."""
_PATIENT_ROW, _LONGEST_ROW_WAIT_S = 12, 120.0
"""After so many refusals in a row waits grow beyond the longest: it is no outage of a minute."""
_ASKED_ROW, _ASKED_GROWTH, _ASKED_STEPS = 8, 1.3, 10
"""After so many refusals in a row more is waited than is asked."""
_JITTER, _LONGEST_JITTER_S = 0.1, 1.0
_DOUBT, _DOUBT_GROWTH = 2.0, 4.0
"""How much longer is waited than what is proven asks for, at first and after a refusal of the call that tried."""
_DISPUTED_GAPS = 8
"""What asks for no more gaps than these is not disputed, half as many where it may just be rounded up."""
_ROUNDED_S = 1.0


class Gate:
    """Closed until `until_s`. `refusals`: first refusals of a congestion in a row."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.until_s = 0.0
        self.refusals = 0
        self._closed_s = 0.0  # since when it has been closed; 0.0: nobody was held since the last start
        self._probe: Start | None = None  # the one call that goes first
        self._is_early, self._doubt = False, _DOUBT

    def opens_at(self, now_s: float, grace_s: float) -> float:
        """When the next call may start; a call that went first is given `grace_s`."""
        return max(now_s, self.until_s, self._probe.at_s + grace_s if self._probe is not None else 0.0)

    def on_start(self, start: Start) -> tuple[bool, float]:
        """Whether the call that went first got through by now, and for how long everybody was held before this one."""
        passed = self._probe is not None
        self._probe = start if self.refusals and self._probe is None else None
        if self._probe is None:
            self.refusals = 0
        held_s = start.at_s - self._closed_s if self._closed_s else 0.0
        self._closed_s = 0.0
        return passed, held_s

    def on_end(self, start: Start) -> bool:
        """A call ended; True if it was the one that went first."""
        was_probe = start is self._probe
        if was_probe:
            self._probe = None
        return was_probe

    def on_refused(self, *, was_probe: bool) -> None:
        """One congestion more."""
        if was_probe and self._is_early:
            self._doubt *= _DOUBT_GROWTH
        self.refusals += 1

    def close(self, now_s: float, wait_s: float) -> None:
        self._closed_s = self._closed_s or now_s
        self.hold(now_s, wait_s)

    def hold(self, now_s: float, wait_s: float) -> None:
        """Nobody starts for so long, and nothing gathers meanwhile."""
        self.until_s = max(self.until_s, now_s + wait_s)

    def asked_wait_s(self, asked_s: float, proven_gap_s: float) -> float:
        """The wait where the provider asks for `asked_s`; `proven_gap_s`: to the next call at the rate proven."""
        proven_s = self._doubt * proven_gap_s
        least = _DISPUTED_GAPS / 2 if asked_s <= _ROUNDED_S else _DISPUTED_GAPS
        self._is_early = max(proven_s, least * proven_gap_s) < asked_s
        wait_s = proven_s if self._is_early else asked_s
        wait_s *= _ASKED_GROWTH ** min(max(0, self.refusals - _ASKED_ROW), _ASKED_STEPS)
        return wait_s + min(_LONGEST_JITTER_S, _JITTER * wait_s) * self._rng.random()

    def own_wait_s(self, known_gap_s: float, grace_s: float) -> float:
        """The wait where nothing is asked; `known_gap_s`: between calls at a pace that is known, 0.0 for none."""
        first_s = known_gap_s or max(_FIRST_WAIT_S, grace_s)
        longest_s = max(_LONGEST_WAIT_S, _LONGEST_GAPS * known_gap_s)
        wait_s = min(longest_s, first_s * 2.0 ** min(self.refusals - 1, 20))
        return min(_LONGEST_ROW_WAIT_S, wait_s * 2.0 ** min(max(0, self.refusals - _PATIENT_ROW), 20))
