from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.integration import (
    AIProviderRouter,
    OptimizedTagSpacePipeline,
    get_ai_cache,
    get_concurrency_manager,
)
from tagspace_lab.twin.clock import run_virtual
from tests.integration.hosts import Agent, RateLimitError, Wiki, ids_of


def process(wiki: Any, agent: Any, page_ids: Any = None, **options: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        pipeline = OptimizedTagSpacePipeline(wiki, agent)
        return await pipeline.process_space(page_ids=wiki.ids if page_ids is None else page_ids, **options)

    result = run_virtual(main)
    json.dumps(result)
    return result


def statuses(result: dict[str, Any]) -> dict[Any, str]:
    return {page["page_id"]: page["status"] for page in result["results"]}


def test_fifteen_pages_take_three_calls_and_a_second_run_none() -> None:
    wiki, agent = Wiki(15), Agent()
    first, second = process(wiki, agent, task_id="one"), process(wiki, agent, task_id="two")
    assert first["task_id"] == "one"
    assert (first["processed"], first["errors"], first["concurrency_metrics"]["total_ai_calls"]) == (15, 0, 3)
    assert [page["page_id"] for page in first["results"]] == wiki.ids
    assert first["results"][0]["tags"] == ["alpha", "beta"]
    assert first["cache_stats"]["hit_rate"] == 0.0
    assert second["cache_stats"]["hit_rate"] == 1.0
    assert (second["processed"], second["concurrency_metrics"]["total_ai_calls"]) == (15, 0)
    assert len(agent.prompts) == 3
    assert get_ai_cache().get_stats()["hits"] == 15
    assert get_concurrency_manager().metrics["total_ai_calls"] == 3


def test_cache_that_is_off_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_CACHE_ENABLED", "false")
    wiki, agent = Wiki(5), Agent()
    assert [process(wiki, agent)["cache_stats"]["hit_rate"] for _ in range(2)] == [0.0, 0.0]
    assert len(agent.prompts) == 2


def test_page_that_cannot_be_read_is_an_error_once() -> None:
    result = process(Wiki(6, broken=("2", "6")), Agent())
    assert [page_id for page_id, status in statuses(result).items() if status == "error"] == ["2", "6"]
    assert (result["processed"], result["errors"], len(result["results"])) == (6, 2, 6)
    assert result["results"][1]["reason"] == "get_page: LookupError"
    assert result["results"][1]["tags"] == []


def test_page_that_the_wiki_refuses_for_now_is_asked_for_again() -> None:
    class Limited(Wiki):
        async def get_page(self, page_id: Any) -> dict[str, Any]:
            if page_id == "3" or page_id not in self.asked:
                self.asked.append(page_id)
                raise RateLimitError("3")
            return await super().get_page(page_id)

    wiki = Limited(3)
    assert statuses(process(wiki, Agent())) == {"1": "tagged", "2": "tagged", "3": "error"}
    assert wiki.asked.count("3") == 4


def test_ids_come_back_as_they_were_given_each_once() -> None:
    result = process(Wiki(3), Agent(), [3, 1, 3, "1", 2])
    assert list(statuses(result)) == [3, 1, 2]
    assert result["total"] == 3
    assert process(Wiki(3), Agent(), [])["results"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("plain text", "tagged"),
        ({"storage": {"value": "<p>text</p>"}}, "tagged"),
        ({"view": {"value": "<p>text</p>"}}, "tagged"),
        ({"value": "text"}, "tagged"),
        (None, "skipped"),
        ("", "skipped"),
        ({}, "skipped"),
        (7, "skipped"),
    ],
)
def test_body_takes_many_forms(body: Any, status: str) -> None:
    class Odd(Wiki):
        async def get_page(self, page_id: Any) -> dict[str, Any]:
            return {"id": page_id, "title": None, "body": body, "version": {"number": "4"}}

    assert statuses(process(Odd(1), Agent())) == {"1": status}


def test_page_that_is_no_dict_is_an_error() -> None:
    class Odd(Wiki):
        async def get_page(self, page_id: Any) -> Any:
            return None if page_id == "1" else await super().get_page(page_id)

    assert statuses(process(Odd(2), Agent())) == {"1": "error", "2": "tagged"}


