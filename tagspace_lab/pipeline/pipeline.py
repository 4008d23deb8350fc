"""The map: how a space flows through the stages. Read this first.

    listings -> pages -> texts -> cache -> batches -> router (throttle, provider) -> taggings -> results
       _list          `------- _feed -------'           `-------- _work --------'    `- _deliver -'

Four kinds of task in one TaskGroup, joined by bounded queues, so that a slow provider slows the listing
down and no more than a few listings of texts are held: what grows with the space is a line a page.
Every page that is listed comes out exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from tagspace_lab.errors import ConfluenceError
from tagspace_lab.pipeline.cache import ASK, SHARED, CacheStats, ResultCache
from tagspace_lab.pipeline.marks import tell_end
from tagspace_lab.pipeline.metrics import ConcurrencyMetrics, summarise_attempts
from tagspace_lab.pipeline.router import Router
from tagspace_lab.policy.batching import Packer
from tagspace_lab.policy.isolation import addresses_model
from tagspace_lab.policy.prompts import LabelRules, text_key
from tagspace_lab.policy.text import cut, estimate_tokens, page_text
from tagspace_lab.records import Attempt, Batch, Page, Rates, Status, Tagging, Text
from tagspace_lab.settings import Settings

__all__ = ["Deliver", "PageSource", "Pipeline", "RunResult"]

Deliver = Callable[[Tagging], Awaitable[Tagging]]
"""What is done with a page's tagging before it counts (labels written, say); gives what became of the page."""

_STOP_POLL_S = 0.25
_DELIVERERS = 4
_logger = logging.getLogger("tagspace_lab.pipeline.router")


class PageSource(Protocol):
    """Where pages come from, a listing (some pages) at a time."""

    def listings(self, space_key: str) -> AsyncIterator[list[Page]]: ...


@dataclass(slots=True)
class RunResult:
    """What a run did. `results` has every listed page once, in the order in which they ended.

    `broke_off` says why the listing ended early; empty if the whole space was listed.
    `makespan_s` is the time from the start of the run to the end of its last page; `learned` is what the
    throttle found out of the primary's limits.
    """

    task_id: str
    results: list[Tagging] = field(default_factory=list, repr=False)
    attempts: list[Attempt] = field(default_factory=list, repr=False)
    cache_stats: CacheStats = field(default_factory=CacheStats)
    fallbacks: int = 0
    makespan_s: float = 0.0
    broke_off: str = ""
    learned: Rates = field(default_factory=Rates)

    @property
    def processed(self) -> int:
        """Pages that came out, however they ended."""
        return len(self.results)

    @property
    def errors(self) -> int:
        """Pages that ended as errors."""
        return sum(tagging.status is Status.ERROR for tagging in self.results)

    @property
    def concurrency_metrics(self) -> ConcurrencyMetrics:
        return summarise_attempts(self.attempts, self.fallbacks)


