"""A trace into a scenario: every quantity with its interval and where it was seen, and what was not seen said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tagspace_lab.lab.calibration.answers import (
    Broken,
    count_broken,
    fault_findings,
    output_findings,
)
from tagspace_lab.lab.calibration.claims import read_claims
from tagspace_lab.lab.calibration.decisions import MOST_DECISIONS, Decisions, Floats, decide
from tagspace_lab.lab.calibration.documents import render_toml, scenario_of, usable
from tagspace_lab.lab.calibration.findings import HEADERS, NOT_SEEN, TOKENS, Finding
from tagspace_lab.lab.calibration.headers import read_dialect
from tagspace_lab.lab.calibration.latencies import fit_latency, latency_findings
from tagspace_lab.lab.calibration.limits import LimitFits, limit_findings
from tagspace_lab.lab.calibration.outages import fit_with_outages, without_outages
from tagspace_lab.lab.calibration.replicas import token_finding
from tagspace_lab.lab.calibration.steps import read_steps, scaled
from tagspace_lab.lab.facts import rounded
from tagspace_lab.lab.traces import TraceRun, read_trace
from tagspace_lab.twin.scenario import LimitStep, Outage, Quality, Scenario

__all__ = ["Calibration", "calibrate"]

_PRIMARY, _FALLBACK = "primary", "fallback"
_FEW_DECISIONS = 30


@dataclass(frozen=True)
class Calibration:
    """A scenario that behaves as the recorded provider did.

    `findings` say of each key how sure it is, `events` when the provider let nobody in, `notes` what is odd.
    """

    name: str
    runs: tuple[TraceRun, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    events: tuple[LimitStep | Outage, ...] = ()
    refusals: dict[str, int] = field(default_factory=dict)
    """Of the primary provider: how many refusals each limit explains, by unit."""

    @property
    def scenario(self) -> Scenario:
        return scenario_of(self.name, self.description, self.source, self.findings, self.events)

    @property
    def description(self) -> str:
        models = ", ".join(dict.fromkeys(model for run in self.runs for model in run.models.values()))
        return f"Calibrated on a trace of {models or 'a provider'}"

    @property
    def source(self) -> str:
        attempts = sum(len(run.attempts) for run in self.runs)
        sizes = sorted({run.settings.batch_size for run in self.runs})
        return (
            f"A trace of {len(self.runs)} run{'s' * (len(self.runs) != 1)} with {attempts:,} attempts over "
            f"{sum(run.makespan_s for run in self.runs):,.0f} s, at batch size {', '.join(map(str, sizes))}."
        )

    def with_quality(self, quality: Quality) -> Calibration:
        """The same with a quality curve that was measured."""
        kept = tuple(each for each in self.findings if not each.key.startswith("quality."))
        measured = tuple(
            Finding(f"quality.{key}", value, "measured") for key, value in quality.model_dump(mode="json").items()
        )
        return replace(self, findings=(*kept, *measured))

    def to_toml(self) -> str:
        """The scenario file: every key with its interval and source as a comment, and what was not seen in words."""
        return render_toml(self.name, self.description, self.source, self.findings, self.events, self.notes)

    def to_dict(self) -> dict[str, Any]:
        """What `calibrate --json` prints."""
        rows = [
            rounded({"key": each.key, "value": each.value, "low": _finite(each.low), "high": _finite(each.high)})
            | {"source": each.source, "note": each.note}
            for each in self.findings
        ]
        return {
            "scenario": {"name": self.name, "content_hash": self.scenario.content_hash},
            "runs": len(self.runs),
            "attempts": sum(len(run.attempts) for run in self.runs),
            "findings": rows,
            "notes": list(self.notes),
        }


def calibrate(trace: str | Path | Sequence[TraceRun], name: str = "calibrated") -> Calibration:
    """What the trace shows of its provider, as a scenario. Raises TraceError for a trace that cannot be used."""
    runs = read_trace(trace) if isinstance(trace, str | Path) else list(trace)
    with np.errstate(all="ignore"):  # what comes out absurd is left out in the end
        return _calibrate(runs, name)


def _calibrate(runs: list[TraceRun], name: str) -> Calibration:
    broken = count_broken(runs)
    findings, notes, events, refusals = _provider(runs, _PRIMARY, broken)
    if any(run.of(_FALLBACK) for run in runs):
        more, others, *_ = _provider(runs, _FALLBACK, None)
        findings, notes = findings + more, notes + [f"fallback: {note}" for note in others]
    findings += [_confluence(runs), *_quality(broken)]
    notes += _notes(runs)
    findings = [*usable(findings)]
    return Calibration(name, tuple(runs), tuple(findings), tuple(notes), events, refusals)


def _provider(
    runs: Sequence[TraceRun], provider: str, broken: Broken | None
) -> tuple[list[Finding], list[str], tuple[LimitStep | Outage, ...], dict[str, int]]:
    decisions = decide(runs, provider)
    attempts = [attempt for run in runs for attempt in run.of(provider)]
    if not len(decisions):
        return (
            [Finding(f"{_TABLES[provider]}.headers", None, NOT_SEEN, note="no call was let in or refused")],
            [],
            (),
            {},
        )
    steps = read_steps(decisions)
    decisions = scaled(decisions, steps)
    limits, outages = fit_with_outages(decisions)
    decisions = without_outages(decisions, outages)
    claim, window_s = read_claims(decisions, _waits_s(decisions, limits))
    found = [*limit_findings(decisions, limits), claim]
    if window_s is not None and limits.shape.kind == "bucket" and limits.rates:
        found.append(Finding("window_s", window_s, claim.source, note="what refusals claim"))
    cap = limits.cap.quota if limits.cap else None
    dialect = read_dialect(decisions)
    longest = max(runs, key=lambda run: len(run.of(provider)))
    tables = {
        "": [Finding("headers", dialect, HEADERS), token_finding(longest, dialect)],
        "limits.": found,
        "latency.": list(latency_findings(fit_latency(decisions), cap)),
        "output.": list(output_findings(attempts)),
        "faults.": list(fault_findings(attempts, broken)),
    }
    findings = [
        replace(each, key=f"{_TABLES[provider]}.{table}{each.key}") for table, rows in tables.items() for each in rows
    ]
    return findings, _doubts(decisions, limits, outages), (*steps, *outages), limits.refusals


_TABLES = {_PRIMARY: "provider", _FALLBACK: "fallback"}


def _waits_s(decisions: Decisions, limits: LimitFits) -> Floats:
    """How long every refused call would have had to wait; nan for a cap's, of which nobody knows."""
    waits_s = np.full(len(decisions), np.nan)
    for fit in limits.rates:
        longer = fit.explained & ~(waits_s > fit.waits_s)
        waits_s[longer] = fit.waits_s[longer]
    return waits_s


