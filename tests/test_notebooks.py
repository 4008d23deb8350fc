"""nbval compares the outputs of cells that ran; a cell that never ran would pass unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def find_unrun(notebook: dict[str, Any]) -> list[str]:
    """The source of each code cell that has no execution count."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    return ["".join(cell["source"]) for cell in cells if cell["execution_count"] is None]


def test_every_code_cell_was_run() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        assert find_unrun(json.loads(path.read_text("utf-8"))) == [], path.name


def test_stripped_cell_is_found() -> None:
    ran = {"cell_type": "code", "source": ["1"], "execution_count": 1}
    stripped = {"cell_type": "code", "source": ["2\n", "3"], "execution_count": None}
    prose = {"cell_type": "markdown", "source": ["4"]}
    assert find_unrun({"cells": [ran, stripped, prose]}) == ["2\n3"]
