"""The rate limiter of the AWS SDKs' adaptive retry mode: CUBIC, for requests a second."""

from __future__ import annotations

import math
import random

from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.refusals import asked_delay_s
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings

__all__ = ["Cubic"]

_BETA = 0.7
_SCALE = 0.4
_SMOOTHING = 0.8
_BUCKET_S = 0.5
_MIN_FILL_PER_S, _MIN_CAPACITY = 0.5, 1.0
_LARGEST_RAISE = 2.0
_LONGEST_WAIT_S = 20.0
"""All as in botocore and its sister SDKs."""


class Cubic(Limiter):
    """Sends without limit until the first 429, then from a token bucket whose rate is cut and grows back.

    Source: the adaptive retry mode that the AWS SDKs share (here as in botocore), after CUBIC of TCP (RFC 8312). A
    429 sets w = min(measured rate, fill rate) and cuts the rate to 0.7 w; any other end t seconds later allows
    0.4 (t - k)^3 + w, where k = (0.3 w / 0.4)^(1/3) brings it back to w; always at most twice the measured rate
    and at least 0.5 a second. The bucket holds a second's worth, at least one. Measured are ends, not starts, over
    buckets of half a second, smoothed by 0.8: a 429 within the first bucket meets a measured rate of 0.

    All times count from the first call, as there from the making of the client. The window is the ceiling:
    the SDKs leave concurrency to the program. A refused call stays away for a random part of 1, 2, 4 ... 20 s
    (or as long as it is told, see `refusals.py`), and then needs a token like any other. The SDKs stop
    after three attempts; here the give-up time of the run does that.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._window = settings.max_ai_concurrency
        self._rng = rng
        self._is_limiting = False
        self._began_s: float | None = None  # the first start
        self._refilled_s = 0.0
        self._throttled_s = 0.0
        self._w_per_s = 0.0
        self._fill_per_s = self._capacity = 1.0
        self._tokens = 0.0
        self._measured_per_s, self._bucket, self._ended = 0.0, 0, 0

    @property
    def window(self) -> float:
        return self._window

    @property
    def pace_per_s(self) -> float:
        return self._fill_per_s if self._is_limiting else math.inf

    def ready_at(self, now_s: float, in_flight: int, cost: Cost) -> float:
        missing = max(0.0, 1 - self._tokens_at(now_s)) if self._is_limiting else 0.0
        return super().ready_at(now_s, in_flight, cost) + missing / self._fill_per_s

    def on_start(self, start: Start) -> None:
        if self._began_s is None:
            self._began_s = self._refilled_s = self._throttled_s = start.at_s
        if self._is_limiting:
            self._refill(start.at_s)
            self._tokens -= 1

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if reply.outcome is Outcome.CANCELLED:
            return
        self._measure(now_s)
        if reply.outcome is Outcome.RATE_LIMITED:
            self._w_per_s = min(self._measured_per_s, self.pace_per_s)
            self._throttled_s = now_s
            self._is_limiting = True
            allowed_per_s = _BETA * self._w_per_s
        else:
            k_s = (self._w_per_s * (1 - _BETA) / _SCALE) ** (1 / 3)
            allowed_per_s = _SCALE * (now_s - self._throttled_s - k_s) ** 3 + self._w_per_s
        self._set_rate(now_s, min(allowed_per_s, _LARGEST_RAISE * self._measured_per_s))

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        asked_s = asked_delay_s(reply)
        if asked_s is not None:
            return asked_s
        return self._rng.random() * min(_LONGEST_WAIT_S, 2.0 ** min(refusals - 1, 10))

    def _measure(self, now_s: float) -> None:
        """Count one end; once its bucket is over, let the rate since the last one into the average."""
        self._ended += 1
        bucket = int((now_s - (self._began_s or 0.0)) / _BUCKET_S)
        if bucket > self._bucket:
            per_s = self._ended / ((bucket - self._bucket) * _BUCKET_S)
            self._measured_per_s += _SMOOTHING * (per_s - self._measured_per_s)
            self._bucket, self._ended = bucket, 0

    def _set_rate(self, now_s: float, per_s: float) -> None:
        self._refill(now_s)
        self._fill_per_s = max(_MIN_FILL_PER_S, per_s)
        self._capacity = max(_MIN_CAPACITY, per_s)

    def _tokens_at(self, now_s: float) -> float:
        return min(self._capacity, self._tokens + (now_s - self._refilled_s) * self._fill_per_s)

    def _refill(self, now_s: float) -> None:
        self._tokens, self._refilled_s = self._tokens_at(now_s), now_s
