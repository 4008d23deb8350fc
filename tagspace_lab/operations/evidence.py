"""What a document shows of a run: the numbers that a diagnosis is made of, whatever it was written by."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from tagspace_lab.errors import InputError
from tagspace_lab.lab.report import Report
from tagspace_lab.lab.traces import read_trace
from tagspace_lab.pipeline.metrics import mean_in_flight, summarise_attempts
from tagspace_lab.records import Attempt, Outcome, Rates, Status
from tagspace_lab.settings import Settings, load_settings

__all__ = ["Evidence", "evidence_of_attempts", "evidence_of_report", "read_evidence"]

_MOST_BYTES = 100_000_000
_TRACE_START = b'{"kind":"run"'
_WANTED = "give what `replay --json` or `tag --json` printed, or a trace"
_LIVE = "a live run"
_FULL = 0.8
"""Of the allowed calls in flight: slots that are as full on average are what binds."""
_UNKNOWN = "not recorded"
_MANY_REFUSED = 0.2
"""Of the requests: calls that stay away after a refusal leave slots free, and it is not pages that are waited for."""
_WAITED_S = 0.05
"""A shorter wait for a slot held nobody up."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The run that asked most, in numbers. Times in seconds.

    `asked` of the `pages` were answered by a question, in `calls` prompts and `attempts` requests, of which `refusals`
    met a 429. `limit` names what the run's schedule hung on: `requests`, `tokens`, `input tokens`, `output tokens`,
    `concurrency`, `listing of the pages`, `longest call`, or nothing (empty). `bound_s` and `best_bound_s` are lower
    bounds at this batch size and at any, None where they are not known. `page_tokens` is the mean of all tokens that a
    page took; `hit_rate` that of the runs after the first, None where there are none. `stated_tokens` is the largest
    quota of tokens that an answer stated, None where none did. `hashes` are those of space and scenario.
    """

    settings: Settings
    space: str
    scenario: str
    pages: int
    asked: int
    calls: int
    attempts: int
    refusals: int
    makespan_s: float
    limit: str
    peak_concurrency: int
    settled_concurrency: float
    page_tokens: float
    bound_s: float | None = None
    best_bound_s: float | None = None
    hit_rate: float | None = None
    rates: Rates = field(default_factory=Rates)
    stated_tokens: float | None = None
    errors: tuple[str, ...] = ()
    hashes: tuple[str, str] = (_UNKNOWN, _UNKNOWN)

    @property
    def refused_share(self) -> float:
        return self.refusals / self.attempts if self.attempts else 0.0

    @property
    def is_unanswered(self) -> bool:
        """Whether a provider was asked, and answered nothing at all."""
        return self.attempts > 0 and not self.asked

    @property
    def needed_calls(self) -> int:
        """Prompts that would have done, if every answer had held all of its pages."""
        by_tokens = self.asked * self.page_tokens / self.settings.batch_tokens
        return max(1, math.ceil(self.asked / self.settings.batch_size), math.ceil(by_tokens))


class _Named(BaseModel):
    name: str
    content_hash: str


class _Run(BaseModel):
    pages: int = Field(ge=0)
    tagged: int = Field(ge=0)
    calls: int = Field(ge=0)
    attempts: int = Field(ge=0)
    rate_limit_errors: int = Field(ge=0)
    makespan_s: float = Field(ge=0, allow_inf_nan=False)
    bound_s: float = Field(ge=0, allow_inf_nan=False)
    best_bound_s: float = Field(ge=0, allow_inf_nan=False)
    binds: str
    peak_concurrency: int = Field(ge=0)
    settled_concurrency: float = Field(ge=0, allow_inf_nan=False)
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    hit_rate: float = Field(ge=0, le=1)


class _Report(BaseModel):
    space: _Named
    scenario: _Named
    settings: dict[str, str]
    runs: list[_Run] = Field(min_length=1)
    learned: Rates = Rates()
    errors: list[str] = []


class _Cache(BaseModel):
    hit_rate: float = Field(ge=0, le=1)


class _Metrics(BaseModel):
    total_ai_calls: int = Field(ge=0)
    attempts: int = Field(ge=0)
    rate_limit_errors: int = Field(ge=0)
    peak_concurrency: int = Field(ge=0)
    mean_concurrency: float = Field(ge=0, allow_inf_nan=False)


class _Detail(BaseModel):
    status: str
    reason: str = ""


class _Task(BaseModel):
    task_id: str
    space: str = ""
    total: int = Field(ge=0)
    makespan_s: float = Field(ge=0, allow_inf_nan=False)
    settings: dict[str, str] | None = None
    cache_stats: _Cache
    concurrency_metrics: _Metrics
    details: list[_Detail]


def read_evidence(path: Path, settings: Settings) -> Evidence:
    """The evidence in a file: what `replay --json` or `tag --json` printed, or a trace. InputError for anything else.

    `settings` are those of a task whose document does not tell them.
    """
    if _is_trace(path):
        return _read_trace(path)
    document = _read_json(path)
    try:
        if isinstance(document, dict) and "task_id" in document:
            return _of_task(_Task.model_validate(document), settings)
        return _of_report(_Report.model_validate(document))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{path} is no report: {where}: {first['msg']}; {_WANTED}") from error


def evidence_of_report(report: Report) -> Evidence:
    """The evidence in a replay, as in what `replay --json` prints of it."""
    return _of_report(_Report.model_validate(report.to_dict()))


def _of_report(report: _Report) -> Evidence:
    run = max(report.runs, key=lambda each: each.calls)
    later = report.runs[1:]
    return Evidence(
        settings=load_settings(report.settings),
        space=report.space.name,
        scenario=report.scenario.name,
        pages=run.pages,
        asked=run.tagged,
        calls=run.calls,
        attempts=run.attempts,
        refusals=run.rate_limit_errors,
        makespan_s=run.makespan_s,
        limit=run.binds,
        peak_concurrency=run.peak_concurrency,
        settled_concurrency=run.settled_concurrency,
        page_tokens=(run.input_tokens + run.output_tokens) / run.tagged if run.tagged else 0.0,
        bound_s=run.bound_s,
        best_bound_s=run.best_bound_s,
        hit_rate=min(each.hit_rate for each in later) if later else None,
        rates=report.learned,
        errors=tuple(report.errors),
        hashes=(report.space.content_hash, report.scenario.content_hash),
    )


def _of_task(task: _Task, settings: Settings) -> Evidence:
    """A task's own numbers do not tell its attempts: of the limits they show only full slots."""
    if task.settings is not None:
        settings = load_settings(task.settings)
    metrics = task.concurrency_metrics
    is_full = metrics.mean_concurrency >= _FULL * settings.max_ai_concurrency
    return Evidence(
        settings=settings,
        space=task.space,
        scenario=_LIVE,
        pages=task.total,
        asked=sum(detail.status == Status.TAGGED for detail in task.details),
        calls=metrics.total_ai_calls,
        attempts=metrics.attempts,
        refusals=metrics.rate_limit_errors,
        makespan_s=task.makespan_s,
        limit="concurrency" if is_full else "",
        peak_concurrency=metrics.peak_concurrency,
        settled_concurrency=metrics.mean_concurrency,
        page_tokens=0.0,
        errors=tuple(sorted({detail.reason for detail in task.details if detail.status == Status.ERROR})),
    )


