"""RESULTS.md in sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import format_table, replace_section, write_section

TEXT = "# Top\n\nWords.\n\n## One\n\nold\n\n### Deeper\n\nold\n\n## One more\n\n  kept \n"


def test_section_is_replaced_up_to_the_next_heading_of_its_depth() -> None:
    assert replace_section(TEXT, "One", "new\n\n") == "# Top\n\nWords.\n\n## One\n\nnew\n\n## One more\n\n  kept \n"


def test_last_section_is_replaced_to_the_end() -> None:
    assert replace_section(TEXT, "One more", "new").endswith("### Deeper\n\nold\n\n## One more\n\nnew\n")


def test_new_section_goes_to_the_end() -> None:
    assert replace_section(TEXT, "Two", "new") == f"{TEXT.rstrip()}\n\n## Two\n\nnew\n"


@pytest.mark.parametrize("heading", ["One", "One more", "Two"])
def test_same_section_again_changes_nothing(heading: str) -> None:
    once = replace_section(TEXT, heading, r"a \1 | group")
    assert replace_section(once, heading, r"a \1 | group") == once


def test_rest_of_the_file_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_bytes("## Ours\n\nold\n\n## Theirs\r\n\r\nodd\tends \r\nß".encode())
    write_section("Ours", "new", path)
    assert path.read_bytes() == "## Ours\n\nnew\n\n## Theirs\r\n\r\nodd\tends \r\nß".encode()


def test_table_has_a_line_below_its_head() -> None:
    assert format_table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
