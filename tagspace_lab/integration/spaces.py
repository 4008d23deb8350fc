"""The host's pages through the real pipeline: `OptimizedTagSpacePipeline`."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tagspace_lab.integration.concurrency import FALLBACK, PRIMARY, RUN
from tagspace_lab.integration.hosts import Agent, AgentModel, HostConfluence, HostPages, check_method
from tagspace_lab.integration.routing import AIProviderRouter
from tagspace_lab.integration.state import Shared, shared
from tagspace_lab.pipeline.cache import ResultCache
from tagspace_lab.pipeline.pipeline import Deliver, Pipeline, RunResult
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, Status, Tagging

__all__ = ["CheckStop", "OnProgress", "OptimizedTagSpacePipeline", "SpaceRun"]

OnProgress = Callable[[int, int], Any]
"""Called with (processed, total) after each page; a plain function or an async one."""
CheckStop = Callable[[], Any]
"""True to stop; a plain function or an async one."""

_STOP_POLL_S = 0.1


class OptimizedTagSpacePipeline:
    """Tags chosen pages through cache, batches, throttle and fallback.

    `confluence` has `async get_page(page_id) -> dict` (`id`, `title`, `body`, `version`), `agent` has
    `async generate(prompt) -> str`. An :class:`AIProviderRouter` as the agent gives the pipeline both its providers.
    Labels are free unless a `vocabulary` is given.
    """

    def __init__(self, confluence: HostConfluence, agent: Agent, *, vocabulary: Sequence[str] = ()) -> None:
        check_method(confluence, "get_page")
        check_method(agent, "generate")
        self._confluence = confluence
        self._agent = agent
        self._vocabulary = tuple(vocabulary)

    async def process_space(
        self,
        page_ids: Iterable[Any],
        task_id: str | None = None,
        on_progress: OnProgress | None = None,
        check_stop: CheckStop | None = None,
    ) -> dict[str, Any]:
        """Tag the pages; nothing is written.

        `results` has one dict a page, in the order of `page_ids`, an id that comes twice once: `page_id` (as it was
        given), `title`, `status` (`tagged`, `cached`, `skipped`: no text, `stopped`, `error`), `tags` and `reason`.
        `processed` counts those that were not stopped, `errors` those that failed. `cache_stats` and
        `concurrency_metrics` are of this run.
        """
        run = SpaceRun(shared(), self._confluence, self._agent, page_ids, vocabulary=self._vocabulary)
        await run.run(task_id, on_progress, check_stop)
        return run.summary()


@dataclass
class _Stop:
    """The host's check, plain or async, as a flag."""

    check: CheckStop | None
    is_set: bool = False
    _answer: Awaitable[Any] | None = None  # of an async check, not awaited yet
    _is_asking: bool = False

    def __call__(self) -> bool:
        """The flag, once a plain check was asked; what an async one returns is awaited by :meth:`ask`."""
        if self.check is not None and not (self.is_set or self._is_asking or self._answer is not None):
            answer = self.check()
            if inspect.isawaitable(answer):
                self._answer = answer
            else:
                self.is_set = bool(answer)
        return self.is_set

    async def ask(self) -> None:
        if self() or self._answer is None:
            return
        answer, self._answer, self._is_asking = self._answer, None, True
        try:
            self.is_set = bool(await answer)
        finally:
            self._is_asking = False

    async def watch(self) -> None:
        """Ask again and again, until it says so."""
        while not self.is_set:
            await self.ask()
            await asyncio.sleep(_STOP_POLL_S)

    def close(self) -> None:
        """An answer that nobody waits for any more is not awaited, and that is meant."""
        if inspect.iscoroutine(self._answer):
            self._answer.close()


