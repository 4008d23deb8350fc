"""One pass of the tagging job over one live space: the pipeline, with labels written and every step journaled.

Resuming is running again with what the journal knows: pages that ended well at the version they still have are
not looked at, answers that were paid for are not asked for, and labels are read again before any is written.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tagspace_lab.clients.confluence import Confluence
from tagspace_lab.clients.stores import Store
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.live.kept import KeptAnswers
from tagspace_lab.live.task import Request, result_dict
from tagspace_lab.pipeline.cache import ResultCache
from tagspace_lab.pipeline.journal import Journal, PageEnd, TaskState
from tagspace_lab.pipeline.labels import LabelWriter
from tagspace_lab.pipeline.pipeline import Pipeline, RunResult
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.policy.prices import Price, spent_usd
from tagspace_lab.records import Attempt, Outcome, Page, Status, Tagging
from tagspace_lab.settings import Settings

__all__ = ["Counters", "Services", "TagJob", "TagResult"]

_TOLD_EVERY_S = 0.5
_GOOD = frozenset({Status.TAGGED, Status.CACHED, Status.SKIPPED})


@dataclass(frozen=True, slots=True)
class Services:
    """What a job works with. `site` names the wiki, `store` is the cache (None: without one).

    `prices` are those of the models by their provider (`primary`, `fallback`), None where none is known.
    """

    confluence: Confluence
    primary: Endpoint
    fallback: Endpoint | None
    store: Store | None
    journal: Journal
    rng: random.Random
    wall_clock: Callable[[], float]
    site: str = ""
    prices: Mapping[str, Price | None] = field(default_factory=dict)


@dataclass(slots=True)
class Counters:
    """What is told of a task while it runs, over all its calls and pages in this process.

    `current_concurrency` is how many calls at once the throttle allowed the latest one; `usd` is US dollars, None once
    something has no known price.
    """

    processed: int = 0
    errors: int = 0
    labels_added: int = 0
    total_ai_calls: int = 0
    rate_limit_errors: int = 0
    fallback_switches: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    current_concurrency: float = 0.0
    usd: float | None = 0.0

    def on_attempt(self, attempt: Attempt, prices: Mapping[str, Price | None]) -> None:
        self.total_ai_calls += attempt.number == 1
        self.rate_limit_errors += attempt.outcome is Outcome.RATE_LIMITED
        self.fallback_switches += attempt.provider == "fallback"
        self.input_tokens += attempt.input_tokens
        self.output_tokens += attempt.output_tokens
        self.current_concurrency = attempt.window
        spent = spent_usd([attempt], prices)
        self.usd = None if self.usd is None or spent is None else self.usd + spent

    def on_page(self, end: PageEnd) -> None:
        self.processed += 1
        self.errors += end.status is Status.ERROR
        self.labels_added += len(end.added)


@dataclass(slots=True)
class TagResult:
    """What became of a task.

    `ends` has every page of it once, in the order of the listing, but for those that a stop left undone; those that an
    earlier process ended are among them.
    """

    task_id: str
    request: Request
    settings: Settings
    run: RunResult
    state: TaskState = TaskState.RUNNING
    ends: list[PageEnd] = field(default_factory=list, repr=False)
    total: int = 0
    skipped_by_whitelist: int = 0
    absent_pages: tuple[str, ...] = ()
    """Ids of the whitelist that the space does not list; empty where its listing broke off."""
    resumed_pages: int = 0
    usd: float | None = 0.0
    """What the calls of this process cost, in US dollars; None where a price is not known."""

    @property
    def errors(self) -> int:
        """Pages that ended as errors."""
        return sum(end.status is Status.ERROR for end in self.ends)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the result that every way to run a task gives, and the run's numbers beside it."""
        told = result_dict(
            self.task_id,
            self.ends,
            request=self.request,
            total=self.total,
            skipped_by_whitelist=self.skipped_by_whitelist,
        )
        stats, metrics = self.run.cache_stats, self.run.concurrency_metrics
        numbers = {
            "state": str(self.state),
            "settings": self.settings.to_variables(),
            "makespan_s": self.run.makespan_s,
            "broke_off": self.run.broke_off,
            "absent_pages": list(self.absent_pages),
            "resumed_pages": self.resumed_pages,
            "usd": self.usd,
            "cache_stats": asdict(stats) | {"hit_rate": stats.hit_rate},
            "concurrency_metrics": asdict(metrics) | {"fallback_switches": metrics.fallbacks},
        }
        return told | numbers


