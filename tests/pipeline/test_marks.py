from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field

import pytest

from tagspace_lab.clients.stores import MemoryStore
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.pipeline.marks import Marks
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import Limiter, Start
from tagspace_lab.records import Attempt, Outcome, Page, RateLimit, Reply, Status
from tagspace_lab.settings import Settings
from tests.fakes import Job, Obedient, ScriptedModel, Shelf, answered, failed, make_pages, refused

ONE_BY_ONE = Settings(batch_size=1, cache_enabled=False)
KEY = "sk-planted-0123456789"


@dataclass
class Told(Obedient):
    """Each end sets its window, pace and gate, in the order of `steps`; the last ones stay."""

    steps: list[tuple[float, float, float]] = field(default_factory=list)
    pace: float = float("inf")

    @property
    def pace_per_s(self) -> float:
        return self.pace

    def on_end(self, now_s: float, start: Start, reply: Reply) -> None:
        if self.steps:
            self.window, self.pace, self.gate_s = self.steps.pop(0)

    def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
        return 0.0


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tagspace_lab")


def lines(caplog: pytest.LogCaptureFixture, mark: str) -> list[str]:
    return [message for message in caplog.messages if message.startswith(mark)]


def first(count: int, reply: Reply) -> ScriptedModel:
    return ScriptedModel(lambda page_ids, number: reply if number < count else answered(page_ids))


def run(model: ScriptedModel, *limiters: Limiter, pages: int = 1, **changes: object) -> None:
    fallback = ScriptedModel() if "fallback" in changes else None
    Job(make_pages(pages), model, fallback, ONE_BY_ONE.with_changes(**changes), limiters=limiters).run()


def test_429_tells_provider_call_cause_retry_after_and_count(caplog: pytest.LogCaptureFixture) -> None:
    named = Reply(Outcome.RATE_LIMITED, 429, rate_limit=RateLimit({}, 2.5, "requests"))
    run(ScriptedModel(lambda page_ids, number: (named, refused(), answered(page_ids))[number]), Obedient())
    assert lines(caplog, "[429]") == [
        "[429] 1.100 s: primary refused call 1 (try 1), named requests, Retry-After 2.500 s, refusals so far: 1",
        "[429] 3.100 s: primary refused call 1 (try 2), named nothing, Retry-After none, refusals so far: 2",
    ]


def test_backoff_tells_how_long_a_call_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    run(first(1, refused()), Obedient())
    assert lines(caplog, "[BACKOFF]") == ["[BACKOFF] 1.100 s: call 1 stays away from primary for 1.000 s"]
    caplog.clear()
    run(first(1, failed()), Obedient())
    (line,) = lines(caplog, "[BACKOFF]")
    assert re.fullmatch(r"\[BACKOFF\] 1\.100 s: call 1 stays away from primary for \d\.\d{3} s", line)


def test_backoff_tells_once_that_the_gate_closed(caplog: pytest.LogCaptureFixture) -> None:
    run(first(2, refused()), Told(steps=[(3, 1.0, 4.0), (3, 1.0, 4.0)]), pages=3)
    assert "pace none -> 1 calls/s" in lines(caplog, "[THROTTLE]")[0]
    assert lines(caplog, "[BACKOFF]") == ["[BACKOFF] 1.100 s: nothing starts at primary for 2.900 s"]


def test_throttle_tells_any_change_after_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    run(first(1, refused()), Told(2, pace=4.0, steps=[(1.9, 4.0, 0.0)]), pages=5)
    assert lines(caplog, "[THROTTLE]") == [
        "[THROTTLE] 1.100 s: primary: window 2 -> 1.9 calls, pace 4 calls/s -> 4 calls/s, in flight 2, queued 2"
    ]


def test_throttle_tells_otherwise_what_has_changed_by_more_than_a_fifth(caplog: pytest.LogCaptureFixture) -> None:
    steps = [(10.0, 11.0, 0.0), (10.0, 12.0, 0.0), (10.0, 12.5, 0.0), (10.0, 12.5, 0.0), (7.0, 12.5, 0.0)]
    run(ScriptedModel(), Told(10, pace=10.0, steps=steps), pages=5)
    told = [line.split("primary: ")[1].split(", in")[0] for line in lines(caplog, "[THROTTLE]")]
    assert told == [
        "window 10 -> 10 calls, pace 10 calls/s -> 12.5 calls/s",
        "window 10 -> 7 calls, pace 12.5 calls/s -> 12.5 calls/s",
    ]


