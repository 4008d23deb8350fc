"""nbval compares the outputs of cells that ran; this holds what it would let pass, and the manner of the notebooks."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import pytest
from jupytext.config import load_jupytext_config

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))

LARGEST_CELL = 5
LEAK = re.compile(r"(?<![\w.<])/(?:home|root|tmp|usr|work|var|Users)/|0x[0-9a-f]{6,}|Traceback|Warning:", re.IGNORECASE)
MARKER = re.compile(r"#+\s*(NBVAL_|PYTEST_VALIDATE_)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*%?")

Cell = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def cells(notebook: dict[str, Any], kind: str) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind and source_of(cell).strip()]


def source_of(cell: Cell) -> str:
    return "".join(cell["source"])


def find_unrun(notebook: dict[str, Any]) -> list[str]:
    """The source of each code cell that was not run in its turn, from top to bottom, in one go."""
    return [
        source_of(cell)
        for turn, cell in enumerate(cells(notebook, "code"), 1)
        if cell["execution_count"] != turn or any(output["output_type"] == "error" for output in cell["outputs"])
    ]


def texts_of(cell: Cell) -> list[str]:
    """All outputs of a code cell that are text."""
    plain = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
    bundles = [output["data"] for output in cell["outputs"] if "data" in output]
    return plain + ["".join(text) for data in bundles for kind, text in data.items() if kind.startswith("text/")]


def find_unprinted(notebook: dict[str, Any]) -> list[str]:
    """Numbers of the prose, code spans aside, that no cell prints: they would go stale."""
    printed = " ".join(text for cell in cells(notebook, "code") for text in texts_of(cell))
    prose = " ".join(re.sub("`[^`]*`", "", source_of(cell)) for cell in cells(notebook, "markdown"))
    return sorted(set(NUMBER.findall(prose)) - set(NUMBER.findall(printed)))


def find_unmannered(cell: Cell) -> list[str]:
    """What is wrong with the length or contents of a code cell: a definition, or what only IPython understands.

    A magic that does not exist passes unseen, and one that does may hide what the cell runs.
    """
    source = source_of(cell)
    is_list = "parameters" in cell["metadata"].get("tags", [])
    long = ["too long"] if len(source.splitlines()) > LARGEST_CELL and not is_list else []
    try:
        tree = compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return [*long, "not plain Python"]
    nodes = list(ast.walk(tree))
    defines = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in nodes)
    asks_ipython = any(isinstance(node, ast.Name) and node.id == "get_ipython" for node in nodes)
    return long + ["a definition"] * defines + ["not plain Python"] * asks_ipython


def find_exemptions(cell: Cell) -> list[str]:
    """Tags and comments by which nbval skips a cell or ignores what it prints; papermill's `parameters` is none."""
    tags = [tag for tag in cell["metadata"].get("tags", []) if tag != "parameters"]
    return tags + [found.group(1) for found in MARKER.finditer(source_of(cell))]


