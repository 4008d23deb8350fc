"""Measures a run: its lower bound in the scenario that it ran in, and its labels against the gold labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.policy.bounds import Bound, Change, Demand, Quota, Supply, lower_bound, useful_concurrency
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, Outcome, Space, Status
from tagspace_lab.settings import LARGEST_BATCH, LARGEST_CONCURRENCY, Settings
from tagspace_lab.twin.scenario import LimitStep, Outage, Provider, Scenario, Tenants

__all__ = ["LEFT_OUT", "Advice", "Bounds", "advise", "bound_calls", "bound_run", "micro_f1"]

LEFT_OUT = (
    "The bounds leave out Confluence's rate limit, events inside fixed and sliding windows, and answers that "
    "were broken; other tenants enter with their mean, the fallback provider where it was used."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`own`: at the run's batch size and ceiling; `best`: over every batch size and ceiling that the settings allow."""

    own: Bound
    best: Bound


@dataclass(frozen=True, slots=True)
class Advice:
    """What the bound alone says: the batch size, and how many calls at once are of use with it."""

    batch_size: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class _Load:
    """What one run asked for, in the provider's own count of tokens."""

    pages: int
    page_input: float  # tokens of all pages together
    page_output: float
    call_input: float  # tokens around the pages of one call


def bound_run(result: RunResult, scenario: Scenario, settings: Settings, rules: LabelRules, epoch_s: float) -> Bounds:
    """The lower bounds of a run. Latencies are those that its calls met, without what load had added.

    The first call waits for the space's id and the first listing, and the run for the last listing.
    """
    first_s = 2 * scenario.confluence.latency_s
    listings = max(1, math.ceil(result.processed / scenario.confluence.page_limit))
    listed = Bound((1 + listings) * scenario.confluence.latency_s, "listing of the pages")
    answered = [attempt for attempt in result.attempts if attempt.outcome is Outcome.OK]
    if not answered:
        return Bounds(listed, listed)
    provider = scenario.provider
    load = _load(result, answered, provider, rules)
    own_demand = _own_demand(load, answered, provider, settings)
    used = [provider, scenario.fallback] if scenario.fallback and result.fallbacks else [provider]
    own = lower_bound(own_demand, _supply(used, settings.max_ai_concurrency, epoch_s))
    widest = _supply(used, LARGEST_CONCURRENCY, epoch_s)
    others = (lower_bound(_demand(load, size, provider), widest) for size in range(1, LARGEST_BATCH + 1))
    best = min([own, *others], key=lambda bound: bound.seconds)
    return Bounds(_after(first_s, own, listed), _after(first_s, best, listed))


def advise(
    pages: int,
    input_tokens: float,
    output_tokens: float,
    scenario: Scenario,
    rules: LabelRules,
    sizes: Sequence[int],
    most_rounds: int = 0,
) -> dict[str, Advice]:
    """`bound`: the smallest of the batch `sizes` whose bound is within 1 % of the best, and its useful concurrency.
    `rounds-1` to `rounds-<most_rounds>`: the smallest that needs no more rounds of so many calls, where one does.

    `input_tokens` and `output_tokens` are those of `pages` pages that were asked one at a time. Of use is C*, or as
    many calls as fit all their latencies into the bound, where a burst lets in more than the rate does. The bound
    does not see that calls come whole: with 16 slots, 17 of them take twice as long as 16.
    """
    provider = scenario.provider
    around = _around(provider, rules)
    load = _Load(pages, max(0.0, input_tokens - around * pages), output_tokens, around)
    supply = _supply_of(provider, LARGEST_CONCURRENCY, 0.0)
    demands = {size: _demand(load, size, provider) for size in sizes}
    bounds_s = {size: lower_bound(demand, supply).seconds for size, demand in demands.items()}
    calls = {size: math.ceil(pages / size) for size in sizes}
    useful = {size: _useful(demands[size], calls[size], bounds_s[size], supply) for size in sizes}
    advised = {"bound": next(size for size in sizes if bounds_s[size] <= 1.01 * min(bounds_s.values()))}
    for most in range(1, most_rounds + 1):
        advised |= {f"rounds-{most}": size for size in reversed(sizes) if calls[size] <= most * useful[size]}
    return {name: Advice(size, useful[size]) for name, size in advised.items()}


