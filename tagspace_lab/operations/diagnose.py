"""Says in words what binds a run, by which numbers, and which setting to move.

A rule looks at the evidence and gives a finding or nothing. The rules stand in the order in which things are to be
mended: what is asked in vain or asked twice first, the limit that then remains after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tagspace_lab.lab.profiles import Provenance, write_profile
from tagspace_lab.operations.evidence import Evidence
from tagspace_lab.settings import LARGEST_CONCURRENCY, PREFIX, Settings

__all__ = ["RULES", "Finding", "diagnose", "proposed_settings", "to_dict", "write_proposal"]

_MANY_REFUSALS = 0.05
_FEW_REFUSALS = 5
"""A throttle that learns needs some to find a limit."""
_MANY_EXTRA_CALLS = 0.3
_LOW_HIT_RATE = 0.5
_WIDE_BATCH = 10
"""Pages in a prompt beyond which little overhead is left to save, and quality begins to be lost."""
_ENTRY_BYTES = 600
"""Of an answer in the memory store."""
_COPIES = 3
"""Of a batch's text that exist at once: text, prompt, request."""
_QUALITY = "look at the labels afterwards: larger batches cost quality"


@dataclass(frozen=True, slots=True)
class Finding:
    """`binds`: what holds the run up, in a word. `numbers` say so; `changes` (field of the settings -> value) may help.

    `advice` is what no setting does.
    """

    binds: str
    words: str
    numbers: dict[str, float | int] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    advice: str = ""


def diagnose(evidence: Evidence, available_bytes: float = math.inf) -> list[Finding]:
    """Every finding, the first to be mended first; one that says `nothing`, or `unknown`, where there is none.

    `available_bytes`: memory of the machine that is to run it.
    """
    found = [finding for rule in RULES if (finding := rule(evidence, available_bytes)) is not None]
    return [replace(each, changes=_allowed(each.changes)) for each in found] or [_nothing(evidence)]


def proposed_settings(settings: Settings, findings: Sequence[Finding]) -> Settings:
    """The settings with all changes that were found; where two touch the same, the first finding's."""
    changes: dict[str, Any] = {}
    for finding in findings:
        changes = finding.changes | changes
    ceiling = changes.get("max_ai_concurrency", settings.max_ai_concurrency)
    start = changes.get("ai_concurrency", settings.ai_concurrency)
    return settings.with_changes(**changes | {"ai_concurrency": min(start, ceiling)})


def write_proposal(path: Path, evidence: Evidence, findings: Sequence[Finding], *, force: bool = False) -> None:
    """Write the proposed settings as a profile that says it is unverified. InputError as `write_profile`."""
    notes = ("a profile to try: what it does was not measured", *(f"found: {each.words}" for each in findings))
    provenance = Provenance(
        space=evidence.space,
        space_hash=evidence.hashes[0],
        scenario=evidence.scenario,
        scenario_hash=evidence.hashes[1],
        seeds=(),
        trials=0,
        before_s=evidence.makespan_s,
        after_s=evidence.makespan_s,
        bound_s=evidence.bound_s or 0.0,
        notes=notes,
    )
    write_profile(path, proposed_settings(evidence.settings, findings), provenance, force=force)


