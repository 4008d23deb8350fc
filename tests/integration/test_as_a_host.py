"""The drop-in names as an application uses them that knows no more than their description.

Threads with event loops of their own, an agent of any habit, log files that an operator reads: nothing here knows how
the pipeline works inside.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tagspace_lab import integration
from tests.integration.hosts import Agent, FullWiki, Wiki, ids_of

POST = httpx.Request("POST", "https://example.invalid/v1/chat/completions")
REFUSAL = httpx.Response(429, headers={"retry-after": "0"}, request=POST)
TAGS = ["alpha", "beta"]


class MarkedError(Exception):
    """An error of a client that somebody wrote himself: facts in attributes, under any of the usual names."""

    def __init__(self, **facts: object) -> None:
        super().__init__("busy")
        self.__dict__.update(facts)


def process(wiki: Wiki, agent: Any, **arguments: Any) -> dict[str, Any]:
    pipeline = integration.OptimizedTagSpacePipeline(confluence=wiki, agent=agent)
    return asyncio.run(pipeline.process_space(**({"page_ids": wiki.ids, "task_id": "night"} | arguments)))


def in_threads(count: int, job: Callable[[int], Any]) -> list[Any]:
    """`job` in so many threads at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(job, range(count), timeout=60))


class Meter:
    """A call that takes a moment, and how many of them were in flight at once in the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = self.peak = 0

    async def call(self) -> int:
        with self._lock:
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
        await asyncio.sleep(0.002)
        with self._lock:
            self._in_flight -= 1
        return 1


def test_loops_in_threads_keep_to_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "2")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "2")
    meter, manager = Meter(), integration.get_concurrency_manager()

    async def many() -> int:
        return sum(await asyncio.gather(*(manager.call_with_limit(meter.call()) for _ in range(20))))

    assert in_threads(4, lambda _: asyncio.run(many())) == [20] * 4
    assert meter.peak == 2
    assert manager.get_metrics()["total_ai_calls"] == 80


def test_thread_that_comes_later_is_not_kept_waiting_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run asks for its next slot when a call has ended, as a pipeline does; a short one comes in between."""
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "1")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "1")
    meter, manager, has_begun = Meter(), integration.get_concurrency_manager(), threading.Event()
    is_done = threading.Event()

    async def long() -> int:
        async def one_after_the_other() -> None:
            while not is_done.is_set() and manager.metrics["total_ai_calls"] < 2_000:
                await manager.call_with_limit(meter.call())
                has_begun.set()

        await asyncio.gather(*(one_after_the_other() for _ in range(3)))
        return int(manager.metrics["total_ai_calls"])

    async def short() -> int:
        has_begun.wait(10)
        for _ in range(3):
            await manager.call_with_limit(meter.call())
        is_done.set()
        return 3

    calls = in_threads(2, lambda number: asyncio.run(long() if number == 0 else short()))
    assert calls[0] < 1_000
    assert meter.peak == 1


def test_loop_that_was_left_with_calls_in_flight_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "1")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "1")
    manager, meter, left = integration.get_concurrency_manager(), Meter(), asyncio.new_event_loop()
    has_begun, may_go = threading.Event(), threading.Event()

    async def leave() -> None:
        left.pending = left.create_task(manager.call_with_limit(asyncio.Event().wait()))  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        has_begun.set()
        may_go.wait(10)

    async def come() -> int:
        waiting = asyncio.ensure_future(manager.call_with_limit(meter.call()))
        await asyncio.sleep(0)
        may_go.set()
        return await asyncio.wait_for(waiting, 10)

    def second() -> int:
        has_begun.wait(10)
        return asyncio.run(come())

    assert in_threads(2, lambda number: second() if number else left.run_until_complete(leave()))[1] == 1
    left.pending.cancel()  # type: ignore[attr-defined]
    left.run_until_complete(asyncio.sleep(0))
    left.close()


def test_spaces_are_tagged_in_several_threads_at_once() -> None:
    def tag(number: int) -> dict[str, Any]:
        wiki = Wiki(15, words=f"words of {number}")
        service = integration.BulkTaggingService(wiki, Agent())
        return asyncio.run(service.tag_space(space_key="DOCS", page_ids=wiki.ids, task_id=f"t{number}"))

    assert [result["success"] for result in in_threads(4, tag)] == [15] * 4
    assert integration.get_concurrency_manager().metrics["total_ai_calls"] == 12
    assert integration.get_ai_cache().get_stats()["size"] == 60


