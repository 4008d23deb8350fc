"""Options and arguments that several commands share."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tagspace_lab.errors import InputError

__all__ = [
    "PROCESSORS",
    "AsJson",
    "EnvFile",
    "Force",
    "Jobs",
    "Output",
    "ProfileName",
    "Runs",
    "ScenarioName",
    "Seed",
    "SpaceName",
    "examples",
    "read_values",
    "share",
    "whole",
]


PROCESSORS = os.cpu_count() or 1


def examples(*lines: str) -> str:
    """The end of a command's help: how it is typed."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def whole(low: int, high: int = 10**18) -> Callable[[Any], int]:
    """A parser of integers from `low` to `high`, whose complaint names the value and the range."""

    def parse(value: Any) -> int:
        number = int(value) if re.fullmatch(r"[+-]?[0-9]{1,19}", str(value)) else None
        if number is None or not low <= number <= high:
            upto = "" if high == 10**18 else f" to {high:,}"
            raise typer.BadParameter(f"{str(value)!r}; allowed: an integer from {low}{upto}.")
        return number

    return parse


def share(value: Any) -> float:
    """A parser of numbers from 0 to 1."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"{str(value)!r}; allowed: a number from 0 to 1.")
    return number


SpaceName = Annotated[
    str, typer.Argument(metavar="SPACE", help="A shipped space (small, medium, large) or a snapshot file.")
]
ScenarioName = Annotated[
    str, typer.Option("--scenario", metavar="NAME|FILE.toml", help="A shipped scenario or a scenario file.")
]
ProfileName = Annotated[
    str, typer.Option("--profile", metavar="FILE.env|NAME", help="Settings: a profile file, or a shipped one.")
]
Seed = Annotated[int, typer.Option(parser=whole(0), metavar="N", help="All luck follows from it.")]
Runs = Annotated[
    int,
    typer.Option(parser=whole(1, 1000), metavar="N", help="Runs one after the other, a day of edits between them."),
]
Jobs = Annotated[int, typer.Option(parser=whole(1, 256), metavar="N", help="Processes that replay at the same time.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Variables; those of the environment win. [default: none]"),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the result is written.")]


def read_values(option: str, setting: str, text: str) -> list[int]:
    """The values of `--batch-size 1,5,10`, each within the bounds of its setting; InputError names the option."""
    from tagspace_lab.settings import LARGEST_CONCURRENCY, SETTINGS, Settings

    allowed = next(row.allowed for row in SETTINGS if row.name == setting)
    widest = {"ai_concurrency": 1, "max_ai_concurrency": LARGEST_CONCURRENCY}
    values: dict[int, None] = {}
    for part in text.split(","):
        try:
            settings = Settings(**(widest | {setting: part.strip()}))  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(
                f"{option} {text!r} holds {part.strip()!r}; allowed: {allowed}, or several, as in 2,4,8"
            ) from error
        values[getattr(settings, setting)] = None
    return list(values)
