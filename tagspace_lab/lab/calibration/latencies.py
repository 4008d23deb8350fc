"""How long calls take: a lognormal first token, a speed of writing, and what load adds. Fitted by likelihood.

A call that wrote o tokens beside k others takes (F e^(s z) + o / v) (1 + a k): for every v and a that are tried, what
is left of the times is a sample of the first token. In the end F is set so that the recorded mean comes out, and s, if
need be, so that the 95th percentile does: a run's length hangs on the one and its tail on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tagspace_lab.lab.calibration.decisions import Decisions, Floats
from tagspace_lab.lab.calibration.findings import LATENCIES, NOT_SEEN, Finding, quantile
from tagspace_lab.records import Outcome
from tagspace_lab.twin.schema import Latency
from tagspace_lab.twin.supply import SLOT_S

__all__ = ["LatencyFit", "fit_latency", "latency_findings"]

_MOST_CALLS = 3_000
_SPEEDS = np.concatenate([np.geomspace(3, 3_000, 90), [np.inf]])
_RATIOS = np.concatenate([[0.001], np.geomspace(1, 10_000, 90)])
_SLOPES = np.concatenate([[0.0], np.geomspace(0.002, 1.0, 40)])
_LEAST_SIGMA = 0.004
_IN_DOUBT = 1.92
"""Half of the 95 % quantile of chi-squared with one degree: by so much the log-likelihood may fall."""
_WIDEST = 4.0
"""A speed whose interval is wider than this factor was not seen."""
_DRAWS, _HALVINGS = 300, 16
_NEAR = 0.03
"""So near to the recorded one the 95th percentile has to come."""
_FEWEST, _FEWEST_SLOTS = 8, 6
_LARGEST_SIGMA = 1.2


@dataclass(frozen=True, slots=True)
class LatencyFit:
    """The parameters, their intervals, and how many calls they come from. `slope`: what one other call adds."""

    calls: int
    first_token_s: float
    first_token_range: tuple[float, float]
    sigma: float
    sigma_range: tuple[float, float]
    speed: float
    speed_range: tuple[float, float]
    slope: float
    slope_range: tuple[float, float]
    slot_sigma: float | None
    reject_s: float | None
    most_others: int

    @property
    def is_speed_seen(self) -> bool:
        low, high = self.speed_range
        return high < low * _WIDEST


def fit_latency(decisions: Decisions) -> LatencyFit | None:
    """The latency of the calls that were answered; None if there were none."""
    answered = [place for place, each in enumerate(decisions.attempts) if each.outcome is Outcome.OK][:_MOST_CALLS]
    if not answered:
        return None
    took_s = np.maximum((decisions.ended_s - decisions.at_s)[answered], 1e-6)
    written, others = decisions.written[answered], decisions.others[answered]
    speed, speed_range, slope, slope_range = _search(took_s, written, others)
    load = 1 + slope * others
    writing_s = written / speed
    first_s = took_s / load - writing_s
    likely = float(np.log(np.maximum(first_s, 1e-6)).std())
    slots = np.floor(decisions.at_s[answered] / SLOT_S)
    slot_sigma = _weather(slots, took_s / ((float(first_s.mean()) + writing_s) * load))
    tail = _Tail(took_s, writing_s, load, slots, slot_sigma or 0.0)
    sigma = tail.match(likely)
    first_token_s = tail.median_s(sigma)
    count = len(answered)
    width, spread = 1.96 * max(sigma, likely) / count**0.5, 1.4 / count**0.5
    refused_s = (decisions.ended_s - decisions.at_s)[decisions.is_refused]
    return LatencyFit(
        calls=count,
        first_token_s=first_token_s,
        first_token_range=(first_token_s * float(np.exp(-width)), first_token_s * float(np.exp(width))),
        sigma=sigma,
        sigma_range=(max(0.0, sigma * (1 - spread)), sigma * (1 + spread)),
        speed=speed,
        speed_range=speed_range,
        slope=slope,
        slope_range=slope_range,
        slot_sigma=slot_sigma,
        reject_s=quantile(refused_s, 0.5) if len(refused_s) else None,
        most_others=int(others.max(initial=0)),
    )


def latency_findings(fit: LatencyFit | None, cap: float | None) -> Iterator[Finding]:
    """The keys of `[provider.latency]`; load is told relative to the cap, or to the most calls that were at once."""
    if fit is None:
        yield Finding("first_token_s", None, NOT_SEEN, note="nothing was answered")
        return
    calls = f"{fit.calls} answers"
    yield Finding("first_token_s", fit.first_token_s, LATENCIES, *fit.first_token_range, f"the median; {calls}")
    yield Finding("first_token_sigma", fit.sigma, LATENCIES, *fit.sigma_range)
    if fit.is_speed_seen:
        yield Finding("output_tokens_per_s", fit.speed, LATENCIES, *fit.speed_range)
    else:
        low, high = fit.speed_range
        note = f"answers are too alike in length: anything from {low:.3g} to {high:.3g} would do"
        yield Finding("output_tokens_per_s", fit.speed, NOT_SEEN, low, high, note)
    reference = cap or float(fit.most_others + 1)
    if fit.slope:
        low, high = (slope * reference for slope in fit.slope_range)
        note = f"a call takes {fit.slope:.1%} longer for each other one in progress"
        yield Finding("load_factor", fit.slope * reference, LATENCIES, low, high, note)
        if cap is None:
            yield Finding("load_reference", reference, LATENCIES, note="the most calls that were in progress at once")
    else:
        note = f"with up to {fit.most_others + 1} calls at once none took longer for it"
        yield Finding("load_factor", None, NOT_SEEN, note=note)
    if fit.slot_sigma is None:
        yield Finding("slot_sigma", None, NOT_SEEN, note="the run is too short to tell the server's own weather")
    else:
        yield Finding("slot_sigma", fit.slot_sigma, LATENCIES)
    if fit.reject_s is None:
        yield Finding("reject_s", None, NOT_SEEN, note="nothing was refused")
    else:
        yield Finding("reject_s", fit.reject_s, LATENCIES, note="the median time of a refusal")


def _search(
    took_s: Floats, written: Floats, others: Floats
) -> tuple[float, tuple[float, float], float, tuple[float, float]]:
    """Speed and slope with their intervals: those of the highest likelihood, or the plainest where all do as well.

    Two models stand beside each other: all luck is in the first token, or in the call as a whole.
    """
    slopes = _SLOPES if np.ptp(others) else _SLOPES[:1]
    if len(took_s) < _FEWEST:
        return _default_speed(took_s, written), (float(_SPEEDS[0]), np.inf), 0.0, (0.0, float(_SLOPES[-1]))
    tables = [
        np.array([[model(took_s, written, others, each, slope) for slope in slopes] for each in values])
        for model, values in ((_luck_at_first, _SPEEDS), (_luck_in_all, _RATIOS))
    ]
    table, speeds = max(((each[..., 0], each[..., 1]) for each in tables), key=lambda pair: pair[0].max())
    near = table >= table.max() - _IN_DOUBT
    near_slopes = slopes[near.any(axis=0)]
    slope = 0.0 if 0.0 in near_slopes else float(slopes[int(table.max(axis=0).argmax())])
    column = int(np.flatnonzero(slopes == slope)[0])
    speed = float(speeds[int(table[:, column].argmax()), column])
    low, high = float(speeds[near].min()), float(speeds[near].max())
    if high >= low * _WIDEST:
        usual = _default_speed(took_s, written)
        speed = usual if low <= usual <= high or not np.isfinite(speed) else speed
    return speed, (low, high), slope, (float(near_slopes[0]), float(near_slopes[-1]))


def _default_speed(took_s: Floats, written: Floats) -> float:
    """The twin's own, or what leaves a tenth of the shortest time for the first token."""
    usual = Latency().output_tokens_per_s
    return max(usual, float((written / (0.9 * took_s)).max()))