def test_fallback_tells_where_the_call_goes_and_why(caplog: pytest.LogCaptureFixture) -> None:
    class Hopeless(Obedient):
        def retry_delay_s(self, refusals: int, reply: Reply) -> float | None:
            return None

    run(first(1, refused()), Told(steps=[(3, 1.0, 31.1)]), Obedient(), fallback="cooling")
    run(first(1, failed(Outcome.EXHAUSTED, 402)), Obedient(), Obedient(), fallback="cooling")
    run(first(1, refused()), Hopeless(), Obedient(), fallback="cooling")
    run(first(1, failed()), Obedient(), Obedient(), fallback="any-error")
    assert [
        line.removeprefix("[FALLBACK] 1.100 s: call 1 goes to fallback: ") for line in lines(caplog, "[FALLBACK]")
    ] == [
        "primary cools down for 30.000 s",
        "primary takes no more calls",
        "primary refused it too often",
        "after an error at primary",
    ]


def test_times_count_from_the_start_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """On the wall clock the event loop's time at the start is any number."""

    attempt = Attempt(7, 1, "primary", 1.0, 2.0, Outcome.RATE_LIMITED, 429, 1, 0, 0, 0, 0.0, 1, 1.0)
    Marks().on_attempt(attempt, refused(), Throttle(Obedient(1, gate_s=1005.0)), now_s=1002.0)
    assert lines(caplog, "[429]")[0].startswith("[429] 2.000 s: ")
    assert lines(caplog, "[BACKOFF]") == ["[BACKOFF] 2.000 s: nothing starts at primary for 3.000 s"]


def test_router_tells_where_the_run_starts(caplog: pytest.LogCaptureFixture) -> None:
    Job(make_pages(1), run_id="night\n2 [429]").run()
    run(ScriptedModel(), fallback="cooling")
    run(ScriptedModel(), fallback="never")
    assert lines(caplog, "[ROUTER]") == [
        "[ROUTER] 0.000 s: run night_2__429_ starts with primary, fallback: none",
        "[ROUTER] 0.000 s: run run starts with primary, fallback: fallback",
        "[ROUTER] 0.000 s: run run starts with primary, fallback: none",
    ]


def test_router_tells_what_becomes_of_a_batch_that_failed_or_came_home_in_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(page_ids: tuple[str, ...], number: int) -> Reply:
        return failed(Outcome.REFUSED, 413) if number == 0 else answered(page_ids[:1])

    Job(make_pages(5), ScriptedModel(script), settings=Settings(batch_size=5)).run()
    assert lines(caplog, "[ROUTER]")[1:] == [
        "[ROUTER] 1.100 s: call 1 of 5 pages is asked again with 3 and 2: primary: refused, HTTP 413",
        "[ROUTER] 2.100 s: call 2 of 3 pages is asked again with 1 and 1: the answer left pages out",
        "[ROUTER] 5.100 s: call 3 of 2 pages is asked again with 1: the answer left pages out",
    ]


def test_router_tells_which_provider_was_closed(caplog: pytest.LogCaptureFixture) -> None:
    run(first(1, failed(Outcome.EXHAUSTED, 402)), Obedient(), Obedient(), fallback="cooling")
    assert lines(caplog, "[ROUTER]")[1:] == ["[ROUTER] 1.100 s: primary is closed for this run: exhausted, HTTP 402"]