def to_dict(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """The document that `diagnose --json` prints; `changes` and `settings` are keyed by variable."""
    after = proposed_settings(evidence.settings, findings)
    return {
        "space": evidence.space,
        "scenario": evidence.scenario,
        "binds": findings[0].binds,
        "findings": [asdict(finding) | {"changes": _variables(finding.changes)} for finding in findings],
        "settings": after.to_variables(),
    }


def _allowed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes, within the bounds of their settings."""
    return {
        name: value if isinstance(value, bool | str) else max(_bound(name, "ge"), min(_bound(name, "le"), value))
        for name, value in changes.items()
    }


def _bound(name: str, side: str) -> Any:
    return next(getattr(bound, side) for bound in Settings.model_fields[name].metadata if hasattr(bound, side))


def _variables(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {PREFIX + name.upper(): value for name, value in changes.items()}


def _no_answer(run: Evidence, available_bytes: float) -> Finding | None:
    """Nothing was answered at all, and not for being too large."""
    if not run.is_unanswered or _too_large_to_let_in(run, available_bytes):
        return None
    why = run.errors[0] if run.errors else "no request was answered"
    return Finding(
        "errors",
        f"no page was answered: {why}",
        {"attempts": run.attempts, "refusals": run.refusals},
        advice="mend that first; `tagspace-lab check` tries provider and key with one small call",
    )


def _too_large_to_let_in(run: Evidence, available_bytes: float) -> Finding | None:
    """A call that alone is more than a minute's tokens is refused for ever."""
    rate, most = run.rates.tokens_per_min or run.stated_tokens, run.settings.batch_tokens
    if not run.is_unanswered or rate is None or run.settings.batch_size == 1 or most < rate / 2:
        return None
    return Finding(
        "batch too large",
        f"nothing was let in: a prompt may hold {most:,} tokens of pages, and the provider allows {rate:,.0f} a minute",
        {"batch_tokens": most, "tokens_per_min": rate, "refusals": run.refusals},
        {"batch_tokens": int(rate / 4), "batch_size": min(run.settings.batch_size, 5)},
    )


def _too_many_missing(run: Evidence, available_bytes: float) -> Finding | None:
    """Answers that leave pages out are asked for again, in smaller and smaller calls."""
    extra = run.calls - run.needed_calls
    if run.is_unanswered or run.settings.batch_size == 1 or extra < 3 or extra <= _MANY_EXTRA_CALLS * run.needed_calls:
        return None
    return Finding(
        "batch too large",
        f"{run.calls} prompts were sent where {run.needed_calls} would do: answers left pages out, or calls were split",
        {"calls": run.calls, "needed_calls": run.needed_calls, "batch_size": run.settings.batch_size},
        {"batch_size": max(1, min(run.settings.batch_size // 2, run.asked // run.calls))},
    )


def _one_long_call(run: Evidence, available_bytes: float) -> Finding | None:
    """The run is one round of calls, and as long as the longest: smaller ones end sooner."""
    size = math.ceil(run.asked / run.settings.max_ai_concurrency)
    if run.limit != "longest call" or not 0 < size < run.settings.batch_size or _too_many_missing(run, available_bytes):
        return None
    if run.best_bound_s is not None and run.bound_s is not None and run.best_bound_s > 0.8 * run.bound_s:
        return None
    return Finding(
        "batch too large",
        f"{run.calls} calls at once are the whole run, and it is as long as the longest of them: "
        "more and smaller ones end sooner",
        {"calls": run.calls, "makespan_s": run.makespan_s, **_bounds(run)},
        {"batch_size": size, "ai_concurrency": min(run.settings.max_ai_concurrency, math.ceil(run.asked / size))},
        advice="this holds for a space of this size: a large one is held up by other things",
    )


def _cache_too_small(run: Evidence, available_bytes: float) -> Finding | None:
    settings = run.settings
    numbers: dict[str, float | int] = {"pages": run.pages, "cache_size": settings.cache_size}
    if run.hit_rate is not None:
        numbers["hit_rate"] = run.hit_rate
    if not settings.cache_enabled:
        return Finding(
            "cache too small",
            "the cache is switched off: every run asks about every page again",
            numbers,
            {"cache_enabled": True, "cache_size": max(settings.cache_size, _room_for(run.pages))},
        )
    if settings.cache_size >= run.pages or (run.hit_rate is not None and run.hit_rate >= _LOW_HIT_RATE):
        return None
    seen = "" if run.hit_rate is None else f", and a later run found {run.hit_rate:.0%} of its pages in it"
    return Finding(
        "cache too small",
        f"the cache holds {settings.cache_size:,} answers for {run.pages:,} pages{seen}",
        numbers,
        {"cache_size": _room_for(run.pages)},
    )


def _memory(run: Evidence, available_bytes: float) -> Finding | None:
    settings = run.settings
    answers = settings.cache_size * _ENTRY_BYTES if settings.cache_enabled else 0
    batch_tokens = min(settings.batch_tokens, settings.batch_size * settings.page_tokens)
    texts = 2 * settings.max_ai_concurrency * batch_tokens * 4 * _COPIES
    if answers + texts <= available_bytes / 2:
        return None
    changes: dict[str, Any] = {}
    if answers > texts:
        changes["cache_size"] = min(settings.cache_size, _room_for(run.pages))
    else:
        changes["batch_tokens"] = int(batch_tokens * available_bytes / 4 / texts)
    return Finding(
        "memory",
        f"a full cache and the calls in flight may take {(answers + texts) / 1e9:.1f} GB, "
        f"and {available_bytes / 1e9:.1f} GB are free",
        {"cache_bytes": answers, "text_bytes": texts, "available_bytes": available_bytes},
        changes,
    )


def _requests(run: Evidence, available_bytes: float) -> Finding | None:
    if run.limit != "requests" or run.is_unanswered:
        return None
    size = run.settings.batch_size
    wider = max(5, min(2 * size, 2 * _WIDE_BATCH))
    return Finding(
        "requests",
        f"requests a minute bind: {run.calls} calls have to be let in one after the other",
        {"calls": run.calls, "makespan_s": run.makespan_s, **_bounds(run), **_rates(run)},
        {"batch_size": wider} if wider > size else {},
        advice=_QUALITY if wider > size else "ask the provider for more requests a minute",
    )


def _tokens(run: Evidence, available_bytes: float) -> Finding | None:
    if run.limit not in ("tokens", "input tokens", "output tokens") or run.is_unanswered:
        return None
    changes: dict[str, Any] = {}
    if run.settings.batch_size < _WIDE_BATCH:
        changes["batch_size"] = min(_WIDE_BATCH, 2 * run.settings.batch_size)
    if run.limit != "output tokens" and run.page_tokens > run.settings.page_tokens / 2:
        changes["page_tokens"] = int(min(run.page_tokens, run.settings.page_tokens) / 2)
    return Finding(
        "tokens",
        f"{run.limit} a minute bind: {run.page_tokens:,.0f} tokens a page, {run.asked:,} pages",
        {"page_tokens": run.page_tokens, "makespan_s": run.makespan_s, **_bounds(run), **_rates(run)},
        changes,
        advice=f"{'beyond that ' if changes else ''}no setting saves much more: shorter pages (TAG_SPACE_PAGE_TOKENS) "
        f"do, or a higher limit{f'; {_QUALITY}' if changes else ''}",
    )


def _concurrency(run: Evidence, available_bytes: float) -> Finding | None:
    if run.limit != "concurrency" or run.is_unanswered:
        return None
    ceiling, settled = run.settings.max_ai_concurrency, max(1, round(run.settled_concurrency))
    numbers: dict[str, float | int] = {
        "max_ai_concurrency": ceiling,
        "peak_concurrency": run.peak_concurrency,
        "settled_concurrency": run.settled_concurrency,
        "makespan_s": run.makespan_s,
        **_bounds(run),
    }
    if run.peak_concurrency >= ceiling and run.refused_share <= _MANY_REFUSALS:
        wider = min(2 * ceiling, LARGEST_CONCURRENCY)
        return Finding(
            "concurrency",
            f"calls at once bind: {run.peak_concurrency} were in flight, as many as the settings allow, "
            f"and {run.refusals} of {run.attempts} requests were refused",
            numbers,
            {"max_ai_concurrency": wider, "ai_concurrency": min(max(settled, run.settings.ai_concurrency), ceiling)}
            if wider > ceiling
            else {},
        )
    size = run.settings.batch_size
    wider = min(2 * size, _WIDE_BATCH)
    return Finding(
        "concurrency",
        f"calls at once bind: the provider takes about {settled}, although {ceiling} are allowed",
        numbers,
        {"ai_concurrency": min(settled, ceiling)} | ({"batch_size": wider} if wider > size else {}),
        advice=f"fewer and larger calls, or a provider that takes more at once; {_QUALITY}",
    )


def _confluence(run: Evidence, available_bytes: float) -> Finding | None:
    if run.limit != "listing of the pages" or run.is_unanswered:
        return None
    return Finding(
        "Confluence",
        "reading the pages binds: the provider waited for Confluence",
        {"pages": run.pages, "calls": run.calls, "makespan_s": run.makespan_s},
        advice="no setting quickens Confluence: run where it is near, and when few others use it",
    )


def _refusals(run: Evidence, available_bytes: float) -> Finding | None:
    """What refusals cost: not a limit by itself, but the way in which it was found."""
    if run.refused_share <= _MANY_REFUSALS or run.refusals < _FEW_REFUSALS or run.is_unanswered:
        return None
    changes: dict[str, Any] = {} if run.settings.throttle == "learned" else {"throttle": "learned"}
    changes |= _rates(run)
    return Finding(
        "refusals",
        f"{run.refusals} of {run.attempts} requests were refused ({run.refused_share:.0%})",
        {"refusals": run.refusals, "attempts": run.attempts, **_rates(run)},
        changes,
        advice="" if changes else "a run that starts with learned rates is refused less: see `replay --keep-rates`",
    )


def _nothing(run: Evidence) -> Finding:
    if not run.calls:
        return Finding(
            "nothing",
            "no call was made: every page came from the cache, or had no text",
            {"pages": run.pages, "makespan_s": run.makespan_s},
        )
    if not run.limit:
        return Finding(
            "unknown",
            "these numbers show nothing wrong, and not what binds",
            {"makespan_s": run.makespan_s, "refusals": run.refusals},
            advice="record a trace (`tag --trace FILE`) and give that: it shows what calls waited for",
        )
    return Finding(
        "nothing",
        "nothing binds that a setting could move",
        {"makespan_s": run.makespan_s, **_bounds(run), "refusals": run.refusals},
    )


RULES: tuple[Callable[[Evidence, float], Finding | None], ...] = (
    _no_answer,
    _too_large_to_let_in,
    _too_many_missing,
    _cache_too_small,
    _memory,
    _one_long_call,
    _requests,
    _tokens,
    _concurrency,
    _confluence,
    _refusals,
)
"""In the order in which findings are to be mended."""


def _bounds(run: Evidence) -> dict[str, float | int]:
    known = {"bound_s": run.bound_s, "best_bound_s": run.best_bound_s}
    return {name: value for name, value in known.items() if value is not None}


def _rates(run: Evidence) -> dict[str, float | int]:
    """What was learned, as the settings take it."""
    found: dict[str, float | int] = {}
    if run.rates.requests_per_min:
        found["requests_per_min"] = run.rates.requests_per_min
    if run.rates.tokens_per_min:
        found["tokens_per_min"] = round(run.rates.tokens_per_min)
    return found


def _room_for(pages: int) -> int:
    """Answers for all pages and a fifth more, in round numbers."""
    wanted = max(10, math.ceil(pages * 1.2))
    step = int(10 ** max(1, len(str(wanted)) - 2))
    return math.ceil(wanted / step) * step
