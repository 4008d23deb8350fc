"""Options and arguments that several commands share."""

from __future__ import annotations

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
    "Backend",
    "EnvFile",
    "Force",
    "Goal",
    "Jobs",
    "Output",
    "ProfileName",
    "Runs",
    "ScenarioName",
    "ScenarioNames",
    "Scheduler",
    "Seed",
    "SpaceName",
    "SpaceNames",
    "choose_scheduler",
    "examples",
    "one_of",
    "read_values",
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


def one_of(*words: str) -> Callable[[Any], str]:
    """A parser of one of some words."""

    def parse(value: Any) -> str:
        if value not in words:
            raise typer.BadParameter(f"{str(value)!r}; allowed: {', '.join(words)}.")
        return str(value)

    return parse


def choose_scheduler(backend: str, scheduler: str | None) -> str | None:
    """The address where --backend is dask, None where it is local; InputError where the two do not fit."""
    if (backend == "dask") != (scheduler is not None):
        raise InputError("--backend dask and --scheduler tcp://HOST:PORT go together; name both or neither.")
    return scheduler


SpaceName = Annotated[
    str, typer.Argument(metavar="SPACE", help="A shipped space (small, medium, large) or a snapshot file.")
]
ScenarioName = Annotated[
    str, typer.Option("--scenario", metavar="NAME|FILE.toml", help="A shipped scenario or a scenario file.")
]
SpaceNames = Annotated[
    list[str], typer.Argument(metavar="SPACE", help="Shipped spaces (small, medium, large) or snapshot files.")
]
ScenarioNames = Annotated[
    list[str],
    typer.Option(
        "--scenario", metavar="NAME|FILE.toml", help="A shipped scenario or a file; several by naming it again."
    ),
]
Goal = Annotated[
    str,
    typer.Option(
        parser=one_of("fastest", "cheapest", "gentlest", "balanced"),
        metavar="GOAL",
        help="What is sought: fastest, cheapest (fewest tokens), gentlest (fewest 429s) or balanced.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="The dask scheduler of --backend dask.", show_default=False),
]
Backend = Annotated[
    str, typer.Option(parser=one_of("local", "dask"), metavar="local|dask", help="Where replays are made.")
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
