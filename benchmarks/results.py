"""RESULTS.md in sections: each command replaces its own, and the rest stays as it is, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["format_table", "replace_section", "write_section"]

_RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(heading: str, body: str, path: Path = _RESULTS) -> None:
    """Put `body` under `## heading`."""
    path.write_bytes(replace_section(path.read_bytes().decode("utf-8"), heading, body).encode("utf-8"))


def replace_section(text: str, heading: str, body: str) -> str:
    """`text` with `body` between `## heading` and the next heading of that depth; a new section goes to the end."""
    section = f"## {heading}\n\n{body.strip()}\n"
    found = re.search(rf"^## {re.escape(heading)}[ \t]*$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{text.rstrip()}\n\n{section}"
    rest = text[found.end() :]
    return text[: found.start()] + section + (f"\n{rest}" if rest else "")


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))