def test_bare_answers_are_asked_for_page_by_page() -> None:
    agent = Agent(lambda prompt: '["howto"]')
    result = process(Wiki(5), agent)
    assert {tuple(page["tags"]) for page in result["results"]} == {("howto",)}
    assert result["errors"] == 0


def test_one_bad_page_costs_no_other() -> None:
    agent = Agent(
        lambda prompt: ValueError("no") if "4" in ids_of(prompt) else '["x"]' if len(ids_of(prompt)) == 1 else "{}"
    )
    result = process(Wiki(5), agent)
    assert [page_id for page_id, status in statuses(result).items() if status == "error"] == ["4"]


def test_agent_that_always_fails_ends_every_page_soon() -> None:
    async def main() -> float:
        await OptimizedTagSpacePipeline(Wiki(15), Agent(lambda prompt: RuntimeError("no"))).process_space(Wiki(15).ids)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) < 10


def test_refusals_cost_no_page() -> None:
    agent = Agent(fail_first=[RateLimitError(), RateLimitError("2"), Exception("429 Too Many Requests")])
    result = process(Wiki(15), agent)
    assert (result["processed"], result["errors"]) == (15, 0)
    assert result["concurrency_metrics"]["rate_limit_errors"] == 3
    assert get_concurrency_manager().metrics["rate_limit_errors"] == 3
    assert "SECRET" not in json.dumps(result)


def test_router_gives_the_pipeline_both_its_providers() -> None:
    primary, fallback = Agent(lambda prompt: RuntimeError("down")), Agent()
    result = process(Wiki(10), AIProviderRouter(primary, fallback))
    assert (result["processed"], result["errors"]) == (10, 0)
    assert result["concurrency_metrics"]["fallback_switches"] >= 2
    assert get_concurrency_manager().metrics["fallback_switches"] == result["concurrency_metrics"]["fallback_switches"]


def test_agent_that_limits_itself_does_not_wait_for_its_own_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "1")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "1")
    inner = Agent()

    class Wrapped:
        async def generate(self, prompt: str) -> str:
            return await get_concurrency_manager().call_with_limit(inner.generate(prompt))

    assert process(Wiki(10), Wrapped())["errors"] == 0


def test_what_the_agent_records_itself_counts_for_the_run() -> None:
    class Recording(Agent):
        async def generate(self, prompt: str) -> str:
            get_concurrency_manager().record_rate_limit_error()
            get_concurrency_manager().record_fallback()
            return await super().generate(prompt)

    metrics = process(Wiki(15), Recording())["concurrency_metrics"]
    assert (metrics["total_ai_calls"], metrics["rate_limit_errors"], metrics["fallback_switches"]) == (3, 3, 3)


def test_agent_that_routes_itself_counts_for_the_run() -> None:
    router = AIProviderRouter(Agent(lambda prompt: RuntimeError("no")), Agent())

    class Wrapped:
        async def generate(self, prompt: str) -> str:
            return await router.generate(prompt)

    result = process(Wiki(15), Wrapped())
    assert (result["errors"], result["concurrency_metrics"]["fallback_switches"]) == (0, 3)


def test_two_runs_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "3")
    agent = Agent(latency_s=1.0)

    async def main() -> list[dict[str, Any]]:
        pipelines = [OptimizedTagSpacePipeline(Wiki(30, words=words), agent) for words in ("a", "b")]
        return await asyncio.gather(*(pipeline.process_space(Wiki(30).ids) for pipeline in pipelines))

    results = run_virtual(main)
    assert [(result["processed"], result["errors"]) for result in results] == [(30, 0)] * 2
    assert agent.peak == 3


