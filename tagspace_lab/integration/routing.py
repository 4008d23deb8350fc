"""One prompt at a time over two providers: `AIProviderRouter`."""

from __future__ import annotations

import asyncio
import random
import time

from tagspace_lab.errors import InputError
from tagspace_lab.integration.concurrency import FALLBACK, PRIMARY, ConcurrencyManager
from tagspace_lab.integration.failures import read_failure
from tagspace_lab.integration.hosts import Agent, check_method, name_of, settle
from tagspace_lab.integration.state import shared
from tagspace_lab.pipeline.marks import Marks
from tagspace_lab.policy.retries import backoff_s
from tagspace_lab.policy.text import estimate_tokens
from tagspace_lab.records import Cost, Outcome

__all__ = ["AIProviderRouter"]

_PASSING = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.UNREACHABLE})


class AIProviderRouter:
    """Asks `primary`, and `fallback` where that fails or cools down after a refusal.

    >>> import asyncio
    >>> class Agent:
    ...     def __init__(self, answer):
    ...         self.answer = answer
    ...     async def generate(self, prompt):
    ...         if self.answer is None:
    ...             raise RuntimeError("429 Too Many Requests")
    ...         return self.answer
    >>> asyncio.run(AIProviderRouter(Agent(None), Agent("from the fallback")).generate("Hello"))
    'from the fallback'
    """

    def __init__(self, primary: Agent, fallback: Agent | None = None) -> None:
        self.primary = primary
        self.fallback = fallback
        for agent in (primary, fallback):
            if agent is not None:
                check_method(agent, "generate")
        self.name = name_of(primary)
        self._rng = random.Random(time.time_ns())  # noqa: S311 - jitter
        self._marks = Marks()

    async def generate(self, prompt: str) -> str:
        """The first answer to be had.

        When both fail, and an error may pass (429, 5xx, time-out, no connection), both are asked again, at most
        `TAG_SPACE_MAX_ATTEMPTS` times in all. Raises the error of the provider that was asked last.
        """
        state = shared()
        manager = state.manager
        manager.calls += 1
        number, tries = manager.calls, 0
        for round_ in range(1, state.settings.max_attempts + 1):
            errors: list[Exception] = []
            for lane, agent in self._lanes(manager):
                tries += 1
                try:
                    return await self._ask(manager, lane, agent, prompt, number, tries)
                except InputError:
                    raise
                except Exception as failure:  # whatever a host's agent raises
                    errors.append(failure)
            may_pass = any(read_failure(failure).outcome in _PASSING for failure in errors)
            if not may_pass or round_ == state.settings.max_attempts:
                raise errors[-1]
            await asyncio.sleep(backoff_s(round_, self._rng))
        raise AssertionError("a setting lets nothing be tried")

    def _lanes(self, manager: ConcurrencyManager) -> list[tuple[str, Agent]]:
        """The providers to ask, in this order."""
        if self.fallback is None:
            return [(PRIMARY, self.primary)]
        lanes = [(PRIMARY, self.primary), (FALLBACK, self.fallback)]
        return lanes[::-1] if manager.cools_down(PRIMARY) and not manager.cools_down(FALLBACK) else lanes

    async def _ask(
        self, manager: ConcurrencyManager, lane: str, agent: Agent, prompt: str, number: int, tries: int
    ) -> str:
        if lane == FALLBACK:
            self._marks.on_fallback(manager.at_s(), FALLBACK, number, "its turn after the primary, or instead of it")
        timeout_s = shared().settings.request_timeout_s
        cost = Cost(max(1, estimate_tokens(prompt)), 1)

        async def ask() -> str:
            async with asyncio.timeout(timeout_s):
                return await settle(agent.generate(prompt), f"{type(agent).__name__}.generate()")

        return await manager.call(lane, ask, number, tries, cost)
