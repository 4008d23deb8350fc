"""The notebooks of the repository, run on somebody's own space.

A notebook states what it runs on in one cell, tagged `parameters`: assignments of plain values to names. papermill
puts a cell with other values below it. The only home of papermill and nbconvert, which the extra `lab` brings.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tagspace_lab import errors
from tagspace_lab.errors import InputError, NotebookError, TagspaceError
from tagspace_lab.lab.files import check_writable, replacing
from tagspace_lab.lab.watch import FORM, is_interactive
from tagspace_lab.shipped import shipped_dir

__all__ = ["Notebook", "find_notebook", "notebooks_dir", "read_notebooks", "run_notebook"]

_TAG = "parameters"
_NEEDED = ("ipykernel", "nbconvert", "papermill")
_ELSEWHERE = ("jquery", "mathjax", "mermaid_js", "mermaid_layout_elk_js", "require_js", "jupyter_widgets_base")
"""What a page would fetch, for formulas, drawings and widgets that the notebooks do not have."""
_BREAK_AT_WORDS = b"<style>.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; }</style>\n</head>"


@dataclass(frozen=True, slots=True)
class Notebook:
    """One notebook: the question that opens it, and its parameters with the values that it was committed with."""

    path: Path
    question: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    def read_values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Values for some parameters from their texts, each of the type that it was committed with.

        The items of a list are parted by commas. InputError for a name that the notebook does not have, and for a
        text that is no such value.
        """
        return {name: self._read_value(name, text) for name, text in given.items()}

    def _read_value(self, name: str, text: str) -> Any:
        if name not in self.parameters:
            raise InputError(f"notebook {self.name} has no parameter {name}; it has: {', '.join(self.parameters)}.")
        committed = self.parameters[name]
        if isinstance(committed, str):
            return text
        try:
            value = ast.literal_eval(f"[{text}]" if isinstance(committed, list) else text)
            if not _is_like(value, committed):
                raise ValueError
        except (ValueError, SyntaxError):
            raise InputError(
                f"parameter {name} of notebook {self.name} is {text!r}; allowed: a value like {committed!r}."
            ) from None
        return value


def notebooks_dir() -> Path:
    """Where the notebooks are; InputError where the package was installed without its repository."""
    folder = shipped_dir().parent / "notebooks"
    if not folder.is_dir():
        raise InputError(
            "the notebooks are not here: they come with the repository, not with the installed package. "
            "Clone the repository and run `make lab` there."
        )
    return folder


def read_notebooks() -> tuple[Notebook, ...]:
    """All notebooks, in the order of their numbers."""
    return tuple(_read(path) for path in sorted(notebooks_dir().glob("[0-9][0-9]_*.ipynb")))


def find_notebook(which: str) -> Notebook:
    """A notebook by its number (`5`, `05`) or its name; InputError lists what there is."""
    notebooks = read_notebooks()
    for notebook in notebooks:
        if which in (notebook.name, notebook.name[:2], notebook.name[:2].lstrip("0")):
            return notebook
    raise InputError(f"there is no notebook {which!r}; choose from: {', '.join(each.name for each in notebooks)}.")


def run_notebook(
    notebook: Notebook, values: Mapping[str, Any], output: Path, *, force: bool = False, progress: bool = True
) -> Path:
    """Run `notebook` with other `values`, write it to `output`, and a page beside it, whose path is returned.

    Relative paths among the values, and whatever the notebook writes, are those of the present folder. Neither
    file says when or where it was made. Where a cell fails, `output` holds what was run up to there and what went
    wrong, there is no page, and the cell's own error is raised with the cell's number if it is one of this package's,
    else NotebookError. InputError where the extra `lab` is missing, or a file is there and `force` is not set.
    """
    _require_extra()
    page = output.with_suffix(".html")
    if page == output:
        raise InputError(f"{output} is where the page would go; name a notebook, such as {output.stem}.ipynb")
    for path in (output, page):
        check_writable(path, force=force)
    document, failure = _execute(notebook, values, progress)
    with replacing(output) as file:
        file.write(document)
    if failure is not None:
        raise _name_cell(notebook, failure, output) from failure
    with replacing(page) as file:
        file.write(_render(document, output.stem))
    return page


def _read(path: Path) -> Notebook:
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        question = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown").splitlines()[0]
        source = next("".join(cell["source"]) for cell in cells if _TAG in cell["metadata"].get("tags", []))
    except (OSError, ValueError, TypeError, LookupError, StopIteration) as error:
        raise InputError(f"{path} is no notebook with a question and parameters; check it out anew") from error
    return Notebook(path, question.lstrip("# "), _read_literals(source))


def _read_literals(source: str) -> dict[str, Any]:
    return {
        target.id: ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _is_like(value: Any, committed: Any) -> bool:
    """Of one type; an int will do for a float, and lists have items of one type."""
    if isinstance(committed, list):
        return isinstance(value, list) and bool(value) and all(_is_like(item, committed[0]) for item in value)
    return type(value) is type(committed) or (type(value) is int and isinstance(committed, float))


def _require_extra() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"{missing[0]} is not installed; install it with: pip install 'tagspace-lab[lab]'")


def _execute(notebook: Notebook, values: Mapping[str, Any], progress: bool) -> tuple[bytes, Exception | None]:
    """The notebook as it was left, and what ended it early."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    failure: Exception | None = None
    with TemporaryDirectory() as folder:
        draft = Path(folder, "draft.ipynb")
        try:
            papermill.execute_notebook(
                notebook.path,
                draft,
                dict(values),
                kernel_name="python3",
                language="python",
                progress_bar=progress and is_interactive() and {"desc": notebook.name, "bar_format": FORM},
                extra_arguments=["--log-level=CRITICAL"],  # what the kernel says of itself: errors come in the cells
            )
        except (papermill.PapermillExecutionError, DeadKernelError) as error:
            failure = error
        document = json.loads(draft.read_text("utf-8"))
    for part in (document, *document["cells"]):
        for trace in ("execution", "papermill"):  # of this run: paths and times
            part["metadata"].pop(trace, None)
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n", failure


def _name_cell(notebook: Notebook, failure: Exception, output: Path) -> TagspaceError:
    kept = f"What ran up to there is in {output}."
    if not hasattr(failure, "ename"):
        return NotebookError(f"the kernel of notebook {notebook.name} died: {failure}. {kept}")
    kind = getattr(errors, failure.ename, None)
    message = f"cell {failure.exec_count} of notebook {notebook.name}: "  # type: ignore[attr-defined]
    if isinstance(kind, type) and issubclass(kind, TagspaceError):
        return kind(f"{message}{failure.evalue} {kept}")  # type: ignore[attr-defined]
    return NotebookError(f"{message}{failure.ename}: {failure.evalue}. {kept}")  # type: ignore[attr-defined]


def _render(document: bytes, title: str) -> bytes:
    """A page that is whole in itself."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(**{f"{name}_url": "" for name in _ELSEWHERE})  # type: ignore[no-untyped-call]
    page, _ = exporter.from_file(BytesIO(document), {"metadata": {"name": title}})
    return str(page).encode().replace(b"</head>", _BREAK_AT_WORDS, 1)