def _read_trace(path: Path) -> Evidence:
    """The run of a trace that asked most, and what the later ones found in the cache."""
    runs = read_trace(path)
    run = max(runs, key=lambda each: len({attempt.call for attempt in each.attempts}))
    answered = sum(attempt.pages for attempt in run.attempts if attempt.outcome is Outcome.OK)
    asked = run.statuses.get(Status.TAGGED, 0) if run.is_whole else answered
    later = [each.statuses for each in runs[runs.index(run) + 1 :] if each.is_whole and each.space == run.space]
    found = [_hit_rate(statuses) for statuses in later]
    evidence = evidence_of_attempts(
        run.attempts,
        settings=run.settings,
        space=run.space,
        pages=run.pages or sum(run.statuses.values()) or asked,
        asked=asked,
        makespan_s=run.makespan_s,
    )
    return replace(evidence, hit_rate=min(found) if found else None)


def _hit_rate(statuses: Mapping[Status, int]) -> float:
    cached, tagged = statuses.get(Status.CACHED, 0), statuses.get(Status.TAGGED, 0)
    return cached / (cached + tagged) if cached + tagged else 1.0


def evidence_of_attempts(
    attempts: Sequence[Attempt], *, settings: Settings, space: str, pages: int, asked: int, makespan_s: float
) -> Evidence:
    """The evidence in the recorded attempts of one run; no bound is known for it."""
    metrics = summarise_attempts(attempts, 0)
    tokens = sum(attempt.input_tokens + attempt.output_tokens for attempt in attempts)
    return Evidence(
        settings=settings,
        space=space,
        scenario=_LIVE,
        pages=pages,
        asked=asked,
        calls=metrics.total_ai_calls,
        attempts=metrics.attempts,
        refusals=metrics.rate_limit_errors,
        makespan_s=makespan_s,
        limit=_find_limit(attempts, settings),
        peak_concurrency=metrics.peak_concurrency,
        settled_concurrency=mean_in_flight(attempts, makespan_s * 0.5, makespan_s * 0.9),
        page_tokens=tokens / asked if asked else 0.0,
        stated_tokens=_stated_tokens(attempts),
    )


