from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import Awaitable

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.integration import ConcurrencyManager, get_concurrency_manager
from tagspace_lab.twin.clock import run_virtual
from tests.integration.hosts import Agent, RateLimitError


async def answer(text: str = "answer", latency_s: float = 0.0) -> str:
    await asyncio.sleep(latency_s)
    return text


async def fail(error: Exception) -> str:
    raise error


def limited(manager: ConcurrencyManager, awaitable: Awaitable[str]) -> str:
    return asyncio.run(manager.call_with_limit(awaitable))


def test_results_and_exceptions_pass_through() -> None:
    manager = get_concurrency_manager()
    assert limited(manager, answer("one")) == "one"
    assert asyncio.run(manager.call_with_limit(answer)) == "answer"
    with pytest.raises(KeyError, match="mine"):
        limited(manager, fail(KeyError("mine")))
    assert manager.get_metrics()["total_ai_calls"] == 3
    assert manager.metrics["errors"] == 1


def test_it_is_one_for_the_process_until_a_setting_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = get_concurrency_manager()
    assert get_concurrency_manager() is manager
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "5")
    monkeypatch.setenv("TAG_SPACE_OF_THE_HOST", "its own business")
    assert get_concurrency_manager().current_concurrency == 5


def test_reloaded_module_begins_anew() -> None:
    manager = get_concurrency_manager()
    manager.record_retry()
    module = importlib.reload(importlib.import_module("tagspace_lab.integration"))
    assert module.get_concurrency_manager().metrics["retries"] == 0


def test_calls_in_flight_keep_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "4")
    agent = Agent(lambda prompt: prompt, latency_s=1.0)
    manager = get_concurrency_manager()

    async def main() -> list[str]:
        return await asyncio.gather(*(manager.call_with_limit(agent.generate(str(number))) for number in range(20)))

    assert run_virtual(main) == [str(number) for number in range(20)]
    assert agent.peak == 4
    assert manager.current_concurrency == 4


def test_recorded_refusals_lower_the_concurrency_to_one_at_least() -> None:
    manager = get_concurrency_manager()
    assert manager.current_concurrency == 3
    seen = []
    for _ in range(5):
        manager.record_rate_limit_error()
        seen.append(manager.current_concurrency)
    assert seen == [2, 1, 1, 1, 1]
    assert manager.metrics["rate_limit_errors"] == 5


def test_successes_raise_it_again() -> None:
    manager = get_concurrency_manager()

    async def main() -> int:
        manager.record_rate_limit_error()
        for _ in range(30):
            await asyncio.gather(*(manager.call_with_limit(answer("x", 1.0)) for _ in range(4)))
        return manager.current_concurrency

    assert run_virtual(main) > 3


def test_refused_call_lowers_it_and_waits_for_what_was_asked() -> None:
    manager = get_concurrency_manager()

    async def main() -> float:
        with pytest.raises(RateLimitError):
            await manager.call_with_limit(fail(RateLimitError("4")))
        await manager.call_with_limit(answer())
        return asyncio.get_running_loop().time()

    assert 4 <= run_virtual(main) < 6
    assert manager.metrics["rate_limit_errors"] == 1


def test_records_are_counted_in_a_live_mapping() -> None:
    manager = get_concurrency_manager()
    metrics = manager.metrics
    manager.record_retry()
    manager.record_fallback()
    manager.record_rate_limit_error()
    assert (metrics["retries"], metrics["fallback_switches"], metrics["rate_limit_errors"]) == (1, 1, 1)
    assert metrics["current_concurrency"] == manager.current_concurrency == 2
    assert metrics["max_concurrency"] == 10
    assert json.loads(json.dumps(manager.get_metrics())) == metrics


def test_loop_may_close_under_calls_in_flight() -> None:
    manager = get_concurrency_manager()

    async def leave() -> None:
        tasks = [asyncio.create_task(manager.call_with_limit(answer("x", 60))) for _ in range(9)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    for _ in range(3):
        asyncio.run(leave())
        assert limited(manager, answer("alive")) == "alive"


def test_limited_call_within_a_limited_call_needs_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "1")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "1")
    manager = get_concurrency_manager()

    async def outer() -> str:
        return await manager.call_with_limit(answer("inner"))

    async def main() -> str:
        async with asyncio.timeout(5):
            return await manager.call_with_limit(outer())

    assert run_virtual(main) == "inner"
    assert manager.metrics["total_ai_calls"] == 1


def test_cancelled_wait_leaves_no_coroutine_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_AI_CONCURRENCY", "1")
    monkeypatch.setenv("TAG_SPACE_MAX_AI_CONCURRENCY", "1")
    manager = get_concurrency_manager()

    async def main() -> None:
        first = asyncio.create_task(manager.call_with_limit(answer("x", 5)))
        second = asyncio.create_task(manager.call_with_limit(answer("y", 5)))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.wait([second])
        assert await first == "x"
        assert await manager.call_with_limit(answer("z")) == "z"

    run_virtual(main)


def test_what_is_no_awaitable_is_named() -> None:
    with pytest.raises(InputError, match="given str; give it an awaitable"):
        limited(get_concurrency_manager(), "answer")  # type: ignore[arg-type]


def test_refusals_are_marked_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tagspace_lab")
    with pytest.raises(RateLimitError):
        limited(get_concurrency_manager(), fail(RateLimitError("2")))
    assert "[429]" in caplog.text
    assert "[BACKOFF]" in caplog.text
    assert "SECRET" not in caplog.text
