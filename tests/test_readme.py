"""What README shows is what the commands print."""

from __future__ import annotations

from pathlib import Path

from benchmarks.shown import fill, find_commands, open_shell

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


def test_shown_output_is_what_the_commands_print() -> None:
    with open_shell() as shell:
        assert fill(README, shell) == README


def test_readme_shows_something() -> None:
    assert len(find_commands(README)) >= 2
