"""Scenarios by name or file: finds, reads and checks them, and words what is wrong with one.

What a file may say stands in :mod:`tagspace_lab.twin.schema`, whose names are exported here too.
"""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tagspace_lab.errors import ScenarioError
from tagspace_lab.shipped import shipped_dir, shipped_file, shipped_names
from tagspace_lab.twin.schema import (
    Confluence,
    Event,
    Faults,
    Injection,
    Latency,
    Limits,
    LimitStep,
    Outage,
    Output,
    Prices,
    Provider,
    Quality,
    Scenario,
    Tenants,
)

__all__ = [
    "Confluence",
    "Event",
    "Faults",
    "Injection",
    "Latency",
    "LimitStep",
    "Limits",
    "Outage",
    "Output",
    "Prices",
    "Provider",
    "Quality",
    "Scenario",
    "Tenants",
    "find_scenario",
    "load_scenario",
    "shipped_scenarios",
]

_LISTED_KEYS = 12


def shipped_scenarios() -> list[str]:
    """The names of the scenarios that come with the package, sorted."""
    return list(shipped_names("scenarios", ".toml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """The scenario of that shipped name, or of that file if it is a path or ends in `.toml`.

    A scenario of one's own is called after its file, so that a copy is not taken for what it was copied
    from. Raises ScenarioError for an unknown name, an unreadable file, an unknown key (named with the nearest
    allowed one) or a wrong value (named with what is allowed).
    """
    path = find_scenario(name_or_path)
    content = _read(path)
    try:
        scenario = Scenario.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise ScenarioError(f"{path}: " + "; ".join(_word(details) for details in error.errors())) from error
    is_shipped = path.parent == shipped_dir() / "scenarios"
    return scenario if is_shipped else scenario.model_copy(update={"name": path.stem})


def find_scenario(name_or_path: str | Path) -> Path:
    """The file of a shipped scenario, or the path that was given; ScenarioError for an unknown name."""
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        return Path(name_or_path)
    shipped = shipped_scenarios()
    if text in shipped:
        return shipped_file("scenarios", f"{text}.toml")
    raise ScenarioError(
        f"there is no scenario {text!r}{_suggest(text, shipped)}. Shipped: {', '.join(shipped)}. "
        "A scenario of your own is given as the path of a .toml file."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: the scenario cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: this is not TOML: {error}") from error


def _word(details: ErrorDetails) -> str:
    """One thing that is wrong, in words."""
    key = ".".join(map(str, details["loc"])) or "scenario"
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}{_nearest(details['loc'])}"
        case "missing":
            return f"the key {key!r} is missing"
        case "json_type" | "model_type" | "model_attributes_type":
            return f"{key} = {details['input']!r}: a table of keys is wanted"
        case "value_error":
            return f"{key}: {details['ctx']['error']}"
        case _:
            return f"{key} = {details['input']!r}: {details['msg'].lower()}"


def _nearest(loc: tuple[int | str, ...]) -> str:
    allowed = sorted(_table_at(loc[:-1]).model_fields)
    listed = f"; allowed there: {', '.join(allowed)}" if len(allowed) <= _LISTED_KEYS else ""
    return f"{_suggest(str(loc[-1]), allowed)}{listed}"


def _suggest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.3)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _table_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the table that a validation error's location leads to."""
    table: type[BaseModel] = Scenario
    for step in loc:
        if step in table.model_fields:
            choices = _tables_in(table.model_fields[str(step)].annotation)
            table = choices[0]
        elif isinstance(step, str):  # the kind of an event, which pydantic puts into the location
            table = next(choice for choice in choices if step in get_args(choice.model_fields["kind"].annotation))
    return table


def _tables_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model in an annotation such as `tuple[A | B, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, Union, UnionType, Annotated):
        return [table for part in get_args(annotation) for table in _tables_in(part)]
    return []
