"""The documents are built without a warning, and their examples do what they show."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tagspace_lab
from benchmarks.shown import PAGES, Shell, fill, find_commands, open_shell
from docs.generated import GENERATED, list_commands
from tagspace_lab.live.connections import CONNECTIONS
from tagspace_lab.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
DOCS = [path for path in PAGES if path.parent != ROOT]
COMMAND = re.compile(r"tagspace-lab ((?:[a-z]+(?![^\s`]) ?)+)([^`\n]*)")
VARIABLE = re.compile(r"\b(?:TAG_SPACE|CONFLUENCE|OPENAI|ANTHROPIC)_[A-Z0-9_]+\b")
DOCTESTS = re.compile(r"```pycon\n(.*?)```", re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "docs"))


def with_examples(pattern: str) -> list[Path]:
    return [path for path in DOCS if pattern in path.read_text("utf-8")]


@pytest.mark.parametrize("path", with_examples("```console"), ids=name_of)
def test_shown_output_is_what_the_commands_print(path: Path) -> None:
    text = path.read_text("utf-8")
    with open_shell() as shell:
        assert fill(text, shell) == text


@pytest.mark.parametrize("path", with_examples("```pycon"), ids=name_of)
def test_python_shows_what_it_gives(path: Path) -> None:
    source = "\n".join(DOCTESTS.findall(path.read_text("utf-8")))
    examples = doctest.DocTestParser().get_doctest(source, {}, path.name, str(path), 0)
    found = doctest.DocTestRunner().run(examples)
    assert (found.failed, found.attempted > 0) == (0, True)


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_prose_states_no_figure(path: Path) -> None:
    """Speeds, shares and times stand in outputs, where they cannot go stale."""
    prose = re.sub(r"```.*?```|`[^`\n]*`|429s|95 % interval", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert re.findall(r"\d+(?:\.\d+)?\s?(?:%|ms|s|minutes?|times|x)(?!\w)", prose) == []


@pytest.mark.parametrize("path", [*PAGES, *sorted(ROOT.glob("notebooks/*.py"))], ids=lambda path: path.name)
def test_commands_options_and_variables_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    sections = {part.partition("\n")[0]: part for part in list_commands().split("## tagspace-lab ")[1:]}
    for words, rest in COMMAND.findall(text):
        section = sections[max((name for name in sections if f"{words.strip()} ".startswith(f"{name} ")), key=len)]
        options = re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest.partition("|")[0])
        assert [option for option in options if not re.search(rf"{option}\b", section)] == [], words
    known = {row.variable for row in SETTINGS} | set(CONNECTIONS)
    assert set(VARIABLE.findall(text)) - known == set()


def test_documents_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    # No proxy that could be reached: the build must not need the internet.
    offline = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}
    done = subprocess.run(
        [*command, "docs", str(tmp_path / "html")],
        cwd=ROOT,
        env=os.environ | offline | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = {path: path.read_text("utf-8") for path in (tmp_path / "html").rglob("*.html")}
    assert len(pages) >= len(DOCS)
    everything = "".join(pages.values())
    assert [name for name in GENERATED if f"{{{{{name}}}}}" in everything] == []
    assert [name for name in tagspace_lab.__all__ if f'id="tagspace_lab.{name}"' not in everything] == ["__version__"]
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', everything)


def test_shell_forgets_nothing_that_was_exported_and_fails_loudly(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "http://127.0.0.1:1")
    text = "```console\n$ export A=1\n$ echo $A http://127.0.0.1:8765 $TWIN\n```"
    assert fill(text.replace(" $TWIN", ""), shell) == (
        "```console\n$ export A=1\n$ echo $A http://127.0.0.1:8765\n1 http://127.0.0.1:8765\n```"
    )
    assert find_commands(text) == ["export A=1", "echo $A http://127.0.0.1:8765 $TWIN"]
    assert shell.run("echo $HOME; tagspace-lab --version").splitlines() == [
        str(tmp_path),
        f"tagspace-lab {tagspace_lab.__version__}",
    ]
    with pytest.raises(RuntimeError, match="exit code 1"):
        shell.run("false | cat")
