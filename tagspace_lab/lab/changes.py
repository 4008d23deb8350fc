"""What a tagging task changed, or would change, as a file for people (.csv) or machines (.json)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from tagspace_lab.errors import InputError
from tagspace_lab.lab.files import check_writable, replacing

__all__ = ["check_changes_path", "write_changes"]

_COLUMNS = ("page_id", "title", "status", "tags", "existing", "added", "reason")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_changes_path(path: Path, *, force: bool = False) -> None:
    """InputError where :func:`write_changes` could not write later, or would write what the name does not say."""
    if path.suffix not in ("", ".csv", ".json"):
        raise InputError(f"{path} is neither .csv nor .json; name one that is")
    check_writable(path, force=force)


def write_changes(path: Path, result: dict[str, Any], *, force: bool = False) -> None:
    """Write the details of a task's result: a row a page, labels parted by blanks; the whole result as .json."""
    check_writable(path, force=force)
    if path.suffix == ".json":
        content = json.dumps(result, indent=2, ensure_ascii=False)
    else:
        written = io.StringIO()
        table = csv.writer(written)
        table.writerow(_COLUMNS)
        table.writerows([_cell(detail[column]) for column in _COLUMNS] for detail in result["details"])
        content = written.getvalue()
    with replacing(path) as file:
        file.write(content.encode("utf-8", "replace"))


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: a page's title is anybody's text."""
    text = " ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
