"""What every store promises, on all three; a machine draws calls and compares them with the store in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tagspace_lab.clients.stores import Entry, MemoryStore, Store
from tests.fakes import examples

OpenStore = Callable[[int], Store]


@pytest.fixture
def store(open_empty: OpenStore) -> Store:
    return open_empty(3)


def test_entry_comes_back_as_it_was_put(store: Store) -> None:
    assert store.get("k", "S", "1") is None
    assert store.put("k", ("a", "b"), "S", "1", version=7)
    assert store.get("k", "S", "2") == ("a", "b")
    assert store.look("k") == Entry(("a", "b"), 7, "S", "1")
    assert len(store) == 1


def test_no_labels_are_an_answer(store: Store) -> None:
    store.put("k", (), "S", "1")
    assert store.get("k", "S", "1") == ()


@pytest.mark.parametrize("name", ["", " ", "ÄÖ\n", "a\x00b", "\udcff", "site/~me:1"])
def test_space_and_run_are_any_text(store: Store, name: str) -> None:
    store.put("k", ("ä", "\ud800"), name, name)
    assert store.get("k", name, name) == ("ä", "\ud800")
    assert store.end_run(name, name + "2") == 1
    assert store.end_run(name, name + "3") == 0


def test_full_store_admits_nobody_new_and_still_updates(store: Store) -> None:
    assert [store.put(key, ("a",), "S", "1") for key in "abcd"] == [True, True, True, False]
    assert store.put("a", ("b",), "S", "1")
    assert store.get("a", "S", "1") == ("b",)
    assert store.get("d", "S", "1") is None
    assert len(store) == 3


def test_end_of_a_run_gives_up_the_unasked_of_its_own_space(store: Store) -> None:
    for key, space in [("a", "S"), ("b", "S"), ("c", "T")]:
        store.put(key, ("x",), space, "1")
    store.get("a", "S", "2")
    assert store.end_run("S", "2") == 1
    assert [store.put(key, ("x",), "S", "3") for key in "de"] == [True, False]
    assert [store.get(key, "S", "3") for key in "abcd"] == [("x",), None, ("x",), ("x",)]


def test_entry_that_was_given_up_is_one_again_when_it_is_asked_for(store: Store) -> None:
    for key in "abc":
        store.put(key, ("x",), "S", "1")
    assert store.end_run("S", "2") == 3
    assert store.get("b", "S", "3") == ("x",)
    assert [store.put(key, ("x",), "S", "3") for key in "def"] == [True, True, False]
    assert store.get("b", "S", "3") == ("x",)


def test_what_was_asked_for_least_recently_makes_room_first(store: Store) -> None:
    for run, key in enumerate("cab"):
        store.put(key, ("x",), "S", str(run))
    store.end_run("S", "4")
    for new, gone in [("d", "c"), ("e", "a"), ("f", "b")]:
        assert store.look(gone) is not None
        assert store.put(new, ("x",), "S", "5")
        assert store.look(gone) is None


def test_entry_belongs_to_the_space_that_asked_last(store: Store) -> None:
    store.put("a", ("x",), "S", "S1")
    store.get("a", "T", "T1")
    assert store.end_run("S", "S2") == 0
    assert store.end_run("T", "T2") == 1


def test_run_gives_up_nothing_that_a_later_one_asked_for(store: Store) -> None:
    """Two passes over one space at once: neither takes from the other what it still uses."""
    store.put("a", ("x",), "S", "older")
    store.put("b", ("x",), "S", "younger")
    assert store.end_run("S", "older") == 0
    assert store.end_run("S", "younger") == 1  # of the older, which began before it
    assert store.get("b", "S", "next") == ("x",)


def test_entry_is_the_later_runs_whoever_asks_for_it_last(store: Store) -> None:
    store.put("a", ("x",), "S", "0")
    for run in ("older", "younger", "older"):
        store.get("a", "S", run)
    assert store.end_run("S", "younger") == 0


def test_entry_that_was_given_up_twice_counts_from_the_second_time(store: Store) -> None:
    for run, key in enumerate("abc"):
        store.put(key, ("x",), "S", str(run))
    assert store.end_run("S", "3") == 3
    store.get("a", "S", "4")
    assert store.end_run("S", "5") == 1
    for new, gone in [("d", "b"), ("e", "c"), ("f", "a")]:
        assert store.look(gone) is not None
        assert store.put(new, ("x",), "S", "6")
        assert store.look(gone) is None


def test_entry_that_an_older_run_asks_for_is_not_given_up_any_more(store: Store) -> None:
    store.get("a", "S", "older")
    for key in "abc":
        store.put(key, ("x",), "S", "younger")
    assert store.end_run("S", "last") == 3
    assert store.get("a", "S", "older") == ("x",)
    assert [store.put(key, ("x",), "S", "older") for key in "def"] == [True, True, False]
    assert store.get("a", "S", "older") == ("x",)


def test_run_may_use_the_name_of_one_that_has_ended(store: Store) -> None:
    store.put("a", ("x",), "S", "nightly")
    assert store.end_run("S", "nightly") == 0
    store.put("b", ("x",), "S", "nightly")
    assert store.end_run("S", "nightly") == 1


class Beside(RuleBasedStateMachine):
    """A store and its model get the same calls."""

    open_store: OpenStore
    keys = st.sampled_from("abcdefgh")
    spaces = st.sampled_from(["S", "T"])
    runs = st.sampled_from(["1", "2", "3"])

    @initialize(capacity=st.integers(1, 6))
    def open_both(self, capacity: int) -> None:
        self.store, self.model = self.open_store(capacity), MemoryStore(capacity)

    @rule(key=keys, space=spaces, run=runs)
    def get(self, key: str, space: str, run: str) -> None:
        assert self.store.get(key, space, run) == self.model.get(key, space, run)

    @rule(key=keys, label=st.text(max_size=3), space=spaces, run=runs, version=st.integers(0, 9))
    def put(self, key: str, label: str, space: str, run: str, version: int) -> None:
        call = (key, (label,), space, run, version)
        assert self.store.put(*call) == self.model.put(*call)

    @rule(space=spaces, run=runs)
    def end_run(self, space: str, run: str) -> None:
        assert self.store.end_run(space, run) == self.model.end_run(space, run)

    @rule(key=keys)
    def look(self, key: str) -> None:
        assert self.store.look(key) == self.model.look(key)

    @invariant()
    def is_bounded(self) -> None:
        if hasattr(self, "store"):
            assert len(self.store) == len(self.model) <= self.model.capacity

    def teardown(self) -> None:
        self.store.close()


def test_every_store_does_what_the_one_in_memory_does(open_empty: OpenStore) -> None:
    machine = type("Machine", (Beside,), {"open_store": staticmethod(open_empty)})
    run_state_machine_as_test(machine, settings=examples(60))
