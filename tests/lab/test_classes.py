"""Profiles for all classes of spaces come from one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.classes import CLASSES, export_profiles
from tagspace_lab.lab.profiles import check_profile, read_profile
from tagspace_lab.lab.snapshots import save_space
from tagspace_lab.lab.tune import tune
from tagspace_lab.twin.spaces import SHIPPED, GeneratedSpace


def make_snapshot(path: Path) -> Path:
    save_space(GeneratedSpace("mine", 3, seed=7), path)
    return path


def test_classes_are_the_shipped_spaces() -> None:
    assert set(CLASSES) == set(SHIPPED)


def test_every_space_gets_its_profile(tmp_path: Path) -> None:
    mine = make_snapshot(tmp_path / "mine.jsonl.gz")
    options: dict[str, Any] = {"trials": 2, "progress": False}
    studies = tmp_path / "studies"
    found = export_profiles(tmp_path / "out", "openai-tier1", ["small", mine], studies=studies, **options)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["mine.env", "small.env"]
    assert {path.name for path in studies.iterdir()} >= {"mine.journal", "small.journal"}
    for name, tuned in found.items():
        path = tmp_path / "out" / f"{name}.env"
        assert read_profile(path).settings == tuned.settings
        assert check_profile(path) == []
    alone = tune("small", "openai-tier1", storage=studies / "small.journal", **options)
    assert alone.to_dict() == found["small"].to_dict()


def test_nothing_is_tuned_where_a_profile_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "large.env").write_text("mine")
    with pytest.raises(InputError, match=r"large\.env exists"):
        export_profiles(tmp_path, trials=2, studies=tmp_path / "studies", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["large.env"]


def test_two_spaces_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two of the spaces have one name"):
        export_profiles(tmp_path, spaces=["small", tmp_path / "small.jsonl.gz"])
