"""Whole runs in virtual time: over fakes for the weather, over the twin's HTTP for the rest."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.lab.world import World
from tagspace_lab.pipeline.pipeline import Deliver, RunResult
from tagspace_lab.policy.limits import LIMITERS
from tagspace_lab.records import Outcome, Page, Reply, Status, Tagging
from tagspace_lab.settings import Settings
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import (
    Job,
    ScriptedModel,
    Shelf,
    TinySpace,
    answered,
    examples,
    failed,
    make_pages,
    make_scenario,
    refused,
    write_answer,
)

STEADY = Settings(throttle="fixed")


def check_books(result: RunResult, pages: int) -> dict[Status, int]:
    """Every page left once; how many left how."""
    ids = [tagging.page_id for tagging in result.results]
    assert sorted(ids, key=int) == [str(1000 + number) for number in range(pages)]
    assert result.processed == pages
    for tagging in result.results:
        assert bool(tagging.labels) == (tagging.status in (Status.TAGGED, Status.CACHED))
        assert bool(tagging.reason) == (not tagging.labels)
    return {status: count for status in Status if (count := sum(t.status is status for t in result.results))}


def partly(page_ids: tuple[str, ...]) -> Reply:
    return answered(page_ids[: (len(page_ids) + 1) // 2])


def broken(page_ids: tuple[str, ...]) -> Reply:
    return Reply(Outcome.OK, 200, write_answer(page_ids)[: len(page_ids) * 25])


WEATHER: dict[str, Any] = {
    "good": answered,
    "part": partly,
    "broken": broken,
    "empty": lambda _: Reply(Outcome.OK, 200),
    "refused": lambda _: refused(),
    "told": lambda _: refused(3.0),
    "failed": lambda _: failed(),
    "late": lambda _: failed(Outcome.TIMED_OUT, 0),
    "gone": lambda _: failed(Outcome.UNREACHABLE, 0),
    "wrong": lambda _: failed(Outcome.REFUSED, 400),
    "key": lambda _: failed(Outcome.REFUSED, 401),
    "money": lambda _: failed(Outcome.EXHAUSTED, 429),
}


def deliver_to(shelf: list[Tagging], takes_s: float) -> Deliver:
    async def deliver(tagging: Tagging) -> Tagging:
        await asyncio.sleep(takes_s)
        shelf.append(tagging)
        return tagging

    return deliver


def weather(*kinds: str) -> ScriptedModel:
    """The given kinds of reply in turn, over and over."""
    return ScriptedModel(lambda page_ids, number: WEATHER[kinds[number % len(kinds)]](page_ids))


kinds = st.lists(st.sampled_from([*["good"] * 8, *WEATHER]), min_size=1, max_size=12)


@examples(150)
@given(
    kinds,
    st.none() | kinds,
    st.integers(0, 40),
    st.sampled_from(list(LIMITERS)),
    st.sampled_from(["cooling", "any-error", "never"]),
    st.sampled_from([1, 3, 7]),
    st.sampled_from([None, 0.0, 0.9, 3.3, 20.0]),
    st.sampled_from([None, 0.0, 0.4]),
)
def test_every_page_comes_out_once_in_all_weathers(
    primary: list[str],
    second: list[str] | None,
    pages: int,
    throttle: Any,
    fallback: Any,
    batch: int,
    stop_s: float | None,
    delivery_s: float | None,
) -> None:
    settings = Settings(throttle=throttle, fallback=fallback, batch_size=batch, give_up_s=60.0)
    delivered: list[Tagging] = []
    calls: list[tuple[int, int]] = []
    result = Job(
        make_pages(pages),
        weather(*primary),
        weather(*second) if second else None,
        settings,
        MemoryStore(1000),
        options={
            "on_progress": lambda done, total: calls.append((done, total)),
            "check_stop": None if stop_s is None else lambda: asyncio.get_running_loop().time() >= stop_s,
            "deliver": None if delivery_s is None else deliver_to(delivered, delivery_s),
        },
    ).run()
    check_books(result, result.processed)
    assert delivery_s is None or sorted(delivered, key=id) == sorted(result.results, key=id)
    assert result.processed == pages or stop_s is not None
    assert [done for done, _ in calls] == list(range(1, result.processed + 1))
    assert all(done <= total for done, total in calls)
    assert result.fallbacks == sum(attempt.provider == "fallback" for attempt in result.attempts)
    metrics = result.concurrency_metrics
    assert metrics.peak_concurrency <= 2 * settings.max_ai_concurrency


@pytest.mark.parametrize("kind", [kind for kind in WEATHER if kind != "good"])
@pytest.mark.parametrize("throttle", LIMITERS)
def test_trouble_that_never_ends_ends_the_run(kind: str, throttle: Any) -> None:
    settings = Settings(throttle=throttle, give_up_s=100.0)
    result = Job(make_pages(30), weather(kind), settings=settings).run()
    counts = check_books(result, 30)
    assert counts == {Status.TAGGED: 30} if kind == "part" else counts.keys() <= {Status.TAGGED, Status.ERROR}
    assert result.makespan_s < 130


@pytest.mark.parametrize("throttle", sorted(LIMITERS.keys() - {"ladder"}))  # which gives a call up
def test_endless_refusals_end_after_the_give_up_time(throttle: Any) -> None:
    result = Job(make_pages(40), weather("refused"), settings=Settings(throttle=throttle, give_up_s=50.0)).run()
    assert check_books(result, 40) == {Status.ERROR: 40}
    assert {tagging.reason for tagging in result.results} == {"nothing has succeeded for 50 s: the run was given up"}
    assert 50 <= result.makespan_s <= 53
    assert len(result.attempts) < 250, "refusals were answered with a storm"


def test_one_success_begins_the_give_up_time_anew() -> None:
    model = ScriptedModel(lambda page_ids, number: refused() if number % 12 else answered(page_ids))
    result = Job(make_pages(30), model, settings=Settings(throttle="fixed", ai_concurrency=1, give_up_s=100.0)).run()
    assert check_books(result, 30) == {Status.TAGGED: 30}
    assert result.makespan_s > 100


@pytest.mark.parametrize("kind", ["key", "money"])
def test_provider_that_is_out_ends_the_run_at_once(kind: str) -> None:
    result = Job(make_pages(200), weather(kind), settings=STEADY).run()
    assert check_books(result, 200) == {Status.ERROR: 200}
    assert len(result.attempts) <= STEADY.ai_concurrency + 1


@pytest.mark.parametrize("pages", [0, 1, 4, 5, 6, 61])
def test_space_of_any_size_is_tagged_whole(pages: int) -> None:
    result = Job(make_pages(pages)).run()
    assert check_books(result, pages) == ({Status.TAGGED: pages} if pages else {})
    assert len(result.attempts) == -(-pages // 5)
    assert not result.broke_off


def test_page_without_text_is_skipped_with_the_reason() -> None:
    pages = [*make_pages(2), Page("1002", "Empty", " <p>&nbsp;</p> ")]
    result = Job(pages).run()
    assert check_books(result, 3) == {Status.TAGGED: 2, Status.SKIPPED: 1}
    assert "no text" in next(t.reason for t in result.results if t.status is Status.SKIPPED)


def test_page_of_two_megabytes_is_cut_and_tagged() -> None:
    pages = [Page("1000", "Large", f"<p>{'words ' * 350_000}</p>"), *make_pages(3)[1:]]
    result = Job(pages).run()
    assert check_books(result, 3) == {Status.TAGGED: 3}


@pytest.mark.parametrize("total", [None, 10])
def test_page_that_is_listed_twice_comes_out_once(total: int | None) -> None:
    pages = make_pages(10)
    seen: list[tuple[int, int]] = []
    options = {"on_progress": lambda *counts: seen.append(counts), "total": total}
    result = Job([*pages[:7], *pages[3:], pages[0]], options=options).run()
    assert check_books(result, 10) == {Status.TAGGED: 10}
    assert seen[-1] == (10, 10)


@pytest.mark.parametrize("total", [None, 40, 3])
def test_progress_rises_to_the_total_and_never_passes_it(total: int | None) -> None:
    seen: list[tuple[int, int]] = []
    Job(make_pages(40), options={"on_progress": lambda *counts: seen.append(counts), "total": total}).run()
    assert [done for done, _ in seen] == list(range(1, 41))
    assert all(done <= total for done, total in seen)
    assert seen[-1] == (40, 40)


@pytest.mark.parametrize("stop_s", [0.0, 0.1, 0.9, 1.0, 2.05, 3.7, 5.5])
def test_stop_takes_one_call_and_one_look_and_reports_the_rest(stop_s: float) -> None:
    def check_stop() -> bool:
        return asyncio.get_running_loop().time() >= stop_s

    result = Job(make_pages(300), settings=STEADY, options={"check_stop": check_stop}).run()
    counts = check_books(result, result.processed)
    assert result.makespan_s <= stop_s + 1.0 + 0.25 + 1e-6
    assert counts.get(Status.TAGGED, 0) == sum(attempt.pages for attempt in result.attempts)
    assert result.processed < 300
    assert counts.keys() <= {Status.TAGGED, Status.STOPPED}


@pytest.mark.parametrize("stop_s", [0.6, 2.3])
def test_pages_that_were_listed_when_it_stopped_are_all_reported(stop_s: float) -> None:
    shelf = Shelf(make_pages(500), size=50, pause_s=0.0)
    options = {"check_stop": lambda: asyncio.get_running_loop().time() >= stop_s}
    result = Job(source=shelf, settings=STEADY, options=options).run()
    assert shelf.handed_out < 500
    check_books(result, shelf.handed_out)


def test_stop_does_not_wait_for_a_listing_that_hangs() -> None:
    class Hanging(Shelf):
        async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
            yield make_pages(10)
            await asyncio.sleep(3600)

    result = Job(source=Hanging(()), options={"check_stop": lambda: asyncio.get_running_loop().time() >= 5}).run()
    assert result.makespan_s <= 6.25
    check_books(result, 10)


def test_stop_that_is_never_asked_for_changes_nothing() -> None:
    plain, watched = (Job(make_pages(30), options=options).run() for options in ({}, {"check_stop": lambda: False}))
    assert (plain.results, plain.makespan_s) == (watched.results, watched.makespan_s)


def test_listing_that_breaks_off_tags_what_came_and_says_so() -> None:
    store = MemoryStore(100)
    Job(make_pages(30), store=store).run()
    result = Job(source=Shelf(make_pages(40), breaks_at=2), store=store, run_id="second").run()
    assert check_books(result, 10) == {Status.CACHED: 10}
    assert result.broke_off == "the listing broke off"
    assert (len(store), result.cache_stats.evictions) == (30, 0)


def test_listing_that_never_came_is_an_error() -> None:
    with pytest.raises(ConfluenceError, match="broke off"):
        Job(source=Shelf(make_pages(40), breaks_at=0)).run()


def same_texts(count: int, kinds: int) -> list[Page]:
    return [Page(str(1000 + number), "Same", f"<p>text {number % kinds}</p>") for number in range(count)]


def test_equal_texts_are_asked_once() -> None:
    model = ScriptedModel()
    result = Job(same_texts(60, 7), model, store=MemoryStore(100)).run()
    assert check_books(result, 60) == {Status.TAGGED: 7, Status.CACHED: 53}
    assert sum(map(len, model.asked)) == 7
    assert (result.cache_stats.hits, result.cache_stats.misses) == (53, 7)


def test_without_a_cache_every_page_is_asked() -> None:
    model = ScriptedModel()
    assert check_books(Job(same_texts(60, 7), model).run(), 60) == {Status.TAGGED: 60}
    assert sum(map(len, model.asked)) == 60


def test_texts_shared_with_a_page_that_fails_fail_with_it() -> None:
    result = Job(same_texts(20, 1), weather("wrong"), store=MemoryStore(100)).run()
    assert check_books(result, 20) == {Status.ERROR: 20}
    assert len({tagging.reason for tagging in result.results}) == 1


def test_second_run_asks_nothing_and_a_new_version_with_the_same_text_is_a_hit() -> None:
    store, pages = MemoryStore(100), make_pages(20)
    Job(pages, store=store).run()
    again = [Page(page.id, page.title, page.body.replace("<p>", "<p class='x'>"), 2) for page in pages]
    result = Job(again, store=store, run_id="second").run()
    assert check_books(result, 20) == {Status.CACHED: 20}
    assert not result.attempts


@pytest.mark.parametrize("trouble", ["stopped", "failed"])
def test_run_that_was_not_whole_drops_nothing_from_the_cache(trouble: str) -> None:
    store = MemoryStore(1000)
    Job(make_pages(300), store=store).run()
    pages = [*make_pages(100), Page("1100", "New", "<p>new</p>"), *make_pages(300)[101:]]
    options = {"check_stop": lambda: asyncio.get_running_loop().time() >= 1.0} if trouble == "stopped" else {}
    model = weather("wrong") if trouble == "failed" else ScriptedModel()
    Job(pages, model, store=store, options=options, run_id="second").run()
    assert len(store) >= 300


def test_listing_is_never_far_ahead_of_the_answers() -> None:
    shelf, ahead = Shelf(make_pages(500), size=10, pause_s=0.0), list[int]()
    options = {"on_progress": lambda done, total: ahead.append(shelf.handed_out - done)}
    settings = Settings(throttle="fixed", batch_size=2, ai_concurrency=2, max_ai_concurrency=3)
    assert check_books(Job(source=shelf, settings=settings, options=options).run(), 500) == {Status.TAGGED: 500}
    queued = 3 * 10 + 2 * (3 + 3 + 1)  # listings in hand and waiting; batches waiting, being asked and being made
    assert max(ahead) <= queued


def test_calls_overlap_as_far_as_the_throttle_lets_them() -> None:
    model = ScriptedModel()
    result = Job(make_pages(60), model, settings=Settings(throttle="fixed", ai_concurrency=4)).run()
    assert model.peak == 4
    assert result.concurrency_metrics.peak_concurrency == 4
    assert result.makespan_s == pytest.approx(0.1 + 3.0, abs=0.3)


@pytest.mark.parametrize("hook", ["on_progress", "check_stop", "script"])
def test_bug_of_a_callback_ends_the_run_and_leaves_nothing_behind(hook: str) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    job = Job(make_pages(50), ScriptedModel(fail) if hook == "script" else ScriptedModel())
    job.options = {} if hook == "script" else {hook: fail}
    with pytest.raises(ZeroDivisionError):
        job.run()


def test_cancelled_run_leaves_no_task_behind() -> None:
    async def main() -> int:
        task = asyncio.ensure_future(Job(make_pages(100), options={"check_stop": lambda: False})._pipeline().run("S"))
        await asyncio.sleep(2.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return len(asyncio.all_tasks())

    assert run_virtual(main) == 1


@pytest.mark.parametrize("headers", ["openai", "anthropic", "azure", "gateway", "none"])
def test_twin_in_every_dialect_is_tagged_rightly(headers: str) -> None:
    space = TinySpace(60)
    scenario = make_scenario(provider={"headers": headers, "limits": {"requests_per_min": 60, "burst_requests": 3}})
    result = World(space, scenario).run(Settings(), store=MemoryStore(100))
    assert check_books(result, 60) == {Status.TAGGED: 60}
    assert all(tagging.labels == space.gold(tagging.page_id) for tagging in result.results)
    assert result.concurrency_metrics.rate_limit_errors <= 8


FAULTS = {
    "malformed": {"malformed_share": 0.3},
    "partial": {"partial_share": 0.5},
    "errors": {"server_error_share": 0.3},
    "time-outs": {"timeout_share": 0.3, "timeout_s": 100.0},
    "everything": {"malformed_share": 0.2, "partial_share": 0.2, "server_error_share": 0.2, "timeout_share": 0.1},
}


@pytest.mark.parametrize("faults", FAULTS)
def test_twin_with_faults_is_tagged_for_the_most_part(faults: str) -> None:
    result = World(TinySpace(60), make_scenario(provider={"faults": FAULTS[faults]})).run(Settings(give_up_s=3600.0))
    counts = check_books(result, 60)
    assert counts[Status.TAGGED] >= 40
    assert counts.keys() <= {Status.TAGGED, Status.ERROR}


def test_twin_that_is_out_hands_over_to_the_fallback_of_the_twin() -> None:
    outage = {"kind": "outage", "at_s": 0, "status": 429, "retry_after_s": 60}
    scenario = make_scenario(provider={"events": [outage]}, fallback={})
    result = World(TinySpace(30), scenario).run(Settings())
    assert check_books(result, 30) == {Status.TAGGED: 30}
    assert result.fallbacks >= 6


def test_same_world_gives_the_same_run() -> None:
    scenario = make_scenario(provider={"faults": FAULTS["everything"], "limits": {"requests_per_min": 60}})
    first, second = (World(TinySpace(40), scenario, seed=7).run(Settings()) for _ in range(2))
    assert (first.results, first.attempts, first.makespan_s) == (second.results, second.attempts, second.makespan_s)
    assert list(itertools.chain(first.attempts)) != World(TinySpace(40), scenario, seed=8).run(Settings()).attempts


def test_run_that_ends_before_its_listing_says_so() -> None:
    calls = iter(range(1000))
    job = Job(source=Shelf(make_pages(100), size=10), options={"check_stop": lambda: next(calls) > 2})
    result = job.run()
    assert result.processed < 100
    assert "ended before the listing did" in result.broke_off


def test_answers_are_kept_before_any_page_is_delivered() -> None:
    store = MemoryStore(1000)
    kept: list[int] = []

    async def deliver(tagging: Tagging) -> Tagging:
        kept.append(len(store))
        await asyncio.sleep(60.0)
        return tagging

    result = Job(make_pages(10), store=store, options={"deliver": deliver}).run()
    assert check_books(result, 10) == {Status.TAGGED: 10}
    assert min(kept) >= 5, "a page was delivered before its neighbours' answers were kept"


def test_what_delivery_makes_of_a_page_counts() -> None:
    async def refuse(tagging: Tagging) -> Tagging:
        return Tagging(tagging.page_id, Status.ERROR, reason="no right to write")

    assert check_books(Job(make_pages(3), options={"deliver": refuse}).run(), 3) == {Status.ERROR: 3}