REFUSALS: dict[str, Callable[[], Exception]] = {
    "openai": lambda: openai.RateLimitError("Rate limit reached", response=REFUSAL, body=None),  # type: ignore[arg-type]
    "httpx": lambda: httpx.HTTPStatusError("refused", request=POST, response=REFUSAL),
    "status_code": lambda: MarkedError(status_code=429),
    "status": lambda: MarkedError(status=429),
    "http_status": lambda: MarkedError(http_status="429"),
    "response": lambda: MarkedError(response=REFUSAL),
    "words": lambda: Exception("429 Too Many Requests"),
    "words alone": lambda: RuntimeError("Rate limit exceeded, slow down"),
    "name alone": type("RateLimitError", (Exception,), {}),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusal_is_known_however_it_is_raised(kind: str) -> None:
    agent = Agent(fail_first=[REFUSALS[kind](), REFUSALS[kind]()])
    done = process(Wiki(15), agent)
    assert [page["status"] for page in done["results"]] == ["tagged"] * 15
    assert done["concurrency_metrics"]["rate_limit_errors"] == 2
    metrics = integration.get_concurrency_manager().get_metrics()
    assert (metrics["rate_limit_errors"], metrics["total_ai_calls"]) == (2, 3)
    assert metrics["retries"] >= 2


def test_time_out_of_the_agent_s_own_is_no_refusal() -> None:
    done = process(Wiki(5), Agent(fail_first=[TimeoutError()]))
    assert done["errors"] == done["concurrency_metrics"]["rate_limit_errors"] == 0


FORMS: dict[str, Callable[[list[str]], str]] = {
    "by id": lambda ids: json.dumps(dict.fromkeys(ids, TAGS)),
    "objects by id": lambda ids: json.dumps({page_id: {"tags": TAGS} for page_id in ids}),
    "list": lambda ids: json.dumps([{"page_id": page_id, "tags": TAGS} for page_id in ids]),
    "ids as numbers": lambda ids: json.dumps([{"page_id": int(page_id), "tags": TAGS} for page_id in ids]),
    "wrapped": lambda ids: json.dumps({"results": [{"page_id": page_id, "tags": TAGS} for page_id in ids]}),
    "prose": lambda ids: f"Here you are:\n\n{json.dumps(dict.fromkeys(ids, TAGS))}\n\nAnything else?",
    "fences": lambda ids: f"```json\n{json.dumps(dict.fromkeys(ids, TAGS), indent=2)}\n```",
    "lines": lambda ids: "\n".join(f"{page_id}: alpha, beta" for page_id in ids),
}


@pytest.mark.parametrize("form", FORMS)
def test_answer_is_read_in_any_form(form: str) -> None:
    agent = Agent(lambda prompt: FORMS[form](ids_of(prompt)))
    done = process(Wiki(7), agent)
    assert [page["tags"] for page in done["results"]] == [TAGS] * 7
    assert len(agent.prompts) == 2


@pytest.mark.parametrize("answer", ["", "I am afraid I cannot do that.", "garbage", "not json", "{}", "null", '{"1": '])
def test_rubbish_ends_as_errors(answer: str) -> None:
    done = process(Wiki(3), Agent(lambda prompt: answer))
    assert [(page["status"], page["tags"]) for page in done["results"]] == [("error", [])] * 3
    assert done["errors"] == 3


def test_page_that_an_answer_leaves_out_gets_no_other_page_s_tags() -> None:
    """An agent that says the same whatever it is asked, as one with a cache of its own may."""
    done = process(Wiki(5), Agent(lambda prompt: json.dumps(dict.fromkeys("1234", TAGS))))
    assert [page["status"] for page in done["results"]] == ["tagged"] * 4 + ["error"]
    assert done["results"][4]["tags"] == []


def test_pages_that_say_the_same_are_pages_of_their_own() -> None:
    class Copies(Wiki):
        async def get_page(self, page_id: Any) -> dict[str, Any]:
            return {"id": page_id, "title": "Test", "body": "Test", "version": 1}

    agent = Agent()
    first, second = (process(Copies(15), agent, task_id=task_id) for task_id in ("one", "two"))
    assert [page["status"] for page in first["results"]] == ["tagged"] * 15
    assert (len(agent.prompts), first["cache_stats"]["hit_rate"], second["cache_stats"]["hit_rate"]) == (3, 0.0, 1.0)


def test_thousand_pages_and_then_all_from_the_cache() -> None:
    wiki, agent, told = Wiki(1_000), Agent(), list[tuple[int, int]]()
    first = process(wiki, agent, on_progress=lambda processed, total: told.append((processed, total)))
    assert (first["processed"], first["errors"], len(agent.prompts)) == (1_000, 0, 200)
    assert told == [(number, 1_000) for number in range(1, 1_001)]
    second = process(wiki, agent, task_id="again")
    assert second["cache_stats"]["hit_rate"] == 1.0
    assert second["concurrency_metrics"]["total_ai_calls"] == 0
    json.dumps([first, second])


def test_stop_after_three_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BATCH_SIZE": "1", "AI_CONCURRENCY": "1", "MAX_AI_CONCURRENCY": "1"}.items():
        monkeypatch.setenv(f"TAG_SPACE_{name}", value)
    told: list[int] = []
    done = process(
        Wiki(50), Agent(), on_progress=lambda processed, total: told.append(processed), check_stop=lambda: len(told) > 2
    )
    assert 3 <= done["processed"] <= 5
    assert done["errors"] == 0


def test_task_is_watched_and_stopped_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_BATCH_SIZE", "1")
    wiki, seen = FullWiki(2_000), dict[str, Any]()

    def watch() -> None:
        while not integration.TASK_PROGRESS.get("T", {}).get("processed"):
            threading.Event().wait(0.001)
        seen.update(integration.TASK_PROGRESS["T"], active=integration.ACTIVE_TASKS["T"])
        integration.ACTIVE_TASKS["T"] = False

    def tag() -> dict[str, Any]:
        agent = Agent(latency_s=0.002)
        return asyncio.run(integration.BulkTaggingService(wiki, agent).tag_space(space_key="DOCS", task_id="T"))

    result = in_threads(2, lambda number: watch() if number else tag())[0]
    assert (seen["total"], seen["active"]) == (2_000, True)
    assert 0 < result["processed"] < result["total"] == 2_000
    assert result["processed"] == result["success"] == len(result["details"])
    assert not integration.ACTIVE_TASKS.get("T")


def test_metrics_are_a_mapping_that_can_be_written_as_json() -> None:
    manager = integration.get_concurrency_manager()
    assert isinstance(manager.metrics, Mapping)
    assert json.loads(json.dumps(manager.get_metrics())) == dict(manager.metrics)


def test_log_files_are_written_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = logging.getLogger().handlers[:]
    monkeypatch.setenv("TAG_SPACE_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    wiki = Wiki(15, broken=("7",))
    process(wiki, Agent(fail_first=[REFUSALS["openai"]()]))
    failing = Agent(lambda prompt: RuntimeError("HTTP 503"))
    process(Wiki(2, words="other"), integration.AIProviderRouter(failing, Agent()), task_id="again")
    logging.getLogger("the.host").warning("its key is sk-planted-0123456789")
    router, app = (Path(tmp_path, "logs", name).read_text("utf-8") for name in ("ai_router.log", "app.log"))
    assert {"ROUTER", "429", "BACKOFF", "THROTTLE", "FALLBACK"} <= set(re.findall(r"\[([A-Z0-9_]+)\]", router))
    summaries = [line for line in app.splitlines() if "[OPTIMIZATION_SUMMARY]" in line]
    assert len(summaries) == 2
    assert "tag_space_performance" in summaries[0]
    assert "task=night processed=15 errors=1 hit_rate=0.0000 rate_limit_errors=1" in summaries[0]
    assert "task=again" in summaries[1]
    assert "sk-planted" not in router + app
    monkeypatch.delenv("TAG_SPACE_LOG_DIR")
    integration.get_ai_cache()
    assert logging.getLogger().handlers == handlers