def test_run_ends_with_a_line_of_its_cache_and_a_summary(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tag_space_performance")
    model = ScriptedModel(lambda page_ids, number: refused() if number == 1 else answered(page_ids))
    store = MemoryStore(4)
    Job(make_pages(4), model, settings=Settings(batch_size=2), store=store, limiters=[Obedient(1)]).run()
    Job(make_pages(5), settings=Settings(batch_size=2), store=store, run_id="again").run()
    told = [record for record in caplog.records if "task=" in record.message]
    assert [(record.name, record.message) for record in told] == [
        ("tagspace_lab.pipeline.cache", "[CACHE] task=run hits=0 misses=4 hit_rate=0.0000 size=4 evictions=0"),
        (
            "tag_space_performance",
            "[OPTIMIZATION_SUMMARY] task=run processed=4 errors=0 hit_rate=0.0000 rate_limit_errors=1 fallbacks=0 "
            "ai_calls=2 attempts=3 retries=1 mean_concurrency=1.00 makespan_s=4.100",
        ),
        ("tagspace_lab.pipeline.cache", "[CACHE] task=again hits=4 misses=1 hit_rate=0.8000 size=4 evictions=0"),
        (
            "tag_space_performance",
            "[OPTIMIZATION_SUMMARY] task=again processed=5 errors=0 hit_rate=0.8000 rate_limit_errors=0 fallbacks=0 "
            "ai_calls=1 attempts=1 retries=0 mean_concurrency=1.00 makespan_s=1.100",
        ),
    ]


def test_summary_counts_no_page_that_a_stop_left_undone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tag_space_performance")
    told: list[int] = []
    options = {"on_progress": lambda done, known: told.append(done), "check_stop": lambda: bool(told)}
    result = Job(make_pages(50), settings=Settings(batch_size=1), options=options).run()
    done = sum(tagging.status is Status.TAGGED for tagging in result.results)
    (line,) = lines(caplog, "[OPTIMIZATION_SUMMARY]")
    assert 0 < done < 50
    assert f" processed={done} errors=0 " in line


def test_run_that_could_not_read_its_space_has_a_summary_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tag_space_performance")
    with pytest.raises(ConfluenceError):
        Job(source=Shelf(make_pages(3), breaks_at=0)).run()
    (line,) = lines(caplog, "[OPTIMIZATION_SUMMARY]")
    assert "task=run processed=0 errors=0" in line


def test_end_of_a_run_costs_nothing_where_nobody_listens(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, logger="tagspace_lab")
    counted: list[RunResult] = []
    monkeypatch.setattr(RunResult, "concurrency_metrics", property(counted.append))
    Job(make_pages(1)).run()
    assert counted == []


def noisy() -> Job:
    """A run with every mark, in which the provider's words, its answer and a page hold a key."""
    replies = (
        Reply(Outcome.RATE_LIMITED, 429, KEY, f"bad key {KEY}", rate_limit=RateLimit({}, 9.0)),
        Reply(Outcome.OVERLOADED, 503, KEY, f"bad key {KEY}"),
        Reply(Outcome.EXHAUSTED, 402, KEY, f"bad key {KEY}"),
    )
    pages = [Page(str(number), KEY, f"<p>{KEY} {number}</p>") for number in range(6)]
    model = ScriptedModel(lambda page_ids, number: replies[min(number, 2)])
    return Job(pages, model, ScriptedModel(), ONE_BY_ONE, limiters=(Told(steps=[(2, 1.0, 3.0)]), Obedient()))


def test_every_mark_is_at_info_and_no_line_holds_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tag_space_performance")
    noisy().run()
    marks = {"[ROUTER]", "[429]", "[BACKOFF]", "[THROTTLE]", "[FALLBACK]", "[CACHE]", "[OPTIMIZATION_SUMMARY]"}
    assert {message.split()[0] for message in caplog.messages} == marks
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    names = {record.name.removeprefix("tagspace_lab.pipeline.") for record in caplog.records}
    assert names == {"throttle", "router", "cache", "tag_space_performance"}
    assert KEY not in caplog.text


def test_nothing_is_told_above_info(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.WARNING, logger="tagspace_lab")
    noisy().run()
    assert caplog.messages == []
    assert capfd.readouterr() == ("", "")


def test_package_adds_a_null_handler_and_nothing_else() -> None:
    logger = logging.getLogger("tagspace_lab")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert logger.propagate


def test_logging_changes_no_attempt(caplog: pytest.LogCaptureFixture) -> None:
    loud = noisy().run().attempts
    caplog.set_level(logging.WARNING, logger="tagspace_lab")
    assert noisy().run().attempts == loud