def _stated_tokens(attempts: Sequence[Attempt]) -> float | None:
    quotas = (attempt.rate_limit.quotas for attempt in attempts)
    return max((q.limit for each in quotas for unit, q in each.items() if "tokens" in unit and q.limit), default=None)


def _find_limit(attempts: Sequence[Attempt], settings: Settings) -> str:
    """What most calls waited for: a free slot, their turn at the pace, or nothing at all."""
    calls = len({attempt.call for attempt in attempts})
    if calls <= settings.ai_concurrency:
        return "longest call"
    held = Counter(_find_hold(attempt, settings) for attempt in attempts)
    hold = held.most_common(1)[0][0]
    refused = sum(attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts)
    if hold == "pace" or (hold == "listing of the pages" and refused >= _MANY_REFUSED * len(attempts)):
        return _find_rate(attempts)
    if hold == "listing of the pages" and calls < 2 * settings.max_ai_concurrency:
        return "longest call"  # so few calls never filled the slots
    return hold


def _find_hold(attempt: Attempt, settings: Settings) -> str:
    if attempt.in_flight >= min(int(attempt.window), settings.max_ai_concurrency):
        return "concurrency"
    return "pace" if attempt.waited_s > _WAITED_S else "listing of the pages"


def _find_rate(attempts: Sequence[Attempt]) -> str:
    """Which rate: the one that refusals name, else the one of which answers had least left."""
    named = Counter(attempt.rate_limit.cause for attempt in attempts if attempt.outcome is Outcome.RATE_LIMITED)
    named.pop("", None)
    if named:
        return named.most_common(1)[0][0].replace("_", " ")
    left: dict[str, float] = {}
    for attempt in attempts:
        for name, quota in attempt.rate_limit.quotas.items():
            if quota.limit and quota.remaining is not None:
                left[name] = min(left.get(name, math.inf), quota.remaining / quota.limit)
    return min(left, key=lambda name: left[name]).replace("_", " ") if left else "requests"


def _is_trace(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_TRACE_START)) == _TRACE_START
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {_WANTED}") from error


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is larger than any report; {_WANTED}")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {_WANTED}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON; {_WANTED}") from error
