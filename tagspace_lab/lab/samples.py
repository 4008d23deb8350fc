"""A sample of pages, tagged by whatever model one is given: what measuring a live model is made of.

No clock and no connection here: the model, the pages and the luck are passed in, so that all of it runs against the
twin in virtual time as it does against a real endpoint.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cached_property

from tagspace_lab.clients.models import Model
from tagspace_lab.errors import InputError
from tagspace_lab.pipeline.cache import ResultCache
from tagspace_lab.pipeline.pipeline import Pipeline, RunResult
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.policy.prompts import LabelRules, Prompt
from tagspace_lab.policy.text import page_text
from tagspace_lab.records import Attempt, Outcome, Page, Reply, Space
from tagspace_lab.settings import Settings

__all__ = ["Budget", "Sample", "draw_sample", "tag_pages"]

_KEY = "SAMPLE"


@dataclass(frozen=True)
class Sample:
    """Some pages of a space, in an order of their own: a space that the twin can serve, and a listing."""

    pages: tuple[Page, ...]
    vocabulary: tuple[str, ...]
    name: str = "sample"
    key: str = _KEY
    last_day: int = 0
    content_hash: str = "sample"

    def __len__(self) -> int:
        return len(self.pages)

    def page(self, index: int, day: int = 0) -> Page:
        return self.pages[index]

    def index_of(self, page_id: str) -> int:
        return self._places[page_id]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {page.id: index for index, page in enumerate(self.pages)}

    def gold(self, page_id: str) -> tuple[str, ...]:
        """The labels that the page carries."""
        return self.pages[self.index_of(page_id)].labels

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        yield list(self.pages)


def draw_sample(space: Space, count: int, rng: random.Random) -> Sample:
    """`count` pages that have a text, in random order; fewer where there are no more. InputError for none."""
    order = list(range(len(space)))
    rng.shuffle(order)
    pages: list[Page] = []
    for index in order:
        page = space.page(index)
        if page_text(page.body):
            pages.append(page)
        if len(pages) == count:
            break
    if not pages:
        raise InputError(f"the space {space.name} has no page with a text: name another")
    return Sample(tuple(pages), tuple(space.vocabulary))


@dataclass
class Budget:
    """A model that answers `calls` requests at most; what comes after them is told that the money is used up."""

    model: Model
    calls: int
    asked: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        return self.model.name

    async def send(self, prompt: Prompt) -> Reply:
        if self.asked >= self.calls:
            return Reply(Outcome.EXHAUSTED, message=f"the budget of {self.calls} calls is used up")
        self.asked += 1
        return await self.model.send(prompt)


async def tag_pages(
    sample: Sample,
    endpoint: Endpoint,
    settings: Settings,
    rules: LabelRules,
    rng: random.Random,
    record: Callable[[Attempt], None] | None = None,
) -> RunResult:
    """Tag every page of `sample` at one endpoint, without a cache, as a run does. Nothing is written anywhere."""
    result = RunResult("sample")

    def note(attempt: Attempt) -> None:
        result.attempts.append(attempt)
        if record is not None:
            record(attempt)

    router = Router(endpoint, None, settings=settings, rules=rules, rng=rng, record=note)
    pipeline = Pipeline(
        sample,
        router,
        ResultCache(None, _KEY, result.task_id),
        settings=settings,
        rules=rules,
        model_name=endpoint.model.name,
        result=result,
        total=len(sample),
    )
    return await pipeline.run(_KEY)