def _useful(demand: Demand, calls: int, bound_s: float, supply: Supply) -> int:
    """How many of the calls are of use at once."""
    units = {unit: amount / calls for unit, amount in demand.units.items()}
    steady = useful_concurrency(demand.busy_s / calls, units, supply.quotas)
    fitting = demand.busy_s / bound_s if math.isfinite(bound_s) else 1.0
    wanted = max(fitting, steady if math.isfinite(steady) else 0.0)
    return max(1, math.ceil(min(wanted, calls, supply.concurrency) - 0.01))


def bound_calls(answered: Sequence[Attempt], provider: Provider, ceiling: int, epoch_s: float) -> Bound:
    """The lower bound of these very calls alone, with at most `ceiling` of them at once.

    What answers take from a quota is charged when they end: those of the last calls hold nobody back, and what
    they take beyond a window's quota is forgotten with the window.
    """
    if not answered:
        return Bound(0.0, "nothing to ask")
    read = sum(attempt.input_tokens - _free(attempt, provider) for attempt in answered)
    written = sum(sorted(attempt.output_tokens for attempt in answered)[:-ceiling])
    if provider.limits.reserve_max_tokens or provider.limits.window != "bucket":
        written = 0
    units: dict[str, float] = {
        "requests": len(answered),
        "tokens": read + written,
        "input_tokens": read,
        "output_tokens": written,
    }
    latencies_s = [_unloaded_s(attempt, provider) for attempt in answered]
    demand = Demand(units, _busy_s(answered, provider, ceiling), min(latencies_s), max(latencies_s))
    return lower_bound(demand, _supply_of(provider, ceiling, epoch_s))


def _busy_s(answered: Sequence[Attempt], provider: Provider, ceiling: int) -> float:
    """Seconds that the calls keep slots busy: with all slots full, or as it was where that was less.

    Load slows a call by what is in progress when it arrives: a ramp's first calls are quicker than those of a full
    house, and what another client has in progress is not known here.
    """
    unloaded_s = sum(_unloaded_s(attempt, provider) for attempt in answered)
    lasted_s = sum(attempt.ended_s - attempt.started_s for attempt in answered)
    return min(unloaded_s * _load_factor(provider, ceiling), lasted_s)


def _after(first_s: float, bound: Bound, listed: Bound) -> Bound:
    return max(Bound(first_s + bound.seconds, bound.binds), listed, key=lambda each: each.seconds)


def micro_f1(result: RunResult, space: Space) -> float | None:
    """Micro-averaged F1 of the labels given against the gold labels, skipped and stopped pages aside.

    A page that ended as an error counts as given no label. None where the space has no gold labels.
    """
    right = given = wanted = 0
    for tagging in result.results:
        if tagging.status in (Status.SKIPPED, Status.STOPPED):
            continue
        gold = set(space.gold(tagging.page_id))
        right += len(gold.intersection(tagging.labels))
        given += len(tagging.labels)
        wanted += len(gold)
    return 2 * right / (given + wanted) if wanted else None


def _load(result: RunResult, answered: list[Attempt], provider: Provider, rules: LabelRules) -> _Load:
    pages = sum(tagging.status is Status.TAGGED for tagging in result.results) or sum(a.pages for a in answered)
    around = _around(provider, rules)
    total = sum(attempt.input_tokens - _free(attempt, provider) for attempt in answered)
    asked = sum(attempt.pages for attempt in answered)
    share = min(1.0, pages / asked)
    return _Load(
        pages=pages,
        page_input=max(0.0, total - around * len(answered)) * share,
        page_output=sum(attempt.output_tokens for attempt in answered) * share,
        call_input=0.0 if any(_free(attempt, provider) for attempt in answered) else around,
    )


def _around(provider: Provider, rules: LabelRules) -> float:
    """Input tokens of a call that are not those of its pages."""
    return (len(rules.system) + 30) / provider.chars_per_token


def _free(attempt: Attempt, provider: Provider) -> int:
    """Input tokens that do not count towards the limits."""
    return attempt.cached_tokens if provider.headers == "anthropic" else 0


