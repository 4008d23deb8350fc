"""How results show themselves in a notebook: a title, a table and a few lines, in the colours of the reader's theme."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["render_card"]


def render_card(title: str, table: pd.DataFrame, lines: Iterable[str] = ()) -> str:
    """HTML without any markup of the caller's: names come from files that anybody may have written."""
    told = "".join(f'<p style="margin: 0.3em 0; opacity: 0.8">{escape(line)}</p>' for line in lines)
    return f"<div><p><b>{escape(title)}</b></p>{table.to_html(border=0)}{told}</div>"
