from __future__ import annotations

from typing import Any

import pytest

from tagspace_lab.twin.labels import LabelShelf, split_labels


def test_server_splits_names_on_spaces_and_commas() -> None:
    assert split_labels({"prefix": "global", "name": "new abc, whatever"}) == [
        ("new", "global"),
        ("abc", "global"),
        ("whatever", "global"),
    ]


def test_names_are_lower_case() -> None:
    assert split_labels([{"name": "Big", "prefix": "team"}]) == [("big", "team")]


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, [1], {"name": 3}, {"name": ""}, {"name": "a#b"}, {"name": "x" * 256}]
)
def test_what_is_no_label_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match="label"):
        split_labels(body)


def test_adding_again_changes_nothing() -> None:
    shelf = LabelShelf()
    shelf.add("1", [("a", "global"), ("b", "global")])
    before = shelf.read("1")
    shelf.add("1", [("a", "global")])
    assert shelf.read("1") == before
    shelf.remove("1", "a")
    shelf.remove("2", "a")
    assert shelf.names("1") == ("b",)
