"""What to do with a call that did not bring every page home. One table, no waiting.

Refusals by a rate limit cost a batch nothing: the throttle decides when it comes back, unless the batch alone is
more than the limit. Errors and
time-outs use up its attempts, and retries of them draw on a budget that successes fill.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from tagspace_lab.records import Outcome

__all__ = ["BUDGET_WAIT_S", "RetryBudget", "Verdict", "backoff_s", "judge_failure"]

_WRONG_ADDRESS = (401, 403, 404, 405)
"""The key or the address is wrong, for every call."""

BUDGET_WAIT_S = 15.0
"""How long a retry waits for successes when the budget is empty, before it goes all the same."""


class Verdict(StrEnum):
    """What becomes of a batch after a failed attempt."""

    WAIT = "wait"  # rate limited: again, when the throttle says so
    RETRY = "retry"  # again, after a back-off
    SPLIT = "split"  # too much for one call: both halves apart
    CLOSE = "close"  # this provider takes no more calls in this run
    FAIL = "fail"  # the pages end as errors


def judge_failure(
    outcome: Outcome, *, status: int, attempts: int, max_attempts: int, pages: int, is_oversized: bool = False
) -> Verdict:
    """The verdict on an attempt that ended with `outcome`, being the `attempts`-th that counts.

    `is_oversized`: it was refused because of its size, as the provider says or as the refusals suggest.
    """
    if outcome is Outcome.RATE_LIMITED and not is_oversized:
        return Verdict.WAIT
    if outcome is Outcome.EXHAUSTED or status in _WRONG_ADDRESS or 300 <= status < 400:
        return Verdict.CLOSE
    if outcome is Outcome.REFUSED or is_oversized:
        return Verdict.SPLIT if pages > 1 else Verdict.FAIL
    if attempts < max_attempts:
        return Verdict.RETRY
    return Verdict.SPLIT if outcome is Outcome.TIMED_OUT and pages > 1 else Verdict.FAIL


def backoff_s(failures: int, rng: random.Random) -> float:
    """0.5, 1, 2, 4 and at most 8 s after the first, second ... failure in a row, plus up to half of it."""
    return 0.5 * 2.0 ** min(failures - 1, 4) * (1 + 0.5 * rng.random())


@dataclass(slots=True)
class RetryBudget:
    """Retries of errors as a share of successes, with a few to start from (as in Google's SRE book, ch. 21)."""

    share: float
    left: float = 10.0

    def on_success(self) -> None:
        self.left = min(100.0, self.left + self.share)

    def spend(self) -> bool:
        """Take one retry out of the budget; False if it is empty."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