def _luck_at_first(took_s: Floats, written: Floats, others: Floats, speed: float, slope: float) -> tuple[float, float]:
    """Log-likelihood and speed, if the time to the first token is lognormal and all else is certain."""
    load = 1 + slope * others
    first_s = took_s / load - written / speed
    if first_s.min() <= 0.001 * took_s.min():
        return -np.inf, speed
    return _lognormal(np.log(first_s)) - float(np.log(load).sum()), speed


def _luck_in_all(took_s: Floats, written: Floats, others: Floats, ratio: float, slope: float) -> tuple[float, float]:
    """The same if the whole is lognormal; the first token takes as long as `ratio` others."""
    logs = np.log(took_s) - np.log(1 + slope * others) - np.log(ratio + written)
    return _lognormal(logs) - float(np.log(took_s).sum() - logs.sum()), float(np.exp(-logs.mean()))


def _lognormal(logs: Floats) -> float:
    """Log-likelihood of a lognormal sample, by its logarithms, at its own mean and spread."""
    sigma = max(float(logs.std()), _LEAST_SIGMA)
    spread = float(((logs - logs.mean()) ** 2).sum()) / (2 * sigma**2)
    return -float(logs.sum()) - len(logs) * float(np.log(sigma)) - spread


@dataclass(frozen=True, slots=True)
class _Tail:
    """The recorded times, and what else the twin will multiply a first token by."""

    took_s: Floats
    writing_s: Floats
    load: Floats
    slots: Floats
    slot_sigma: float

    def median_s(self, sigma: float) -> float:
        """Of the first token, so that the mean of all times is the recorded one."""
        mean_s = self.took_s.mean() / np.exp(self.slot_sigma**2 / 2) - (self.writing_s * self.load).mean()
        return max(0.0, float(mean_s / self.load.mean() / np.exp(sigma**2 / 2)))

    def match(self, likely: float) -> float:
        """The likely sigma, or the nearest to it whose samples have the recorded 95th percentile, or nearly so."""
        if len(self.took_s) < _FEWEST or likely < 2 * _LEAST_SIGMA:
            return min(likely, _LARGEST_SIGMA)
        rng = np.random.default_rng(0)
        luck = rng.standard_normal((_DRAWS, len(self.took_s)))
        _, places = np.unique(self.slots, return_inverse=True)
        weather = np.exp(self.slot_sigma * rng.standard_normal((_DRAWS, int(places.max()) + 1)))[:, places]

        def tail(sigma: float) -> float:
            first_s = self.median_s(sigma) * np.exp(sigma * luck)
            return float(np.median(np.quantile((first_s + self.writing_s) * self.load * weather, 0.95, axis=1)))

        likely = min(likely, _LARGEST_SIGMA)
        recorded, expected = quantile(self.took_s, 0.95), tail(likely)
        target = min(max(expected, recorded * (1 - _NEAR)), recorded * (1 + _NEAR))
        if target == expected:
            return likely
        low, high = 0.0, min(_LARGEST_SIGMA, 2 * likely)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle) < target else (low, middle)
        return (low + high) / 2


def _weather(slots: Floats, ratios: Floats) -> float | None:
    """Sigma of what calls that began in the same time slot have in common; None if there are too few slots."""
    groups = [np.log(ratios[slots == slot]) for slot in np.unique(slots)]
    groups = [group for group in groups if len(group) >= 3]
    if len(groups) < _FEWEST_SLOTS:
        return None
    within = float(np.mean([group.var(ddof=1) for group in groups]))
    size = len(groups) / sum(1 / len(group) for group in groups)
    between = float(np.var([group.mean() for group in groups], ddof=1)) - within / size
    # As large as it would be by chance: no weather.
    chance = 2 * within / size * np.sqrt(2 / (len(groups) - 1))
    return float(np.sqrt(between)) if between > chance else 0.0
