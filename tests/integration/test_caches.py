from __future__ import annotations

from typing import Any

import pytest

from tagspace_lab.integration import get_ai_cache
from tagspace_lab.integration.caches import HostStore


@pytest.mark.parametrize("result", ["text", ["a", "b"], {"tags": ["a"]}, 0, False, "", []])
def test_any_result_comes_back_as_a_copy(result: Any) -> None:
    cache = get_ai_cache()
    cache.set("1", "content", result, version=1)
    found = cache.get("1", "content", version=1)
    assert found == result
    if isinstance(found, list):
        found.append("mine")
        assert cache.get("1", "content") == result


def test_content_counts_and_version_does_not() -> None:
    cache = get_ai_cache()
    cache.set("1", "some  text", "x", version=1)
    assert cache.get("1", "some text\n", version=2) == "x"
    assert cache.get("1", "other text", version=1) is None
    assert cache.get("2", "some text", version=1) is None
    assert cache.get(1, "some text") == "x"
    assert cache.get_stats() == {
        "hits": 2,
        "misses": 2,
        "hit_rate": 0.5,
        "size": 1,
        "max_size": 1000,
        "enabled": True,
    }


def test_no_content_and_no_look_up_are_no_trouble() -> None:
    cache = get_ai_cache()
    assert cache.get_stats()["hit_rate"] == 0.0
    cache.set("1", None, "x")
    assert cache.get("1", "") == "x"


def test_cache_that_is_off_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_CACHE_ENABLED", "false")
    cache = get_ai_cache()
    cache.set("1", "content", "x")
    assert cache.get("1", "content") is None
    assert (cache.get_stats()["size"], cache.get_stats()["misses"]) == (0, 1)


def test_size_is_bounded_and_the_newest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_CACHE_SIZE", "3")
    cache = get_ai_cache()
    for number in range(10):
        cache.set(number, "content", str(number))
        assert cache.get(number, "content") == str(number)
        assert cache.get_stats()["size"] <= 3


def rerun(store: HostStore, keys: list[str]) -> int:
    hits = 0
    for key in keys:
        if store.find(key) is None:
            store.keep(key, "x")
        else:
            hits += 1
    return hits


def test_scan_larger_than_the_cache_hits_what_fits() -> None:
    store, keys = HostStore(100), [str(number) for number in range(300)]
    rerun(store, keys)
    assert [rerun(store, keys) for _ in range(5)] >= [98] * 5


def test_entries_that_nobody_asks_for_make_room_in_time() -> None:
    store = HostStore(100)
    rerun(store, [f"old {number}" for number in range(100)])
    keys = [f"new {number}" for number in range(100)]
    hits = [rerun(store, keys) for _ in range(15)]
    assert hits[-1] == 100
    assert len(store) == 100