class TagJob:
    """One task over one space. Make it, and call :meth:`run` once, inside a running event loop.

    The journal holds the task already: by `begin`, or by `reopen` where it `is_resumed`. `listeners` are told of
    every attempt as it ends, `trace` of the whole run; `on_progress` gets (pages done, pages known) after every page.
    """

    def __init__(
        self,
        task_id: str,
        request: Request,
        services: Services,
        settings: Settings,
        *,
        is_resumed: bool = False,
        trace: TraceWriter | None = None,
        listeners: Sequence[Callable[[Attempt], None]] = (),
        on_progress: Callable[[int, int], None] | None = None,
        check_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.counters = Counters()
        self._task_id = task_id
        self._request = request
        self._services = services
        self._journal = services.journal
        self._writer = LabelWriter(services.confluence)
        self._trace = trace
        self._listeners: list[Callable[[Attempt], None]] = [*([trace] if trace is not None else ()), *listeners]
        self._settings = settings
        self._on_progress = on_progress
        self._check_stop = check_stop
        self._listed: dict[str, int] = {}  # pages of this task by their place in the listing
        self._pages: dict[str, Page] = {}  # those to be tagged in this run, without their bodies
        self._skipped: set[str] = set()
        self._resumed: set[str] = set()
        self._result = TagResult(task_id, request, settings, RunResult(task_id))
        self._told_s = -math.inf
        self._before = services.journal.pages(task_id) if is_resumed else {}
        self._pipeline = self._wire(is_resumed)

    def _wire(self, is_resumed: bool) -> Pipeline:
        request, services, settings = self._request, self._services, self._settings
        rules = request.rules(settings)
        router = Router(
            services.primary,
            services.fallback,
            settings=settings,
            rules=rules,
            rng=services.rng,
            record=self._record,
        )
        # A task that does not see the whole space, or is a rehearsal, must not make room in the cache.
        may_drop = request.apply and request.pages is None and not is_resumed
        answers = KeptAnswers(services.store if settings.cache_enabled else None, services.journal, self._task_id)
        return Pipeline(
            self,
            router,
            ResultCache(answers, f"{services.site}/{request.space}", self._task_id, may_drop=may_drop),
            settings=settings,
            rules=rules,
            model_name=services.primary.model.name,
            result=self._result.run,
            check_stop=self._check_stop,
            deliver=self._deliver,
        )

    async def run(self) -> TagResult:
        """Tag the space. Raises ConfluenceError where it cannot be read at all, JournalError where nothing is kept."""
        try:
            await self._services.confluence.who_am_i()
            if self._trace is not None:
                self._begin_trace(self._trace)
            await self._pipeline.run(self._request.space)
            if self._trace is not None:
                self._trace.end(self._result.run)
        except Exception as error:
            self._close(TaskState.FAILED, {"error": str(error)})
            raise
        except BaseException:
            self._close(TaskState.STOPPED, {"error": "it was broken off"})
            raise
        result = self._result
        result.state = self._state()
        result.ends.sort(key=lambda end: self._listed[end.page_id])
        result.total = len(self._listed) + len(self._skipped)
        result.skipped_by_whitelist, result.resumed_pages = len(self._skipped), len(self._resumed)
        if not result.run.broke_off:
            result.absent_pages = tuple(sorted((self._request.pages or frozenset()) - self._listed.keys()))
        result.usd = self.counters.usd
        numbers = result.to_dict()
        del numbers["details"]  # the journal has them page by page
        self._close(result.state, numbers)
        return result

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """The listings of the wiki, less what the whitelist leaves out and what was done before."""
        async for pages in self._services.confluence.listings(space_key):
            yield [page for page in pages if self._is_to_be_tagged(page)]
            self._tell_counters(at_once=True)

    def _is_to_be_tagged(self, page: Page) -> bool:
        if self._request.pages is not None and page.id not in self._request.pages:
            self._skipped.add(page.id)
            return False
        self._listed.setdefault(page.id, len(self._listed))
        if page.id in self._resumed:
            return False
        before = self._before.get(page.id)
        if before is not None and before.status in _GOOD and before.version == page.version:
            self._resumed.add(page.id)
            self._note(before)
            return False
        self._pages.setdefault(page.id, replace(page, body=""))
        return True

    async def _deliver(self, tagging: Tagging) -> Tagging:
        """Write the labels that a page lacks, or see which they are; journal how it ended."""
        page = self._pages[tagging.page_id]
        end = PageEnd(page.id, page.version, page.title, tagging.status, tagging.labels, reason=tagging.reason)
        if tagging.labels:
            act = self._writer.write if self._request.apply else self._writer.preview
            try:
                change = await act(page.id, tagging.labels)
                end = replace(end, existing=change.existing, added=change.added)
                if change.missing:
                    end = replace(end, status=Status.ERROR, reason=_word_missing(change.missing))
            except ConfluenceError as error:
                end = replace(end, status=Status.ERROR, reason=str(error))
        if end.status is not Status.STOPPED:  # such a page was not processed, and is none of the ends
            self._journal.keep_page(self._task_id, end)
            self._note(end)
        return replace(tagging, status=end.status, reason=end.reason)

    def _note(self, end: PageEnd) -> None:
        self._result.ends.append(end)
        self.counters.on_page(end)
        self._tell_counters()
        if self._on_progress is not None:
            self._on_progress(len(self._result.ends), len(self._listed))

    def _tell_counters(self, *, at_once: bool = False) -> None:
        """Into the journal, for those who watch; not more often than they would look."""
        now_s = asyncio.get_running_loop().time()
        if at_once or now_s >= self._told_s + _TOLD_EVERY_S:
            self._told_s = now_s
            self._journal.note(self._task_id, total=len(self._listed), counters=asdict(self.counters))

    def _begin_trace(self, trace: TraceWriter) -> None:
        services = self._services
        endpoints = [services.primary] if services.fallback is None else [services.primary, services.fallback]
        trace.begin(
            space=self._request.space,
            pages=None,
            settings=self._settings,
            rules=self._request.rules(self._settings),
            models={endpoint.name: endpoint.model.name for endpoint in endpoints},
            began_wall_s=services.wall_clock(),
        )

    def _record(self, attempt: Attempt) -> None:
        self._result.run.attempts.append(attempt)
        self.counters.on_attempt(attempt, self._services.prices)
        self._tell_counters()
        for listener in self._listeners:
            listener(attempt)

    def _state(self) -> TaskState:
        statuses = {tagging.status for tagging in self._result.run.results}
        is_cut_short = bool(self._result.run.broke_off)
        if Status.STOPPED in statuses or (is_cut_short and self._check_stop is not None and self._check_stop()):
            return TaskState.STOPPED
        return TaskState.FAILED if Status.ERROR in statuses or is_cut_short else TaskState.DONE

    def _close(self, state: TaskState, result: dict[str, Any]) -> None:
        self._tell_counters(at_once=True)
        self._journal.end(self._task_id, state, result, self._services.wall_clock())


def _word_missing(labels: tuple[str, ...]) -> str:
    return f"Confluence does not state what was written: {', '.join(labels)}. It may not allow such names."
