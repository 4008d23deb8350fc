"""Snapshots: what is saved is what is loaded, and whatever is damaged is refused by its line."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagspace_lab.errors import InputError, SnapshotError
from tagspace_lab.lab.snapshots import SnapshotSpace, load_space, save_space
from tagspace_lab.records import Page
from tagspace_lab.twin.spaces import GeneratedSpace, history, page_line, shipped_space

SPACE = GeneratedSpace("sample", 130, seed=4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_space(SPACE, tmp_path_factory.mktemp("saved") / "space.jsonl.gz")


def rewritten(saved: Path, path: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """The snapshot with its lines changed and packed as the package packs them."""
    lines = [json.loads(line) for line in gzip.decompress(saved.read_bytes()).splitlines()]
    change(lines)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        file.write(text.encode())
    return path


def test_what_is_saved_is_what_is_loaded(saved: Path) -> None:
    space = load_space(saved)
    assert (space.name, space.key, len(space)) == (SPACE.name, SPACE.key, len(SPACE))
    assert (space.vocabulary, space.last_day, space.content_hash) == (
        SPACE.vocabulary,
        SPACE.last_day,
        SPACE.content_hash,
    )
    for index in range(len(SPACE)):
        page = SPACE.page(index)
        assert space.index_of(page.id) == index
        assert space.gold(page.id) == page.labels
        assert history(space, index) == history(SPACE, index)
        assert all(space.page(index, day) == SPACE.page(index, day) for day in (0, 9, 30, 99))


def test_the_same_space_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    assert save_space(SPACE, tmp_path / "again").read_bytes() == saved.read_bytes()
    assert save_space(load_space(saved), tmp_path / "copy").read_bytes() == saved.read_bytes()


def test_unknown_pages(saved: Path) -> None:
    space = load_space(str(saved))
    for index in (-1, len(space)):
        with pytest.raises(IndexError):
            space.page(index)
    for look in (space.index_of, space.gold):
        with pytest.raises(KeyError):
            look("7")


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    assert load_space("small").content_hash == shipped_space("small").content_hash
    with pytest.raises(SnapshotError, match=r"'smal'.*small, medium, large"):
        load_space("smal")
    with pytest.raises(SnapshotError, match="folder, not a snapshot"):
        load_space(tmp_path)


def test_nothing_is_overwritten_unless_told(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        save_space(SPACE, target)
    assert target.read_bytes() == b"mine"
    assert save_space(SPACE, target, force=True).read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_broken_off_save_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def stop(done: int, _: int) -> None:
        if done == 20:
            raise error

    with pytest.raises((KeyboardInterrupt, SnapshotError)):
        save_space(SPACE, tmp_path / "space", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(saved: Path, tmp_path: Path) -> None:
    assert save_space(SPACE, tmp_path / "new" / "space").read_bytes() == saved.read_bytes()


def test_a_saved_file_can_be_read_by_others(saved: Path) -> None:
    assert saved.stat().st_mode & stat.S_IRUSR
    assert gzip.decompress(saved.read_bytes()).count(b"\n") == 1 + len(SPACE)


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_is_refused(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, where: float, flip: int
) -> None:
    raw = bytearray(saved.read_bytes())
    raw[int(where * len(raw))] ^= flip
    path = tmp_path_factory.mktemp("flipped") / "space"
    path.write_bytes(raw)
    with pytest.raises(SnapshotError, match="line"):
        load_space(path)


@pytest.mark.parametrize("place", [*range(10), -8, -5, -4, -1])
def test_a_changed_byte_of_the_wrapping_is_refused(saved: Path, tmp_path: Path, place: int) -> None:
    raw = bytearray(saved.read_bytes())
    raw[place] ^= 1
    (tmp_path / "space").write_bytes(raw)
    with pytest.raises(SnapshotError, match="line"):
        load_space(tmp_path / "space")


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True))
def test_any_cut_is_refused(saved: Path, tmp_path_factory: pytest.TempPathFactory, where: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "space"
    path.write_bytes(saved.read_bytes()[: int(where * saved.stat().st_size)])
    with pytest.raises(SnapshotError, match=r"line \d+"):
        load_space(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[0].update(schema=2), "line 1: schema 2 is unknown"),
        (lambda lines: lines[0].update(schema="1"), "line 1: schema"),
        (lambda lines: lines[0].update(pages=-3), "line 1: pages"),
        (lambda lines: lines[0].pop("vocabulary"), "line 1: vocabulary"),
        (lambda lines: lines[0].update(mood="fine"), "line 1: mood"),
        (lambda lines: lines.append(lines[1]), "line 132: page id 100001 .*twice"),
        (lambda lines: lines[4].update(id=100_004), "line 5: id"),
        (lambda lines: lines[4].update(id="x"), "line 5: id"),
        (lambda lines: lines[4].update(versions=[]), "line 5: versions"),
        (lambda lines: lines[4]["versions"][0].update(day=True), "line 5: versions.0.day"),
        (lambda lines: lines[4]["versions"][0].update(day=3), "line 5: the days"),
        (lambda lines: lines[4]["versions"][0].update(body=None), "line 5: versions.0.body"),
        (lambda lines: lines[4]["versions"][0].update(body="other"), "content hash"),
        (lambda lines: lines.pop(), "content hash"),
        (lambda lines: lines.clear(), "line 1: the line"),
        (lambda lines: lines.__setitem__(2, []), "line 3"),
    ],
)
def test_a_wrong_line_is_named(
    saved: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    with pytest.raises(SnapshotError, match=message) as caught:
        load_space(rewritten(saved, tmp_path / "space", change))
    assert len(str(caught.value)) < 500


TEXT = st.text(max_size=20)


@settings(max_examples=50, deadline=None)
@given(pages=st.lists(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), min_size=1, max_size=70), name=TEXT)
def test_any_space_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, pages: list[list[tuple[str, str]]], name: str
) -> None:
    histories = [
        [(day, Page(str(index), title, body, day + 1, versions[0])) for day, (title, body) in enumerate(versions)]
        for index, versions in enumerate(pages)
    ]
    space = SnapshotSpace(name, "KEY", map(page_line, histories))
    loaded = load_space(save_space(space, tmp_path_factory.mktemp("any") / "space"))
    assert [history(loaded, index) for index in range(len(loaded))] == histories
    assert (loaded.name, loaded.content_hash, loaded.vocabulary) == (name, space.content_hash, space.vocabulary)