def test_notebooks_are_here() -> None:
    assert [path.stem for path in PATHS] == [
        "01_replay_a_space",
        "02_where_the_time_goes",
        "03_batch_size_and_quality",
        "04_cache_over_days",
        "05_tune_and_export",
        "06_compare_throttles",
        "07_bring_your_own_space",
        "08_go_live",
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_was_run_from_top_to_bottom_without_an_error(path: Path) -> None:
    assert find_unrun(read(path)) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_name_no_place_and_warn_of_nothing(path: Path) -> None:
    texts = [text for cell in cells(read(path), "code") for text in texts_of(cell)]
    assert [found.group() for text in texts for found in LEAK.finditer(text)] == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_number_of_the_prose_is_printed(path: Path) -> None:
    assert find_unprinted(read(path)) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_code_is_thin_and_compared_everywhere(path: Path) -> None:
    for cell in cells(read(path), "code"):
        assert find_unmannered(cell) == [], source_of(cell)
        assert find_exemptions(cell) == [], source_of(cell)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_any_kernel_named_python3_runs_it(path: Path) -> None:
    assert read(path)["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_that_moves_and_no_warning_is_left_in_it(path: Path) -> None:
    outputs = [output for cell in cells(read(path), "code") for output in cell["outputs"]]
    assert [output for output in outputs if output.get("name") == "stderr" or "widget" in str(output.keys())] == []
    assert [kind for output in outputs for kind in output.get("data", ()) if "widget" in kind] == []
    assert set(read(path)["metadata"]) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_text_half_is_in_step(path: Path) -> None:
    """As JupyterLab would write it. If not: `make refresh` takes the text half, saving in JupyterLab the other."""
    config = load_jupytext_config(str(path))
    assert jupytext.writes(jupytext.read(path), fmt="py:percent", config=config) == path.with_suffix(".py").read_text()


def test_no_text_half_is_alone() -> None:
    assert sorted(NOTEBOOKS.glob("*.py")) == [path.with_suffix(".py") for path in PATHS]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_one_cell_says_what_it_runs_on(path: Path) -> None:
    (cell,) = [cell for cell in cells(read(path), "code") if "parameters" in cell["metadata"].get("tags", [])]
    statements = ast.parse(source_of(cell)).body
    assert all(isinstance(each, ast.Assign) and ast.literal_eval(each.value) is not None for each in statements)
    names = [target.id for each in statements for target in each.targets]  # type: ignore[attr-defined]
    assert names[:2] == ["space", "scenario"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_names_its_equals_on_the_command_line(path: Path) -> None:
    first = source_of(cells(read(path), "markdown")[0])
    assert "On the command line: " in first
    assert f"`tagspace-lab notebook {path.stem[:2]} " in first


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_question_opens_it_and_its_answer_and_doubt_close_it(path: Path) -> None:
    first, *_, answer, doubt = cells(read(path), "markdown")
    assert source_of(first).splitlines()[0].endswith("?")
    assert source_of(answer).startswith("## Answer")
    assert source_of(doubt).startswith("**Its doubt.**")


def code(source: str, count: int | None = 1, text: str = "") -> Cell:
    outputs = [{"output_type": "stream", "text": [text]}] if text else []
    return {"cell_type": "code", "source": source, "execution_count": count, "outputs": outputs, "metadata": {}}


@pytest.mark.parametrize("count", [None, 3])
def test_cell_that_did_not_run_in_its_turn_is_found(count: int | None) -> None:
    assert find_unrun({"cells": [code("1"), code("2", count)]}) == ["2"]


def test_cell_that_failed_is_found() -> None:
    failed = code("1 / 0") | {"outputs": [{"output_type": "error"}]}
    assert find_unrun({"cells": [failed]}) == ["1 / 0"]


def test_stale_number_is_found() -> None:
    prose = {"cell_type": "markdown", "source": ["It took 13.0 s, 48%, see `run=2`; or was it 12.5 s?"]}
    assert find_unprinted({"cells": [prose, code("print()", text="13.0 s, 48%")]}) == ["12.5"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(): ...",
        "async def f(): ...",
        "1\n" * 6,
        "%time 1",
        "%%bash\nls",
        "!ls",
        "tl?",
        "get_ipython().run_line_magic",
    ],
)
def test_fat_cell_is_found(source: str) -> None:
    assert find_unmannered(code(source))


@pytest.mark.parametrize("text", ["/tmp/x.env", "at 0x7f3a2b4c5d", "UserWarning: x", "Traceback (most recent"])
def test_leak_is_found(text: str) -> None:
    assert LEAK.search(text)


def test_cell_that_awaits_is_plain_python() -> None:
    assert find_unmannered(code("await work()")) == []


@pytest.mark.parametrize("tag", ["nbval-ignore-output", "nbval-skip", "raises-exception", "skip-execution"])
def test_exempted_cell_is_found(tag: str) -> None:
    assert find_exemptions(code("1") | {"metadata": {"tags": ["parameters", tag]}}) == [tag]
    assert find_exemptions(code("#NBVAL_SKIP\n1  # PYTEST_VALIDATE_IGNORE_OUTPUT")) == ["NBVAL_", "PYTEST_VALIDATE_"]


def test_nbval_runs_as_strictly_as_it_can(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("nbval")
    assert not pytestconfig.getoption("nbval_lax")
    assert "notebooks" in pytestconfig.getini("testpaths")
    assert pytestconfig.getoption("sanitize_with") is None


def test_nbval_as_set_up_sees_what_differs(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """A changed output, one that was stripped, an error, a magic that is not there; a count of null lets all pass."""
    vacuous = code("print(5)", None)
    wrong = [code("print(2)", 2, "3\n"), code("print(4)", 3), code("1 / 0", 4), code("%nosuch", 5)]
    write_notebook(tmp_path / "some.ipynb", [code("print(1)", 1, "1\n"), vacuous, *wrong])
    command = [sys.executable, "-m", "pytest", "-c", str(pytestconfig.inipath), "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(
        [*command, "--rootdir", str(pytestconfig.rootpath)], capture_output=True, text=True, timeout=120
    )
    assert "4 failed, 2 passed" in run.stdout, run.stdout
    assert find_unrun({"cells": [vacuous]}) == ["print(5)"]


def write_notebook(path: Path, cells: list[Cell]) -> None:
    numbered = [
        cell | {"id": str(number), "outputs": [*map(named, cell["outputs"])]} for number, cell in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    path.write_text(json.dumps({"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))


def named(output: dict[str, Any]) -> dict[str, Any]:
    return output | {"name": "stdout"}
