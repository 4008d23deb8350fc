"""Which limits a provider has: of all structures the one that the fewest decisions and headers contradict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tagspace_lab.lab.calibration.decisions import Decisions
from tagspace_lab.lab.calibration.findings import HEADERS, NOT_SEEN, REFUSALS, Finding
from tagspace_lab.lab.calibration.fitting import LimitFit, Stated, fit_cap, fit_limit
from tagspace_lab.lab.calibration.headers import RATES, read_stated
from tagspace_lab.lab.calibration.meters import Shape, Usage

__all__ = ["LimitFits", "fit_limits", "limit_findings"]

Mask = NDArray[np.bool_]
_WINDOWS_S = (60.0, 10.0, 1.0)
_CAP = "concurrency"
_PENALTY = {"bucket": 0.0, "fixed": 0.4, "sliding": 0.8}
_EXTRA = {"requests": 1.5, _CAP: 1.5, "tokens": 2.5}
"""A limit that nobody named has to explain so many refusals more than the others alone.

Where calls are nearly as long as each other, one of tokens looks like one of requests that misses a little.
"""


@dataclass(frozen=True, slots=True)
class LimitFits:
    """The limits that a provider seems to have, all of one shape, and a cap; `unexplained` refusals."""

    shape: Shape
    rates: tuple[LimitFit, ...]
    cap: LimitFit | None
    unexplained: int
    cost: float

    @property
    def refusals(self) -> dict[str, int]:
        """How many each limit explains."""
        fits = [*self.rates, *([self.cap] if self.cap else [])]
        return {fit.unit: int(fit.explained.sum()) for fit in fits}

    def of(self, unit: str) -> LimitFit | None:
        return next((fit for fit in self.rates if fit.unit == unit), None)


def fit_limits(decisions: Decisions) -> LimitFits:
    """The structure that explains most, with the fewest limits."""
    stated = read_stated(decisions)
    causes = np.array([attempt.rate_limit.cause for attempt in decisions.attempts])
    named = {unit: decisions.is_refused & (causes == unit) for unit in (*RATES, _CAP)}
    unnamed = decisions.is_refused & (causes == "")
    known = [unit for unit in RATES if unit in stated or named[unit].any()]
    if "input_tokens" in known and "tokens" in known and not named["tokens"].any():
        known.remove("tokens")  # Anthropic repeats the nearer one
    best: LimitFits | None = None
    for extra in _extras(known, named, unnamed):
        price = sum(_EXTRA[unit] for unit in extra)
        for shape in _shapes(decisions, has_rates=bool(set(known + list(extra)) & set(RATES))):
            fits = _fit(decisions, shape, [*known, *extra], named, unnamed, stated)
            cost = fits.cost + price + _PENALTY[shape.kind]
            if best is None or cost < best.cost - 1e-9:
                best = replace(fits, cost=cost)
            if fits.cost == 0 and shape.kind == "bucket":
                break
        if best is not None and best.cost <= price:
            break
    return best or _fit(decisions, Shape("bucket"), [], named, unnamed, {})


def _extras(known: list[str], named: dict[str, Mask], unnamed: Mask) -> Iterator[tuple[str, ...]]:
    """Limits that refusals may be due to beside those that are known: none first, then one, then two."""
    yield ()
    if not unnamed.any():
        return
    others = [unit for unit in ("requests", _CAP, "tokens") if unit not in known and not named[unit].any()]
    for unit in others:
        yield (unit,)
    for first, second in (("requests", _CAP), ("requests", "tokens"), ("tokens", _CAP)):
        if first in others and second in others:
            yield first, second


def _shapes(decisions: Decisions, *, has_rates: bool) -> Iterator[Shape]:
    yield Shape("bucket")
    if not has_rates:
        return
    for window_s in _windows_s(decisions):
        yield Shape("fixed", window_s, True)
        yield Shape("fixed", window_s, False)
        yield Shape("sliding", window_s)


def _windows_s(decisions: Decisions) -> list[float]:
    """Windows worth trying: the usual ones, and what refusals claim always."""
    claims = {attempt.retry_after_s for attempt in decisions.attempts if attempt.retry_after_s}
    constant = [claim for claim in claims if len(claims) == 1 and 1 <= claim <= 3_600]
    return list(dict.fromkeys([*constant, *_WINDOWS_S]))


def _fit(
    decisions: Decisions,
    shape: Shape,
    units: Sequence[str],
    named: dict[str, Mask],
    unnamed: Mask,
    stated: dict[str, Stated],
) -> LimitFits:
    """All `units` in one shape: refusals that nobody named go to whoever explains them, one unit after the other."""
    open_ = unnamed.copy()
    rates: list[LimitFit] = []
    cap = None
    if _CAP in units or named[_CAP].any():
        cap = fit_cap(decisions, named[_CAP], open_ if _CAP in units else np.zeros_like(open_))
        open_ = open_ & ~cap.explained if cap else open_
    for unit in [unit for unit in RATES if unit in units]:
        fit = _fit_unit(decisions, unit, shape, named[unit], open_, stated.get(unit))
        if fit is not None:
            rates.append(fit)
            open_ = open_ & ~fit.explained
    unexplained = int(open_.sum())
    cost = unexplained + sum(fit.cost for fit in rates) + (cap.cost if cap else 0.0)
    return LimitFits(shape, tuple(rates), cap, unexplained, cost)


def _fit_unit(
    decisions: Decisions, unit: str, shape: Shape, own: Mask, others: Mask, stated: Stated | None
) -> LimitFit | None:
    """The best way to charge for a unit: what is reserved, and whether refusals are charged."""
    fits = []
    for number, usage in enumerate(_usages(decisions, unit)):
        fit = fit_limit(decisions, unit, usage, shape, own, others, stated)
        if fit is not None:
            missed = float((others & ~fit.explained).sum())
            fits.append((fit.cost + missed, number, fit))
            if fit.cost + missed == 0:
                break
    return min(fits, key=lambda each: each[:2])[2] if fits else None


def _usages(decisions: Decisions, unit: str) -> Iterator[Usage]:
    """The plainest first."""
    ones, zeros = np.ones(len(decisions)), np.zeros(len(decisions))
    match unit:
        case "requests":
            yield Usage(ones, zeros)
            if decisions.is_refused.sum() >= 2:
                yield Usage(ones, zeros, fine=1.0)
        case "tokens":
            yield Usage(decisions.read, decisions.written)
            yield Usage(np.maximum(decisions.reserved, decisions.read), zeros)
        case "input_tokens":
            yield Usage(decisions.read, zeros)
        case "output_tokens":
            yield Usage(ones, np.maximum(decisions.written - 1, 0.0))
            yield Usage(decisions.reserved, zeros)


def limit_findings(decisions: Decisions, fits: LimitFits) -> Iterator[Finding]:
    """The keys of `[provider.limits]`."""
    shape, any_refused = fits.shape, bool(decisions.is_refused.any())
    seen = fits.rates
    for unit in RATES:
        fit = fits.of(unit)
        if fit is not None:
            source = HEADERS if fit.is_stated or not fit.explained.any() else REFUSALS
            note = f"explains {int(fit.explained.sum())} refusals"
            yield Finding(f"{unit}_per_min", fit.per_min, source, *fit.per_min_range, note)
    yield _cap_finding(decisions, fits.cap)
    if not seen:
        if not any_refused:
            most = _busiest_minute(decisions)
            note = f"nothing was refused: if there is a limit, it lets {most} calls a minute in"
            yield Finding("requests_per_min", None, NOT_SEEN, note=note)
        return
    yield Finding("window", shape.kind, REFUSALS if any_refused else HEADERS)
    yield from _quota_findings(fits)
    yield from _charge_findings(decisions, fits)


def _cap_finding(decisions: Decisions, cap: LimitFit | None) -> Finding:
    if cap is None:
        most = int(decisions.others.max(initial=0)) + 1
        return Finding("concurrency_cap", None, NOT_SEEN, note=f"never reached: {most} calls at once were let in")
    return Finding(
        "concurrency_cap", cap.quota, REFUSALS, *cap.quota_range, f"explains {int(cap.explained.sum())} refusals"
    )


def _busiest_minute(decisions: Decisions) -> int:
    at_s = decisions.at_s[~decisions.is_refused]
    return int((np.searchsorted(at_s, at_s + 60) - np.arange(len(at_s))).max(initial=0))


def _quota_findings(fits: LimitFits) -> Iterator[Finding]:
    shape = fits.shape
    if shape.kind != "bucket":
        yield Finding("window_s", shape.window_s, REFUSALS)
        if shape.kind == "fixed":
            yield Finding("aligned", shape.is_aligned, REFUSALS)
        return
    requests = fits.of("requests")
    if requests is not None:
        yield Finding("burst_requests", max(1.0, requests.quota), _source(requests), *requests.quota_range)
    tokens = [fit for fit in fits.rates if fit.unit != "requests" and fit.is_quota_seen]
    if tokens and any(abs(fit.quota / fit.per_min - 1) > 0.02 for fit in tokens):
        binding = max(tokens, key=lambda fit: (int(fit.explained.sum()), -fit.per_min))
        yield Finding("burst_tokens", binding.quota, _source(binding), *binding.quota_range)


def _source(fit: LimitFit) -> str:
    return REFUSALS if fit.explained.any() and not fit.is_stated else HEADERS


def _charge_findings(decisions: Decisions, fits: LimitFits) -> Iterator[Finding]:
    requests = fits.of("requests")
    if requests is not None and decisions.is_refused.any():
        yield Finding("rejected_count", requests.usage.fine > 0, REFUSALS)
    elif requests is not None:
        yield Finding("rejected_count", None, NOT_SEEN, note="nothing was refused")
    for fit in fits.rates:
        if fit.unit in ("tokens", "output_tokens"):
            reserved = not fit.usage.later.any() and bool(decisions.written.any())
            yield Finding("reserve_max_tokens", reserved, _source(fit))
            break
