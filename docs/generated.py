"""The parts of the reference that the package says of itself, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer

import tagspace_lab
from tagspace_lab.cli.app import app
from tagspace_lab.live.connections import CONNECTIONS
from tagspace_lab.settings import SETTINGS
from tagspace_lab.twin.scenario import load_scenario, shipped_scenarios

__all__ = ["GENERATED", "list_commands"]

_WIDTH = 92


def list_commands() -> str:
    """A section a command: its help."""
    group = typer.main.get_command(app)
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in _helps(group, "tagspace-lab"))


def _helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    context = typer.Context(command, info_name=path, terminal_width=_WIDTH, max_content_width=_WIDTH)
    yield path, command.get_help(context)
    for name, child in getattr(command, "commands", {}).items():
        yield from _helps(child, f"{path} {name}")


def list_settings() -> str:
    """A row a variable."""
    return _table(
        ("variable", "default", "allowed", "meaning"),
        [(f"`{row.variable}`", row.default, row.allowed, row.meaning) for row in SETTINGS],
    )


def list_connections() -> str:
    """A row a variable."""
    return _table(("variable", "meaning"), [(f"`{name}`", meaning) for name, meaning in CONNECTIONS.items()])


def list_scenarios() -> str:
    """A row a scenario."""
    scenarios = map(load_scenario, shipped_scenarios())
    return _table(("scenario", "what it is"), [(f"`{one.name}`", one.description) for one in scenarios])


def list_names() -> str:
    """What `tagspace_lab` promises, by autodoc."""
    directives = (_directive(name) for name in tagspace_lab.__all__ if name != "__version__")
    return "\n".join(("```{eval-rst}", *directives, "```"))


def _directive(name: str) -> str:
    thing = getattr(tagspace_lab, name)
    if not isinstance(thing, type):
        return f".. autofunction:: tagspace_lab.{name}\n"
    kind = "exception" if issubclass(thing, Exception) else "class"
    return f".. auto{kind}:: tagspace_lab.{name}\n   :members:\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


GENERATED: dict[str, Callable[[], str]] = {
    "commands": list_commands,
    "settings": list_settings,
    "connections": list_connections,
    "scenarios": list_scenarios,
    "names": list_names,
}
