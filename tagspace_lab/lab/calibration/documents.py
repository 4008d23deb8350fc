"""Findings as a scenario, and as the TOML file that says beside every key how sure it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import Any

from pydantic import ValidationError

from tagspace_lab.lab.calibration.findings import NOT_SEEN, Finding
from tagspace_lab.twin.scenario import LimitStep, Outage, Scenario

__all__ = ["render_toml", "scenario_of", "usable"]

_DIGITS = 6
_WIDTH = 110
_INTEGERS = ("concurrency_cap",)


def scenario_of(
    name: str, description: str, source: str, findings: Sequence[Finding], events: Sequence[LimitStep | Outage] = ()
) -> Scenario:
    """The scenario that the findings make; keys without a value keep the twin's default."""
    document: dict[str, Any] = {"name": name, "description": description, "source": source, "provider": {}}
    for finding in findings:
        if finding.value is None:
            continue
        *tables, key = finding.key.split(".")
        place = document
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = _value(finding)
    if events:
        document["provider"]["events"] = [event.model_dump(exclude_none=True) for event in events]
    return Scenario.model_validate_json(json.dumps(document))


def usable(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without the values that no scenario may have: an absurd trace makes absurd numbers."""
    kept = list(findings)
    for _ in findings:
        try:
            scenario_of("x", "x", "x", kept)
        except (ValidationError, ValueError) as error:
            wrong = {_path(each["loc"]) for each in error.errors()} if isinstance(error, ValidationError) else {""}
            kept = [
                replace(each, value=None, source=NOT_SEEN, note="what the trace says of it cannot be")
                if each.value is not None and any(each.key.startswith(path) for path in wrong)
                else each
                for each in kept
            ]
        else:
            break
    return kept


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(step for step in loc if isinstance(step, str))


def render_toml(
    name: str,
    description: str,
    source: str,
    findings: Sequence[Finding],
    events: Sequence[LimitStep | Outage],
    notes: Sequence[str],
) -> str:
    """A scenario file; it reads back as `scenario_of` the same findings."""
    lines = [
        f"name = {json.dumps(name)}",
        f"description = {json.dumps(description)}",
        f"source = {json.dumps(source)}",
    ]
    for note in notes:
        lines += _comment(note)
    tables: dict[str, list[Finding]] = {}
    for finding in findings:
        tables.setdefault(finding.key.rpartition(".")[0], []).append(finding)
    for table in sorted(tables, key=_order):
        lines += ["", f"[{table}]"]
        for finding in tables[table]:
            lines += _lines(finding)
    for event in events:
        lines += ["", "[[provider.events]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in event.model_dump(exclude_none=True).items()]
    return "\n".join(lines) + "\n"


def _order(table: str) -> tuple[int, int]:
    """A table before those within it."""
    top = ("provider", "fallback", "confluence", "quality").index(table.split(".")[0])
    return top, table.count(".")


def _lines(finding: Finding) -> Iterator[str]:
    key = finding.key.rpartition(".")[2]
    if finding.value is None:
        yield from _comment(f"{key}: {NOT_SEEN}. {finding.note}")
        return
    words = [finding.source]
    if finding.low is not None and finding.high is not None:
        words.append(f"{finding.low:.4g} to {finding.high:.4g}")
    assignment = f"{key} = {_toml(_value(finding))}"
    comment = "; ".join([": ".join(words), *([finding.note] if finding.note else [])])
    if len(assignment) + len(comment) + 5 <= _WIDTH + 10:
        yield f"{assignment}  # {comment}"
    else:
        yield from _comment(f"{key}: {comment}")
        yield assignment


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(" ".join(text.split()), _WIDTH)]


def _value(finding: Finding) -> Any:
    """As the scenario has it: six digits, and whole numbers where they are counts."""
    value = finding.value
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    if finding.key.endswith(_INTEGERS):
        return round(value)
    return float(f"{value:.{_DIGITS}g}")


def _toml(value: Any) -> str:
    """JSON's spelling of texts, switches, numbers and lists is TOML's, too; a float that is whole gets no point."""
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
