from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.files import check_writable, replacing


def test_file_is_replaced_whole_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    with replacing(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.csv"]


def test_draft_is_removed_and_the_old_file_kept_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half" * 10_000, None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_folder_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), replacing(tmp_path / "file" / "a.csv"):
        pass


def test_writability_is_tried_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a/b/c.csv", force=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "file/c.csv", force=False)


def test_pipes_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        check_writable(pipe, force=True)
    with pytest.raises(InputError, match="not a regular file"), replacing(pipe):
        pass
    assert pipe.is_fifo()


def test_link_is_followed_to_its_target(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_mode_is_what_the_umask_leaves(tmp_path: Path) -> None:
    path, before = tmp_path / "a.csv", os.umask(0o027)
    try:
        with replacing(path) as file:
            file.write(b"private")
    finally:
        assert os.umask(before) == 0o027
    assert path.stat().st_mode & 0o777 == 0o640