def test_run_that_is_stopped_leaves_the_other_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "3")

    async def main() -> list[dict[str, Any]]:
        stopped = Agent(latency_s=1.0)
        runs = [
            OptimizedTagSpacePipeline(Wiki(60, words="a"), stopped).process_space(
                Wiki(60).ids, check_stop=lambda: len(stopped.prompts) > 3
            ),
            OptimizedTagSpacePipeline(Wiki(60, words="b"), Agent(latency_s=1.0)).process_space(Wiki(60).ids),
        ]
        return await asyncio.gather(*runs)

    first, second = run_virtual(main)
    assert first["processed"] < 60
    assert (second["processed"], second["errors"]) == (60, 0)


def test_cancelled_run_leaves_the_throttle_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "3")

    async def main() -> dict[str, Any]:
        agent = Agent(latency_s=1.0)
        run = asyncio.create_task(OptimizedTagSpacePipeline(Wiki(60), agent).process_space(Wiki(60).ids))
        await asyncio.sleep(1.5)
        run.cancel()
        await asyncio.wait([run])
        assert run.cancelled()
        assert agent.in_flight == 0
        return await OptimizedTagSpacePipeline(Wiki(60), agent).process_space(Wiki(60).ids)

    assert run_virtual(main)["errors"] == 0


def test_progress_is_told_page_by_page() -> None:
    told: list[tuple[int, int]] = []
    process(Wiki(6, broken=("3",)), Agent(), on_progress=lambda processed, total: told.append((processed, total)))
    assert told == [(number, 6) for number in range(1, 7)]


def test_progress_may_be_async() -> None:
    told: list[int] = []

    async def on_progress(processed: int, total: int) -> None:
        await asyncio.sleep(0)
        told.append(processed)

    process(Wiki(6), Agent(), on_progress=on_progress)
    assert sorted(told) == [1, 2, 3, 4, 5, 6]


def _async(check: Callable[[], bool]) -> Callable[[], Any]:
    async def asked() -> bool:
        await asyncio.sleep(0)
        return check()

    return asked


@pytest.mark.parametrize("wrap", [lambda check: check, _async], ids=["plain", "async"])
def test_stop_ends_the_run_after_what_is_in_flight(wrap: Callable[..., Any]) -> None:
    agent, told = Agent(), list[int]()
    result = process(
        Wiki(200),
        agent,
        check_stop=wrap(lambda: len(agent.prompts) >= 3),
        on_progress=lambda processed, total: told.append(processed),
    )
    assert 0 < result["processed"] < 100
    assert told[-1] == result["processed"]
    assert len(result["results"]) == result["total"] == 200
    assert set(statuses(result).values()) == {"tagged", "stopped"}
    assert result["errors"] == 0


def test_stop_from_the_start_asks_nothing() -> None:
    agent = Agent()
    assert process(Wiki(9), agent, check_stop=lambda: True)["processed"] == 0
    assert not agent.prompts


def test_failing_callback_is_raised_as_it_is() -> None:
    def on_progress(processed: int, total: int) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        process(Wiki(30), Agent(), on_progress=on_progress)


def test_plain_functions_are_named() -> None:
    class Plain:
        def generate(self, prompt: str) -> str:
            return "x"

        def get_page(self, page_id: Any) -> dict[str, Any]:
            return {"body": "x"}

    with pytest.raises(InputError, match=r"Plain.generate\(\) returned str, not an awaitable: make it `async def`"):
        process(Wiki(30), Plain())
    with pytest.raises(InputError, match=r"Plain.get_page\(\) returned dict"):
        process(Plain(), Agent(), ["1"])
    with pytest.raises(InputError, match=r"has no method generate\(\)"):
        process(Wiki(1), object())
    with pytest.raises(InputError, match="page_ids is one text"):
        process(Wiki(1), Agent(), "12")


def test_slow_agent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_REQUEST_TIMEOUT_S", "1")
    result = process(Wiki(1), Agent(latency_s=3600))
    assert result["errors"] == 1
    assert "TimeoutError" in result["results"][0]["reason"]


def test_it_runs_in_an_ordinary_loop_again_and_again() -> None:
    for words in ("a", "b", "c"):
        wiki = Wiki(10, words=words)
        result = asyncio.run(OptimizedTagSpacePipeline(wiki, Agent()).process_space(page_ids=wiki.ids))
        assert (result["processed"], result["errors"]) == (10, 0)
