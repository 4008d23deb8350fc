"""A notebook is run on other values, written as it ran, and shown as a page; and a failure leaves what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tagspace_lab.errors import InputError, NotebookError, SnapshotError
from tagspace_lab.lab.notebooks import Notebook, find_notebook, read_notebooks, run_notebook

PARAMETERS = 'space = "small"\npages = 3\nshare = 0.5\nis_warm = True\nsizes = [1, 2]\n'


def write_notebook(folder: Path, *sources: str, name: str = "01_count_pages") -> Notebook:
    """A question, parameters, and a cell for each source; each cell has an output of old."""
    folder.mkdir(exist_ok=True)
    old = [{"output_type": "stream", "name": "stdout", "text": ["of old\n"]}]
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": ["# How many pages?\n", "So."]}]
    for number, source in enumerate((PARAMETERS, *sources), 1):
        tags = {"tags": ["parameters"]} if number == 1 else {}
        lines = source.splitlines(keepends=True)
        cells.append(
            {"cell_type": "code", "metadata": tags, "source": lines, "outputs": old, "execution_count": number}
        )
    cells = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return next(each for each in _read(folder) if each.path == path)


def _read(folder: Path) -> tuple[Notebook, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tagspace_lab.lab.notebooks.shipped_dir", lambda: folder.parent / "data")
        assert folder.name == "notebooks"
        return read_notebooks()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder is another one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "notebooks"


def texts(path: Path) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(output.get("text", [])) for cell in cells for output in cell.get("outputs", [])]


def test_notebook_runs_on_the_values_and_in_the_present_folder(folder: Path) -> None:
    source = "from pathlib import Path\nprint(space, pages, Path('here.txt').read_text())"
    notebook = write_notebook(folder, source)
    Path("here.txt").write_text("was read")
    page = run_notebook(notebook, {"space": "my.jsonl.gz", "pages": 8}, Path("out/done.ipynb"))
    assert texts(Path("out/done.ipynb")) == ["my.jsonl.gz 8 was read\n"]
    assert page == Path("out/done.html")
    shown = page.read_text("utf-8")
    assert "my.jsonl.gz 8 was read" in shown
    assert "of old" not in shown
    assert "<title>done</title>" in shown
    assert shown.rindex("pre { word-break: normal") > shown.rindex("break-all"), "lines would break inside words"
    assert not re.search(r"""(?:src|href)=["']?https?:""", shown)
    assert notebook.path.read_text().count("of old") == 2


def test_result_does_not_tell_when_or_where_it_was_made(folder: Path) -> None:
    notebook = write_notebook(folder, "print(pages)")
    for name in ("one", "two"):
        run_notebook(notebook, {}, Path(f"{name}.ipynb"))
    one, two = Path("one.ipynb").read_text(), Path("two.ipynb").read_text()
    assert one == two
    assert "papermill" not in one
    assert str(folder.parent) not in one
    assert not re.search(r"20\d\d-\d\d-\d\d", one)


def test_failure_leaves_what_ran_and_names_the_cell(folder: Path) -> None:
    notebook = write_notebook(folder, "print('before')", "1 / 0", "print('after')")
    with pytest.raises(
        NotebookError, match=r"cell 3 of notebook 01_count_pages: ZeroDivisionError: .* is in out\.ipynb"
    ):
        run_notebook(notebook, {}, Path("out.ipynb"))
    assert "before\n" in texts(Path("out.ipynb"))
    assert "after\n" not in texts(Path("out.ipynb"))
    assert not Path("out.html").exists()


def test_error_of_the_package_stays_one(folder: Path) -> None:
    notebook = write_notebook(folder, "import tagspace_lab\ntagspace_lab.load_space('nosuch')")
    with pytest.raises(SnapshotError, match=r"cell 2 of notebook 01_count_pages: no space 'nosuch'"):
        run_notebook(notebook, {}, Path("out.ipynb"))


def test_kernel_that_dies_is_told(folder: Path) -> None:
    notebook = write_notebook(folder, "import os\nos._exit(3)")
    with pytest.raises(NotebookError, match="died"):
        run_notebook(notebook, {}, Path("out.ipynb"))
    assert Path("out.ipynb").exists()


@pytest.mark.parametrize("name", ["out.ipynb", "out.html"])
def test_file_that_is_there_stays(folder: Path, name: str) -> None:
    Path(name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} exists"):
        run_notebook(write_notebook(folder), {}, Path("out.ipynb"))
    assert Path(name).read_text() == "mine"


def test_force_overwrites(folder: Path) -> None:
    Path("out.html").write_text("old")
    run_notebook(write_notebook(folder), {}, Path("out.ipynb"), force=True)
    assert "How many pages?" in Path("out.html").read_text()


def test_page_needs_a_name_of_its_own(folder: Path) -> None:
    with pytest.raises(InputError, match=r"such as out\.ipynb"):
        run_notebook(write_notebook(folder), {}, Path("out.html"))


@pytest.mark.parametrize("missing", ["ipykernel", "nbconvert", "papermill"])
def test_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr("tagspace_lab.lab.notebooks.find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=rf"{missing} is not installed; .*'tagspace-lab\[lab\]'"):
        run_notebook(write_notebook(folder), {}, Path("out.ipynb"))


def test_values_have_the_types_of_the_notebook(folder: Path) -> None:
    notebook = write_notebook(folder)
    assert notebook.question == "How many pages?"
    given = {"space": "7", "pages": "7", "share": "1", "is_warm": "False", "sizes": "3,4"}
    assert notebook.read_values(given) == {"space": "7", "pages": 7, "share": 1, "is_warm": False, "sizes": [3, 4]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("pages", text) for text in ("7.5", "many", "True", "", "__import__('os')")],
        *[("share", text) for text in ("half", "'1'")],
        *[("is_warm", text) for text in ("1", "yes")],
        *[("sizes", text) for text in ("", "1,x", "1,2.5", "1],[2")],
    ],
)
def test_wrong_value_is_refused(folder: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=f"parameter {name} of notebook 01_count_pages is "):
        write_notebook(folder).read_values({name: text})


def test_unknown_parameter_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="has no parameter days; it has: space, pages, share, is_warm, sizes"):
        write_notebook(folder).read_values({"days": "3"})


def test_file_that_is_no_notebook_is_named(folder: Path) -> None:
    notebook = write_notebook(folder)
    for text in ("{", "[]", '{"cells": []}'):
        notebook.path.write_text(text)
        with pytest.raises(InputError, match=r"01_count_pages\.ipynb is no notebook"):
            _read(folder)


@pytest.mark.parametrize("which", ["5", "05", "05_tune_and_export"])
def test_notebook_is_found_by_number_and_name(which: str) -> None:
    assert find_notebook(which).name == "05_tune_and_export"


@pytest.mark.parametrize("which", ["9", "tune", "", "../05_tune_and_export"])
def test_unknown_notebook_is_refused(which: str) -> None:
    with pytest.raises(InputError, match=r"there is no notebook .*; choose from: 01_replay_a_space, "):
        find_notebook(which)
