from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.clients.stores import Entry, MemoryStore
from tagspace_lab.pipeline.cache import ASK, SHARED, CacheStats, ResultCache
from tagspace_lab.records import Status, Tagging, Text
from tests.fakes import examples, make_text


def tagged(text: Text, *labels: str) -> Tagging:
    return Tagging(text.page_id, Status.TAGGED, labels or ("alpha",))


def like(text: Text, page_id: str) -> Text:
    """Another page with the same text."""
    return replace(text, page_id=page_id)


def test_known_text_is_a_hit_and_an_unknown_one_is_asked_about() -> None:
    cache, text = ResultCache(MemoryStore(10), "S", "run"), make_text(0)
    assert cache.claim(text) == ASK
    assert cache.settle(text, tagged(text, "beta")) == [tagged(text, "beta")]
    assert cache.claim(like(text, "7")) == ("beta",)
    assert (cache.stats.hits, cache.stats.misses, cache.stats.hit_rate) == (1, 1, 0.5)


@pytest.mark.parametrize(
    ("status", "shared"),
    [(Status.TAGGED, Status.CACHED), (Status.ERROR, Status.ERROR), (Status.STOPPED, Status.STOPPED)],
)
def test_pages_with_one_text_end_together_once(status: Status, shared: Status) -> None:
    cache, text = ResultCache(MemoryStore(10), "S", "run"), make_text(0)
    assert [cache.claim(like(text, page_id)) for page_id in "123"] == [ASK, SHARED, SHARED]
    tagging = Tagging("1", status, ("alpha",) if status is Status.TAGGED else (), "why")
    ends = cache.settle(like(text, "1"), tagging)
    assert [(end.page_id, end.status, end.labels, end.reason) for end in ends] == [
        ("1", status, tagging.labels, "why"),
        *((page_id, shared, tagging.labels, "why") for page_id in "23"),
    ]
    assert cache.claim(like(text, "4")) == (tagging.labels if status is Status.TAGGED else ASK)


def test_without_a_store_everything_is_asked() -> None:
    cache, text = ResultCache(None, "S", "run"), make_text(0)
    assert [cache.claim(text), cache.claim(text)] == [ASK, ASK]
    assert cache.settle(text, tagged(text)) == [tagged(text)]
    cache.end_run(whole=True)
    assert cache.stats == CacheStats(misses=2)


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([Status.TAGGED, Status.ERROR])), max_size=40))
def test_every_claim_is_answered_exactly_once(claims: list[tuple[int, Status]]) -> None:
    cache, ends, asked = ResultCache(MemoryStore(3), "S", "run"), list[str](), dict[int, Text]()
    for number, (key, status) in enumerate(claims):
        text = like(make_text(key), str(number))
        claim = cache.claim(text)
        if claim == ASK:
            assert key not in asked, "asked about twice at once"
            asked[key] = text
        elif claim != SHARED:
            ends.append(text.page_id)
        if number % 3 == 2 and asked:
            _, question = asked.popitem()
            ends += [end.page_id for end in cache.settle(question, Tagging(question.page_id, status, ("a",)))]
    for question in asked.values():
        ends += [end.page_id for end in cache.settle(question, tagged(question))]
    assert sorted(ends, key=int) == [str(number) for number in range(len(claims))]
    assert cache.stats.hits + cache.stats.misses == len(claims)


def run_over(
    store: MemoryStore, numbers: range, run: str, space: str = "S", *, whole: bool = True, may_drop: bool = True
) -> CacheStats:
    cache = ResultCache(store, space, run, may_drop=may_drop)
    for number in numbers:
        text = make_text(number)
        if cache.claim(text) == ASK:
            cache.settle(text, tagged(text))
    cache.end_run(whole=whole)
    return cache.stats


def test_cyclic_scan_over_a_small_store_hits_what_fits() -> None:
    store = MemoryStore(40)
    hits = [run_over(store, range(100), f"run {number}").hits for number in range(4)]
    assert hits == [0, 40, 40, 40]


def test_whole_run_gives_up_what_it_did_not_ask_for() -> None:
    store = MemoryStore(60)
    run_over(store, range(50), "first")
    stats = run_over(store, range(10, 60), "second")
    assert (stats.hits, stats.misses, stats.evictions, stats.size) == (40, 10, 10, 60)
    assert run_over(store, range(10, 70), "third").hits == 50
    assert run_over(store, range(10, 70), "fourth").hits == 60


@pytest.mark.parametrize(("whole", "may_drop"), [(False, True), (True, False)], ids=["stopped", "filtered or dry"])
def test_run_that_did_not_see_the_whole_space_gives_up_nothing(whole: bool, may_drop: bool) -> None:
    store = MemoryStore(50)
    run_over(store, range(50), "first")
    stats = run_over(store, range(5), "second", whole=whole, may_drop=may_drop)
    assert (stats.evictions, stats.size) == (0, 50)
    run_over(store, range(100, 150), "third", "T")
    assert run_over(store, range(50), "fourth").hits == 50


def test_version_of_the_page_is_kept_and_plays_no_part() -> None:
    store, text = MemoryStore(10), replace(make_text(0), version=3)
    cache = ResultCache(store, "S", "first")
    cache.claim(text)
    cache.settle(text, tagged(text))
    assert ResultCache(store, "S", "second").claim(replace(text, version=4)) == ("alpha",)
    assert store.look(text.key) == Entry(("alpha",), 3, "S", "first")


def test_spaces_that_share_a_store_leave_each_other_alone() -> None:
    store = MemoryStore(100)
    for run in ("1", "2", "3"):
        hits = [run_over(store, range(start, start + 40), f"{space}{run}", space).hits for space, start in SPACES]
        assert hits == ([0, 0] if run == "1" else [40, 40])


SPACES = (("A", 0), ("B", 1000))


def test_equal_texts_are_asked_once_even_when_the_store_is_full() -> None:
    store = MemoryStore(1)
    cache = ResultCache(store, "S", "run")
    for number in range(2):
        text = make_text(number)
        assert cache.claim(text) == ASK
        cache.settle(text, Tagging(text.page_id, Status.TAGGED, ("alpha",)))
    assert len(store) == 1
    assert cache.claim(make_text(1)) == ("alpha",)