def _doubts(decisions: Decisions, limits: LimitFits, outages: Sequence[Outage]) -> list[str]:
    notes = [
        f"nothing was let in from {each.at_s:g} s to {each.until_s:g} s: an outage, if no hidden limit did that"
        for each in outages
    ]
    refused = int(decisions.is_refused.sum())
    if limits.unexplained:
        notes.append(
            f"{limits.unexplained} of {refused} refusals are explained by no limit that stays the same: limits may "
            "have changed during the run, others may share them, or the provider was overloaded"
        )
    if len(decisions) == MOST_DECISIONS:
        notes.append(f"limits and latencies are those of the first {MOST_DECISIONS:,} calls: the trace holds more")
    if len(decisions) < _FEW_DECISIONS:
        notes.append(f"the trace holds {len(decisions)} decisions only: record a longer run to be surer")
    return notes


def _confluence(runs: Sequence[TraceRun]) -> Finding:
    """The first call follows the space's id and the first listing."""
    first_s = [min(attempt.started_s for attempt in run.attempts) for run in runs]
    note = "half of the time to the first call, which waits for two requests"
    return Finding("confluence.latency_s", float(np.median(first_s)) / 2, "latencies", note=note)


def _quality(broken: Broken | None) -> Iterator[Finding]:
    note = "a trace holds no labels: how right they are is the default; measure it with `tagspace-lab quality`"
    yield Finding("quality.accuracy", None, NOT_SEEN, note=note)
    if broken is not None:
        share = round(broken.missing / max(1, broken.tagged), 6)
        # None at size 1: there the twin would leave the same page out for ever.
        points = [[1, 0.0], [broken.batch_size, share]] if share and broken.batch_size > 1 else [[1, 0.0]]
        yield Finding("quality.missing", points, TOKENS, note="single pages left out of answers, by batch size")


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _notes(runs: Sequence[TraceRun]) -> list[str]:
    notes = []
    sizes = {run.settings.batch_size for run in runs}
    if len(sizes) == 1:
        notes.append(
            f"every run asked {sizes.pop()} pages a call: what another batch size does to tokens, latency and errors "
            "is read from the few calls that were smaller, or was not seen"
        )
    if killed := sum(not run.is_whole for run in runs):
        notes.append(f"{killed} run{'s have' if killed > 1 else ' has'} no end: killed, or still going on")
    return notes
