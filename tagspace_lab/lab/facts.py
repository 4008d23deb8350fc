"""How documents, the Report's and the study's and the command line's, tell spaces, scenarios and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tagspace_lab.records import Space
from tagspace_lab.twin.schema import Scenario

__all__ = ["rounded", "scenario_facts", "space_facts"]


def space_facts(space: Space) -> dict[str, Any]:
    """Name, key, number of pages and content hash, which may read every page."""
    return {"name": space.name, "key": space.key, "pages": len(space), "content_hash": space.content_hash}


def scenario_facts(scenario: Scenario) -> dict[str, Any]:
    """Name and content hash."""
    return {"name": scenario.name, "content_hash": scenario.content_hash}


def rounded(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON has it: numbers with 6 decimals at most, None for what is not a number."""
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(float(value), 6)
    return value
