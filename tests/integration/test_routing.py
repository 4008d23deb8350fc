from __future__ import annotations

import asyncio
import logging

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.integration import AIProviderRouter, get_concurrency_manager
from tagspace_lab.twin.clock import run_virtual
from tests.integration.hosts import Agent, RateLimitError


def generate(router: AIProviderRouter) -> tuple[str, float]:
    async def main() -> tuple[str, float]:
        return await router.generate("Hello"), asyncio.get_running_loop().time()

    return run_virtual(main)


def say(text: str) -> Agent:
    return Agent(lambda prompt: text)


@pytest.mark.parametrize("error", [RateLimitError("60"), RuntimeError("no"), TimeoutError(), ConnectionError()])
def test_fallback_answers_where_the_primary_fails(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tagspace_lab")
    primary = Agent(lambda prompt: error)
    assert generate(AIProviderRouter(primary, say("fallback"))) == ("fallback", 0.0)
    assert get_concurrency_manager().metrics["fallback_switches"] == 1
    assert get_concurrency_manager().metrics["total_ai_calls"] == 1
    assert "[FALLBACK]" in caplog.text
    assert "SECRET" not in caplog.text


def test_primary_answers_alone_where_it_can() -> None:
    fallback = say("fallback")
    assert generate(AIProviderRouter(primary=say("primary"), fallback=fallback)) == ("primary", 0.0)
    assert not fallback.prompts


def test_primary_that_cools_down_is_passed_by() -> None:
    primary = Agent(lambda prompt: "primary", fail_first=[RateLimitError("60")])
    router = AIProviderRouter(primary, say("fallback"))

    async def main() -> list[str]:
        return [await router.generate("Hello") for _ in range(3)]

    assert run_virtual(main) == ["fallback"] * 3
    assert len(primary.prompts) == 1


def test_both_are_asked_again_where_the_errors_may_pass() -> None:
    primary = Agent(lambda prompt: "primary", fail_first=[Exception("HTTP 503")])
    answer, took_s = generate(AIProviderRouter(primary, Agent(lambda prompt: RuntimeError("no"))))
    assert answer == "primary"
    assert 0.5 <= took_s < 1


def test_last_error_is_raised_in_the_end() -> None:
    agent = Agent(lambda prompt: Exception("HTTP 503"))
    with pytest.raises(Exception, match="HTTP 503"):
        generate(AIProviderRouter(agent))
    assert len(agent.prompts) == 4
    with pytest.raises(KeyError, match="b"):
        generate(AIProviderRouter(Agent(lambda prompt: KeyError("a")), Agent(lambda prompt: KeyError("b"))))


def test_plain_function_is_named() -> None:
    class Plain:
        def generate(self, prompt: str) -> str:
            return "x"

    with pytest.raises(InputError, match=r"Plain.generate\(\) returned str"):
        generate(AIProviderRouter(Plain(), say("fallback")))  # type: ignore[arg-type]
