"""What a person or a program sees: tables and JSON on standard output, everything else on standard error."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    import pandas as pd

    from tagspace_lab.records import Space
    from tagspace_lab.twin.scenario import Scenario

__all__ = [
    "describe_scenario",
    "describe_space",
    "print_frame",
    "print_json",
    "print_table",
    "records",
    "say",
    "telling_warnings",
]


_WIDEST_HEADING = 16


def say(message: str) -> None:
    """A message for the person at the terminal."""
    typer.echo(message, err=True)


@contextmanager
def telling_warnings() -> Iterator[None]:
    """Until the block ends, warnings of our own loggers are messages: the cache is away, a trace does not grow on."""
    logger, teller = logging.getLogger("tagspace_lab"), _Teller(logging.WARNING)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"Note: {record.getMessage()}")


def print_json(document: dict[str, Any]) -> None:
    """One JSON object; numbers that are not finite have become null before."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def describe_space(space: Space) -> dict[str, Any]:
    """What JSON says of a space."""
    from tagspace_lab.lab.facts import space_facts

    return {"space": space_facts(space)}


def describe_scenario(scenario: Scenario) -> dict[str, Any]:
    """What JSON says of a scenario."""
    from tagspace_lab.lab.facts import scenario_facts

    return {"scenario": scenario_facts(scenario)}


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", *, right: bool = True
) -> None:
    """A table as wide as the terminal at most; `right`: all columns but the first are flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    if title:
        table.title, table.title_justify, table.title_style = Text(title), "left", "bold"
    for number, column in enumerate(columns):
        longest_word = max(map(len, column.split()), default=0)
        justify: Literal["left", "right"] = "right" if right and number else "left"
        longest_word = min(longest_word, _WIDEST_HEADING)  # a column that does not fit would be left out
        table.add_column(column, justify=justify, overflow="fold", no_wrap=not number, min_width=longest_word)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    with console.capture() as written:
        console.print(table)
    typer.echo(written.get(), nl=False)


def print_frame(frame: pd.DataFrame, title: str = "") -> None:
    """A DataFrame as a table, its index first; numbers with decimals to four significant digits, - for none."""
    rows = ([name, *map(_word, cells)] for name, *cells in frame.itertuples())
    print_table(["" if frame.index.name is None else str(frame.index.name), *map(str, frame.columns)], rows, title)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame for JSON: plain numbers, rounded to 6 decimals, null for what is missing."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=6))
    return rows


def _word(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)
