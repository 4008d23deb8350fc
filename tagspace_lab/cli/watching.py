"""How a run that goes on is shown: drawn anew on a terminal, line by line where there is none."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tagspace_lab.operations.monitor import View, Watch

__all__ = ["follow", "show_view"]

_EVERY_S = 0.5


def follow(watch: Watch) -> None:
    """Show the run until it has ended (a log: never) or Ctrl-C, which is no error."""
    try:
        if sys.stdout.isatty():
            _draw(watch)
        else:
            _print_changes(watch)
    except KeyboardInterrupt:
        typer.echo("\nNo longer watched; the run goes on.", err=True)


def show_view(view: View) -> None:
    """One look, as lines."""
    for name, value in _rows(view):
        typer.echo(f"{name:<12} {value}")
    for line in view.lines:
        typer.echo(line)


def _looks(watch: Watch) -> Iterator[View]:
    """A look every half second, until a task has ended; a log is followed beyond the end of a run."""
    pause = Event()
    while True:
        view = watch.look()
        yield view
        if view.is_ended and view.total is not None:
            return
        pause.wait(_EVERY_S)


def _print_changes(watch: Watch) -> None:
    """A line whenever something but the clock changed."""
    before = None
    for view in _looks(watch):
        steady = replace(view, rate_per_s=None, eta_s=None)
        if steady != before:
            typer.echo(", ".join(f"{name} {value}" for name, value in _rows(view)))
            sys.stdout.flush()
        before = steady


def _draw(watch: Watch) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as screen:
        for view in _looks(watch):
            screen.update(_panel(view), refresh=True)


def _panel(view: View) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in _rows(view):
        table.add_row(Text(name, style="bold"), Text(value))
    parts: list[Any] = [table]
    if view.total and view.processed is not None:
        parts.append(ProgressBar(total=view.total, completed=view.processed))
    return Group(*parts, *(Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in view.lines))


def _rows(view: View) -> Iterator[tuple[str, str]]:
    """What is known, worded."""
    yield "run", f"{view.name}: {view.state}"
    if view.processed is not None:
        of = "" if view.total is None else f" of {view.total:,}"
        yield "pages", f"{view.processed:,}{of}" + (f", {view.errors:,} errors" if view.errors else "")
    if view.rate_per_s is not None:
        eta = "" if view.eta_s is None else f", {_clock(view.eta_s)} left"
        yield "rate", f"{view.rate_per_s:.3g} pages/s{eta}"
    yield "429s", f"{view.rate_limit_errors:,}"
    yield "fallbacks", f"{view.fallbacks:,}"
    if view.ai_calls is not None:
        yield "AI calls", f"{view.ai_calls:,}"
    if view.concurrency is not None:
        pace = "" if view.pace_per_s is None else f", {view.pace_per_s:.3g} calls/s"
        flight = "" if view.in_flight is None else f", {view.in_flight} in flight, {view.queued} queued"
        yield "concurrency", f"{view.concurrency:.3g} allowed{pace}{flight}"
    if view.hit_rate is not None:
        yield "cache hits", f"{view.hit_rate:.0%}"
    if view.summary:
        yield "summary", view.summary


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{int(seconds):02}" if hours else f"{minutes}:{int(seconds):02}"