class SpaceRun:
    """One run over chosen pages."""

    def __init__(
        self,
        state: Shared,
        confluence: HostConfluence,
        agent: Agent,
        page_ids: Iterable[Any],
        *,
        vocabulary: Sequence[str] = (),
        deliver: Deliver | None = None,
    ) -> None:
        self._state = state
        self._agent = agent
        self._rules = LabelRules(tuple(vocabulary), state.settings.max_labels)
        self._deliver = deliver
        self._rng = random.Random(time.time_ns())  # noqa: S311 - jitter
        self.pages = HostPages(confluence, page_ids, state.settings.request_timeout_s, self._rng, self._on_unread)
        self.result = RunResult("")
        self._on_progress: OnProgress | None = None
        self._processed = self.errors = 0
        self._counters: Counter[str] = Counter()

    async def run(self, task_id: str | None, on_progress: OnProgress | None, check_stop: CheckStop | None) -> None:
        """Raises what the host's callbacks raise."""
        self.result.task_id = str(task_id) if task_id is not None else f"task-{uuid.uuid4().hex[:12]}"
        self._on_progress = on_progress
        stop = _Stop(check_stop)
        token = RUN.set(self._counters)
        pipeline = self._pipeline(stop)
        try:
            await stop.ask()
            async with asyncio.TaskGroup() as self._group:
                watch = self._group.create_task(stop.watch()) if check_stop is not None else None
                await pipeline.run("")
                if watch is not None:
                    watch.cancel()
        except ExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            RUN.reset(token)
            stop.close()
        self._state.cache.count(self.result.cache_stats)

    @property
    def taggings(self) -> list[Tagging]:
        """How each page ended, in the order in which they were asked for."""
        ends = {tagging.page_id: tagging for tagging in self.result.results}
        missed = "the run was stopped"
        return [ends.get(page_id) or Tagging(page_id, Status.STOPPED, reason=missed) for page_id in self.pages.ids]

    def summary(self) -> dict[str, Any]:
        """What `process_space` returns."""
        taggings, result, manager = self.taggings, self.result, self._state.manager
        stats, measured, counted = result.cache_stats, result.concurrency_metrics, self._counters
        return {
            "task_id": result.task_id,
            "total": len(taggings),
            "processed": sum(tagging.status is not Status.STOPPED for tagging in taggings),
            "errors": sum(tagging.status is Status.ERROR for tagging in taggings),
            "results": [self._describe(tagging) for tagging in taggings],
            "cache_stats": {
                "hits": stats.hits,
                "misses": stats.misses,
                "hit_rate": stats.hit_rate,
                "size": stats.size,
            },
            "concurrency_metrics": {
                **{name: counted[name] for name in ("total_ai_calls", "rate_limit_errors", "retries")},
                "fallback_switches": counted["fallback_switches"],
                "attempts": measured.attempts,
                "peak_concurrency": measured.peak_concurrency,
                "mean_concurrency": measured.mean_concurrency,
                "current_concurrency": manager.current_concurrency,
                "max_concurrency": manager.max_concurrency,
            },
            "makespan_s": round(result.makespan_s, 3),
        }

    def _describe(self, tagging: Tagging) -> dict[str, Any]:
        return {
            "page_id": self.pages.ids[tagging.page_id],
            "title": self.pages.titles.get(tagging.page_id, ""),
            "status": str(tagging.status),
            "tags": list(tagging.labels),
            "reason": tagging.reason,
        }

    def _pipeline(self, stop: _Stop) -> Pipeline:
        state, settings = self._state, self._state.settings
        primary, fallback = self._agent, None
        if isinstance(self._agent, AIProviderRouter):
            primary, fallback = self._agent.primary, self._agent.fallback
            if "TAG_SPACE_FALLBACK" not in state.variables:
                settings = settings.with_changes(fallback="any-error")
        model = AgentModel(primary, settings.request_timeout_s, stop.ask)
        router = Router(
            Endpoint(PRIMARY, model, state.manager.run_throttle(PRIMARY)),
            self._fallback_endpoint(fallback, stop) if fallback is not None else None,
            settings=settings,
            rules=self._rules,
            rng=self._rng,
            record=self._record,
        )
        return Pipeline(
            self.pages,
            router,
            ResultCache(state.store, "", self.result.task_id, may_drop=False),
            settings=settings,
            rules=self._rules,
            model_name=model.name,
            result=self.result,
            share=False,  # as `get_ai_cache()`, which goes by the page's id, too
            total=len(self.pages.ids),
            on_progress=lambda processed, total: self._on_page(),
            check_stop=stop if stop.check is not None else None,
            deliver=self._deliver,
        )

    def _fallback_endpoint(self, agent: Agent, stop: _Stop) -> Endpoint:
        model = AgentModel(agent, self._state.settings.request_timeout_s, stop.ask)
        return Endpoint(FALLBACK, model, self._state.manager.run_throttle(FALLBACK))

    def _record(self, attempt: Attempt) -> None:
        self.result.attempts.append(attempt)
        self._state.manager.count_attempt(attempt)

    def _on_unread(self, page_id: str, reason: str) -> None:
        """A page that the pipeline never gets to see."""
        self.result.results.append(Tagging(page_id, Status.ERROR, reason=reason))
        self._report(is_error=True)

    def _on_page(self) -> None:
        status = self.result.results[-1].status
        if status is not Status.STOPPED:
            self._report(is_error=status is Status.ERROR)

    def _report(self, *, is_error: bool) -> None:
        """Tell the host of one page more."""
        self._processed += 1
        self.errors += is_error
        told = self._on_progress(self._processed, len(self.pages.ids)) if self._on_progress is not None else None
        if inspect.isawaitable(told):
            self._group.create_task(_wait_for(told))


async def _wait_for(told: Awaitable[Any]) -> None:
    await told


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """One of several errors, which are most often the same."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
