from __future__ import annotations

import pytest

from tagspace_lab.clients.stores import MemoryStore, Store


@pytest.fixture
def store() -> Store:
    return MemoryStore(3)


def test_entry_comes_back_as_it_was_put(store: Store) -> None:
    assert store.get("k", "S", "1") is None
    assert store.put("k", ("a", "b"), "S", "1")
    assert store.get("k", "S", "2") == ("a", "b")
    assert len(store) == 1


def test_full_store_admits_nobody_new_and_still_updates(store: Store) -> None:
    assert [store.put(key, ("a",), "S", "1") for key in "abcd"] == [True, True, True, False]
    assert store.put("a", ("b",), "S", "1")
    assert store.get("a", "S", "1") == ("b",)
    assert store.get("d", "S", "1") is None
    assert len(store) == 3


def test_end_of_a_run_drops_the_unasked_of_its_own_space(store: Store) -> None:
    for key, space in [("a", "S"), ("b", "S"), ("c", "T")]:
        store.put(key, ("x",), space, "1")
    store.get("a", "S", "2")
    assert store.end_run("S", "2") == 1
    assert [store.get(key, "S", "3") for key in "abc"] == [("x",), None, ("x",)]


def test_entry_belongs_to_the_space_that_asked_last(store: Store) -> None:
    store.put("a", ("x",), "S", "S1")
    store.get("a", "T", "T1")
    assert store.end_run("S", "S2") == 0
    assert store.end_run("T", "T2") == 1
