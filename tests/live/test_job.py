"""The job over the twin in virtual time, Cloud and Data Center: labels written once, nothing lost, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from starlette.applications import Starlette

from tagspace_lab.clients.confluence import Credentials, connect
from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import OpenAIModel
from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.errors import ConfluenceError, JournalError
from tagspace_lab.live.job import Services, TagJob, TagResult
from tagspace_lab.live.task import Request
from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tagspace_lab.pipeline.router import Endpoint
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prices import Price
from tagspace_lab.records import Status
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import EPOCH_S, build_app
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import RULES, TinySpace, make_scenario

Kind = Literal["cloud", "data-center"]
SETTINGS = Settings(batch_size=5, ai_concurrency=2, max_ai_concurrency=2)
PAGES = 40
ALL = Request("TINY", apply=True, labels=RULES.vocabulary)


@dataclass
class Wiki:
    """A served space with its provider, and the state that outlives a task."""

    journal: Journal
    kind: Kind = "cloud"
    pages: int = PAGES
    settings: Settings = SETTINGS
    store: MemoryStore = field(default_factory=lambda: MemoryStore(1000))
    token: str = "twin"
    scenario: dict[str, Any] = field(default_factory=dict)
    tasks: int = 0

    def __post_init__(self) -> None:
        self.space = TinySpace(self.pages)
        self.app: Starlette = build_app(make_scenario(**self.scenario), self.space)

    def tag(self, request: Request = ALL, *, resume: str = "", **options: Any) -> TagResult:
        """Run a task, a new one or the one that is named."""
        if resume:
            self.journal.reopen(resume)
        else:
            self.tasks += 1
            task = Task(f"TINY-{self.tasks}", request.space, "twin", TaskState.RUNNING, float(self.tasks))
            self.journal.begin(task)

        async def main() -> TagResult:
            loop = asyncio.get_running_loop()
            async with open_http(httpx.ASGITransport(self.app)) as http:
                services = self._services(http, lambda: EPOCH_S + loop.time())
                job = TagJob(
                    resume or f"TINY-{self.tasks}",
                    request,
                    services,
                    self.settings,
                    is_resumed=bool(resume),
                    **options,
                )
                return await job.run()

        return run_virtual(main)

    def _services(self, http: httpx.AsyncClient, clock: Callable[[], float]) -> Services:
        rng = random.Random(0)
        model = OpenAIModel(http, "http://twin/v1", "twin", "key", 60.0, clock)
        base_url = "http://twin/wiki" if self.kind == "cloud" else "http://twin/confluence"
        credentials = Credentials("me", self.token, self.token)
        return Services(
            confluence=connect(http, base_url, auth=credentials, kind=self.kind, rng=rng, wall_clock=clock),
            primary=Endpoint("primary", model, Throttle(make_limiter(self.settings, rng))),
            fallback=None,
            store=self.store,
            journal=self.journal,
            rng=rng,
            wall_clock=clock,
            site="twin",
            prices={"primary": Price(1.0, 2.0)},
        )

    def labels(self, page_id: str) -> set[str]:
        return {label["name"] for label in self.app.state.confluence.labels.read(page_id)}

    @property
    def page_ids(self) -> list[str]:
        return [str(1000 + page) for page in range(self.pages)]

    @property
    def writes(self) -> dict[Any, int]:
        return dict(self.app.state.confluence.writes)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as made:
        yield made


@pytest.fixture(params=["cloud", "data-center"])
def wiki(request: pytest.FixtureRequest, journal: Journal) -> Wiki:
    return Wiki(journal, request.param)


def ids(result: TagResult) -> list[str]:
    return sorted(end.page_id for end in result.ends)


def statuses(result: TagResult) -> set[Status]:
    return {end.status for end in result.ends}


def test_counters_are_told_while_the_task_runs(wiki: Wiki) -> None:
    seen: list[tuple[int, int]] = []

    def look(done: int, known: int) -> None:
        task = wiki.journal.task("TINY-1")
        assert task is not None
        seen.append((done, task.counters.get("processed", 0)))

    wiki.tag(on_progress=look)
    assert len({told for _, told in seen}) >= 4
    assert all(0 <= done - told <= PAGES / 2 for done, told in seen)


def test_every_page_is_labelled_once(wiki: Wiki) -> None:
    result = wiki.tag()
    assert ids(result) == wiki.page_ids
    assert statuses(result) == {Status.TAGGED}
    for page_id in wiki.page_ids:
        assert wiki.labels(page_id) == set(wiki.space.gold(page_id))
    assert set(wiki.writes.values()) == {1}
    told = result.to_dict()
    assert {name: told[name] for name in ("total", "processed", "success", "errors")} == {
        "total": PAGES,
        "processed": PAGES,
        "success": PAGES,
        "errors": 0,
    }
    assert (told["dry_run"], told["mode"], told["whitelist_enabled"], told["state"]) == (False, "add", False, "done")
    assert told["usd"] > 0


def test_a_dry_run_writes_nothing_and_tells_what_it_would(wiki: Wiki) -> None:
    wiki.app.state.confluence.labels.add("1000", [("alpha", "global"), ("mine", "global")])
    result = wiki.tag(Request("TINY", labels=RULES.vocabulary))
    assert wiki.writes == {}
    first = next(end for end in result.ends if end.page_id == "1000")
    assert (first.tags, set(first.existing), first.added) == (("alpha", "beta"), {"alpha", "mine"}, ("beta",))
    assert wiki.labels("1000") == {"alpha", "mine"}


def test_a_second_run_asks_nothing_and_writes_nothing(wiki: Wiki) -> None:
    wiki.tag()
    result = wiki.tag()
    assert statuses(result) == {Status.CACHED}
    assert result.run.attempts == []
    assert not any(end.added for end in result.ends)
    assert set(wiki.writes.values()) == {1}


def test_labels_that_a_page_has_are_left_alone(wiki: Wiki) -> None:
    wiki.app.state.confluence.labels.add("1003", [("mine", "global")])
    wiki.tag()
    assert wiki.labels("1003") == {"mine", *wiki.space.gold("1003")}


def test_a_whitelist_leaves_pages_out_and_makes_no_room_in_the_cache(wiki: Wiki) -> None:
    wiki.tag()
    result = wiki.tag(Request("TINY", apply=True, labels=RULES.vocabulary, pages=frozenset({"1001", "1004", "9"})))
    assert ids(result) == ["1001", "1004"]
    told = result.to_dict()
    assert (told["total"], told["processed"], told["skipped_by_whitelist"]) == (PAGES, 2, PAGES - 2)
    assert told["whitelist_enabled"]
    assert statuses(wiki.tag()) == {Status.CACHED}


def test_suggestions_go_beyond_the_vocabulary_and_are_never_written(wiki: Wiki) -> None:
    narrow = Request("TINY", mode="suggest", labels=("alpha",))
    result = wiki.tag(narrow)
    assert {label for end in result.ends for label in end.tags} == set(RULES.vocabulary)
    assert wiki.writes == {}
    closed = wiki.tag(Request("TINY", labels=("alpha",)))
    assert {label for end in closed.ends for label in end.tags} == {"alpha"}


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_stopped_task_goes_on_where_it_was(wiki: Wiki, after: int) -> None:
    done: list[int] = []
    stopped = wiki.tag(on_progress=lambda ended, known: done.append(ended), check_stop=lambda: len(done) >= after)
    assert stopped.state is TaskState.STOPPED
    paid = sum(attempt.pages for attempt in stopped.run.attempts)
    result = wiki.tag(resume=stopped.task_id)
    assert result.state is TaskState.DONE
    assert ids(result) == wiki.page_ids
    assert set(wiki.writes.values()) == {1}
    assert paid + sum(attempt.pages for attempt in result.run.attempts) == PAGES
    ended_well = sum(end.status in (Status.TAGGED, Status.CACHED) for end in stopped.ends)
    assert result.resumed_pages == ended_well


def test_answers_outlive_a_cache_that_is_off(wiki: Wiki) -> None:
    wiki.settings = SETTINGS.with_changes(cache_enabled=False)
    stopped = wiki.tag(check_stop=lambda: bool(wiki.writes))
    paid = sum(attempt.pages for attempt in stopped.run.attempts)
    resumed = wiki.tag(resume=stopped.task_id)
    assert 0 < paid < PAGES
    assert paid + sum(attempt.pages for attempt in resumed.run.attempts) == PAGES
    again = wiki.tag()
    assert len(again.run.attempts) == PAGES / 5, "a new task without a cache asks again"


def test_a_page_that_was_edited_meanwhile_is_done_again(wiki: Wiki) -> None:
    stopped = wiki.tag(check_stop=lambda: bool(wiki.writes))
    ended = [end for end in stopped.ends if end.status is Status.TAGGED]
    assert ended
    with Journal(wiki.journal._path) as other:
        other.keep_page(stopped.task_id, type(ended[0])(ended[0].page_id, 0, "", Status.TAGGED, ("gamma",)))
    result = wiki.tag(resume=stopped.task_id)
    assert ids(result) == wiki.page_ids
    assert result.resumed_pages == len(ended) - 1


def test_a_wrong_token_ends_the_task_before_it_asks_anything(wiki: Wiki) -> None:
    wiki.token = ""
    with pytest.raises(Exception, match="CONFLUENCE"):
        wiki.tag()


def test_a_space_that_nobody_knows_fails_and_the_journal_says_so(wiki: Wiki) -> None:
    with pytest.raises(ConfluenceError, match="NOSUCH"):
        wiki.tag(Request("NOSUCH", apply=True))
    task = wiki.journal.task("TINY-1")
    assert task is not None
    assert task.state is TaskState.FAILED
    assert "NOSUCH" in task.result["error"]


def test_a_provider_that_is_away_makes_errors_that_are_tried_again_on_resume(journal: Journal) -> None:
    wiki = Wiki(
        journal,
        settings=SETTINGS.with_changes(give_up_s=30.0),
        scenario={"provider": {"events": [{"kind": "outage", "at_s": 0.0, "until_s": 3600.0, "status": 503}]}},
    )
    failed = wiki.tag()
    assert statuses(failed) == {Status.ERROR}
    assert failed.state is TaskState.FAILED
    wiki.app = build_app(make_scenario(), wiki.space)
    result = wiki.tag(resume=failed.task_id)
    assert (result.state, statuses(result)) == (TaskState.DONE, {Status.TAGGED})
    assert ids(result) == wiki.page_ids


def test_an_empty_space_is_done_at_once(journal: Journal) -> None:
    result = Wiki(journal, pages=0).tag()
    assert (result.state, result.ends, result.total) == (TaskState.DONE, [], 0)


def test_what_a_running_task_says_of_itself_is_in_the_journal(wiki: Wiki) -> None:
    told: list[dict[str, Any]] = []

    def look(done: int, known: int) -> None:
        task = wiki.journal.task("TINY-1")
        assert task is not None
        told.append(task.counters | {"total": task.total})

    wiki.tag(on_progress=look)
    assert [counters.get("processed", 0) for counters in told] == sorted(
        counters.get("processed", 0) for counters in told
    )
    assert told[-1]["total"] == PAGES
    task = wiki.journal.task("TINY-1")
    assert task is not None
    assert task.counters["processed"] == PAGES
    assert task.counters["labels_added"] == 2 * PAGES
    assert task.result["state"] == "done"
    assert "details" not in task.result


def test_a_task_is_run_once(wiki: Wiki) -> None:
    result = wiki.tag()
    with pytest.raises(JournalError, match="is done"):
        wiki.tag(resume=result.task_id)