def _own_demand(load: _Load, answered: list[Attempt], provider: Provider, settings: Settings) -> Demand:
    calls = math.ceil(load.pages / settings.batch_size)
    latencies_s = [_unloaded_s(attempt, provider) for attempt in answered]
    busy_s = fmean(latencies_s) * calls * _load_factor(provider, settings.max_ai_concurrency)
    return Demand(_units(load, calls, provider), busy_s, min(latencies_s), max(latencies_s))


def _demand(load: _Load, batch_size: int, provider: Provider) -> Demand:
    """The same pages at another batch size, at the scenario's mean latency."""
    calls = math.ceil(load.pages / batch_size)
    latency, written = provider.latency, load.page_output / calls
    first_s = latency.first_token_s * math.exp(latency.first_token_sigma**2 / 2)
    mean_s = first_s + written / latency.output_tokens_per_s
    shortest_s = latency.first_token_s * math.exp(-2 * latency.first_token_sigma)
    busy_s = mean_s * calls * _load_factor(provider, LARGEST_CONCURRENCY)
    return Demand(_units(load, calls, provider), busy_s, shortest_s, mean_s)


def _units(load: _Load, calls: int, provider: Provider) -> dict[str, float]:
    read = load.page_input + load.call_input * calls
    written = 0.0 if provider.limits.reserve_max_tokens else load.page_output
    return {"requests": calls, "tokens": read + written, "input_tokens": read, "output_tokens": load.page_output}


def _unloaded_s(attempt: Attempt, provider: Provider) -> float:
    reference = provider.load_reference or math.inf
    return (attempt.ended_s - attempt.started_s) / (
        1 + provider.latency.load_factor * (attempt.in_flight - 1) / reference
    )


def _load_factor(provider: Provider, ceiling: int) -> float:
    """How much slower a call is when as many are in progress as may be."""
    calls = min(provider.limits.concurrency_cap or math.inf, ceiling)
    return 1 + provider.latency.load_factor * (calls - 1) / (provider.load_reference or math.inf)


def _supply(providers: Sequence[Provider], ceiling: int, epoch_s: float) -> Supply:
    """What one provider allows, or two together: their rates and bursts add up, and one's bad days are not counted."""
    if len(providers) == 1:
        return _supply_of(providers[0], ceiling, epoch_s)
    supplies = [_supply_of(provider, ceiling, epoch_s) for provider in providers]
    first, second = ({quota.unit: quota for quota in supply.quotas} for supply in supplies)
    quotas = tuple(
        Quota(unit, first[unit].per_min + second[unit].per_min, first[unit].burst + second[unit].burst)
        for unit in sorted(first.keys() & second.keys())
    )
    return Supply(quotas, sum(supply.concurrency for supply in supplies))


def _supply_of(provider: Provider, ceiling: int, epoch_s: float) -> Supply:
    limits = provider.limits
    stated = {
        "requests": (limits.requests_per_min, limits.burst_requests),
        "tokens": (limits.tokens_per_min, limits.burst_tokens),
        "input_tokens": (limits.input_tokens_per_min, limits.burst_tokens),
        "output_tokens": (limits.output_tokens_per_min, limits.burst_tokens),
    }
    windows = None if limits.window == "bucket" else limits.window_s
    phase_s = epoch_s % limits.window_s if limits.window == "fixed" and limits.aligned else 0.0
    quotas = tuple(
        Quota(unit, per_min, max(1.0, burst or per_min * limits.window_s / 60), windows, phase_s)
        for unit, (per_min, burst) in stated.items()
        if per_min is not None
    )
    changes = tuple(_change(event) for event in provider.events)
    return Supply(quotas, min(limits.concurrency_cap or math.inf, ceiling), changes)


def _change(event: LimitStep | Outage | Tenants) -> Change:
    until_s = math.inf if event.until_s is None else event.until_s
    match event:
        case LimitStep():
            return Change(event.at_s, until_s, event.factor)
        case Tenants():
            return Change(event.at_s, until_s, 1 - event.share)
        case Outage():
            return Change(event.at_s, until_s, 0.0)