class Pipeline:
    """One run over one space. Make it, and call :meth:`run` once, inside a running event loop.

    `model_name` enters the cache keys. `read_text` turns a page's body into normalised text (a caller may
    remember texts between runs). A page of whose title and text `is_suspect` is true travels alone, so that no other
    page's labels are at the mercy of what it says. Pages of one title and text share an answer, unless `share` is
    false. `total` is the number of pages, where it is known beforehand. Four pages at a time go through `deliver`,
    where one is given; it must not raise for what happens to a single page.
    """

    def __init__(
        self,
        source: PageSource,
        router: Router,
        cache: ResultCache,
        *,
        settings: Settings,
        rules: LabelRules,
        model_name: str,
        result: RunResult,
        read_text: Callable[[str], str] = page_text,
        is_suspect: Callable[[str, str], bool] = addresses_model,
        share: bool = True,
        total: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        check_stop: Callable[[], bool] | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self._source = source
        self._router = router
        self._cache = cache
        self._settings = settings
        self._rules = rules
        self._model_name = model_name
        self._result = result
        self._read_text = read_text
        self._is_suspect = is_suspect
        self._share = share
        self._total = total
        self._on_progress = on_progress
        self._check_stop = check_stop
        self._deliver = deliver
        self._ended = False
        self._listed_all = False
        self._listing: asyncio.Timeout | None = None
        self._seen: set[str] = set()
        self._pages: asyncio.Queue[list[Page] | None] = asyncio.Queue(1)
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue(settings.max_ai_concurrency)
        self._taggings: asyncio.Queue[Tagging | None] = asyncio.Queue(_DELIVERERS)

    async def run(self, space_key: str) -> RunResult:
        """Tag every page of the space. Raises ConfluenceError only if not even the first listing came."""
        self._router.begin(self._result.task_id)
        try:
            await self._run_stages(space_key)
        except ExceptionGroup as group:
            raise _innermost(group) from None  # a caller's callback failed, or a defect: as it was raised
        return self._close()

    async def _run_stages(self, space_key: str) -> None:
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(self._watch_failures())]
            if self._check_stop is not None:
                watches.append(group.create_task(self._watch_stop(self._check_stop)))
            async with asyncio.TaskGroup() as last_stage:
                if self._deliver is not None:
                    for _ in range(_DELIVERERS):
                        last_stage.create_task(self._deliver_pages(self._deliver))
                async with asyncio.TaskGroup() as stages:
                    stages.create_task(self._list(space_key))
                    stages.create_task(self._feed())
                    for _ in range(self._settings.max_ai_concurrency):
                        stages.create_task(self._work())
                if self._deliver is not None:
                    for _ in range(_DELIVERERS):
                        await self._taggings.put(None)
            for watch in watches:
                watch.cancel()

    async def _list(self, space_key: str) -> None:
        """Listings, one ahead of what is being read. The end of the run cuts the wait for the next one short."""
        fresh: list[Page] = []
        try:
            async with asyncio.timeout(0 if self._ended else None) as self._listing:
                async for pages in self._source.listings(space_key):
                    fresh = self._note(pages)
                    await self._pages.put(fresh)
                    fresh = []
            self._listed_all = True
        except TimeoutError:
            if not self._ended:
                raise
        except ConfluenceError as error:
            self._result.broke_off = str(error)
        finally:
            self._listing = None
        if fresh:
            await self._pages.put(fresh)
        await self._pages.put(None)

    def _note(self, pages: list[Page]) -> list[Page]:
        """The pages that were not listed before: some come twice if the space changes while it is read."""
        fresh = {page.id: page for page in pages if page.id not in self._seen}
        self._seen.update(fresh)
        return list(fresh.values())

    async def _feed(self) -> None:
        """Pages into batches; what needs no question ends here."""
        packer = Packer(self._settings.batch_size, self._settings.batch_tokens)
        while (pages := await self._pages.get()) is not None:
            for page in pages:
                prepared = self._prepare(page)
                if isinstance(prepared, Tagging):
                    await self._hand_on(prepared)
                elif prepared is not None:
                    for batch in self._pack(packer, prepared):
                        await self._batches.put(batch)
        for batch in packer.flush():
            await self._batches.put(batch)
        for _ in range(self._settings.max_ai_concurrency):
            await self._batches.put(None)

    def _prepare(self, page: Page) -> Text | Tagging | None:
        """The text to ask about, or the page's end if there is nothing to ask; None where it waits for an equal one."""
        body = cut(self._read_text(page.body), self._settings.page_tokens)
        if not body:
            return Tagging(page.id, Status.SKIPPED, reason="the page has no text")
        key = text_key(page.title, body, self._rules, self._model_name)
        if not self._share:
            key = f"{page.id}:{key}"
        text = Text(page.id, page.title, body, estimate_tokens(body), key, page.version)
        claim = self._cache.claim(text)
        if claim == ASK:
            return text
        return None if claim == SHARED else Tagging(page.id, Status.CACHED, tuple(claim))

    def _pack(self, packer: Packer, text: Text) -> Iterable[Batch]:
        """The batches that are ready now that `text` is here."""
        if not self._is_suspect(text.title, text.text):
            return packer.add(text)
        _logger.info("[ROUTER] page %s reads as if it addressed the model: it travels alone", text.page_id)
        return [Batch((text,))]

    async def _work(self) -> None:
        while (batch := await self._batches.get()) is not None:
            if self._check_stop is not None and not self._ended and self._check_stop():
                self._stop()
            texts = {text.page_id: text for text in batch.texts}
            async for taggings in self._router.tag(batch):
                # What was paid for is kept before anything else is waited for.
                settled = [self._cache.settle(texts[tagging.page_id], tagging) for tagging in taggings]
                for tagging in chain.from_iterable(settled):
                    await self._hand_on(tagging)

    async def _hand_on(self, tagging: Tagging) -> None:
        if self._deliver is None:
            self._finish(tagging)
        else:
            await self._taggings.put(tagging)

    async def _deliver_pages(self, deliver: Deliver) -> None:
        while (tagging := await self._taggings.get()) is not None:
            self._finish(await deliver(tagging))

    async def _watch_failures(self) -> None:
        """End the run when nothing has succeeded for the give-up time."""
        give_up_s = self._settings.give_up_s
        while True:
            await self._router.failing.wait()
            left_s = give_up_s - self._router.failing_s(asyncio.get_running_loop().time())
            if left_s <= 0:
                return self._end(Status.ERROR, f"nothing has succeeded for {give_up_s:g} s: the run was given up")
            await asyncio.sleep(left_s)

    async def _watch_stop(self, check_stop: Callable[[], bool]) -> None:
        """End the run when its caller says so."""
        while not check_stop():  # noqa: ASYNC110 - the caller's flag has no event
            await asyncio.sleep(_STOP_POLL_S)
        self._stop()

    def _stop(self) -> None:
        self._end(Status.STOPPED, "the run was stopped")

    def _end(self, status: Status, reason: str) -> None:
        self._ended = True
        self._router.end(status, reason)
        if self._listing is not None:
            self._listing.reschedule(0)

    def _finish(self, tagging: Tagging) -> None:
        self._result.results.append(tagging)
        if self._on_progress is not None:
            self._on_progress(len(self._result.results), max(self._total or 0, len(self._seen)))

    def _close(self) -> RunResult:
        result = self._result
        is_unread = bool(result.broke_off) and not result.results
        if not self._listed_all and not result.broke_off:
            result.broke_off = "the run ended before the listing did: there may be more pages"
        result.makespan_s = asyncio.get_running_loop().time() - self._router.began_s
        result.fallbacks = self._router.fallbacks
        result.learned = self._router.rates
        statuses = {tagging.status for tagging in result.results}
        whole = not self._ended and not result.broke_off and not statuses & {Status.STOPPED, Status.ERROR}
        self._cache.end_run(whole=whole)
        result.cache_stats = self._cache.stats
        tell_end(result)
        if is_unread:
            raise ConfluenceError(result.broke_off)
        return result


def _innermost(group: ExceptionGroup[Exception]) -> Exception:
    """The one error in a group of one, however deep; a group of several as it is."""
    error: Exception = group
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
