"""What a host application brings: its Confluence client and its agent, and how the pipeline sees them."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tagspace_lab.errors import InputError
from tagspace_lab.integration.answers import read_answer
from tagspace_lab.integration.failures import read_failure
from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.policy.retries import backoff_s
from tagspace_lab.records import Cost, Outcome, Page, Reply

__all__ = ["HAS_SLOT", "Agent", "AgentModel", "HostConfluence", "HostPages", "check_method", "name_of", "settle"]

HAS_SLOT: ContextVar[bool] = ContextVar("tagspace_lab_has_slot", default=False)
"""Set while a call is in flight: a limited call that it makes in turn must not wait for a slot of its own."""

_FETCHERS = 8
_MOST_FETCHES = 4

T = TypeVar("T")


class HostConfluence(Protocol):
    """The host's client of its wiki."""

    async def get_page(self, page_id: Any, /) -> dict[str, Any]:
        """`{"id", "title", "body", "version"}`; whatever it raises makes that one page an error."""


class Agent(Protocol):
    """The host's client of a model."""

    async def generate(self, prompt: str, /) -> str:
        """The model's answer to `prompt`; what it raises is read for a status, headers and words."""


def check_method(host: object, name: str) -> Callable[..., Any]:
    """The method of a host's object; InputError where it has none."""
    method = getattr(host, name, None)
    if not callable(method):
        raise InputError(f"{type(host).__name__} has no method {name}(); give it `async def {name}(...)`")
    return method  # type: ignore[no-any-return]  # whatever the host made it


async def settle(value: Awaitable[T], what: str) -> T:
    """The result of what a host's method returned; InputError where that was no awaitable."""
    if not inspect.isawaitable(value):
        raise InputError(f"{what} returned {type(value).__name__}, not an awaitable: make it `async def`")
    return await value


def name_of(agent: object) -> str:
    """What tells one agent's answers from another's in the cache: its kind, and the name of its model if it has one."""
    named = (getattr(agent, attribute, None) for attribute in ("name", "model", "model_name"))
    kind = type(agent)
    return "/".join([f"{kind.__module__}.{kind.__qualname__}", *(name for name in named if isinstance(name, str))])


class AgentModel:
    """An agent as a model of the pipeline: one string goes out, and whatever comes back becomes a reply.

    An error of which nothing is known may be the fault of one page: each page is given a second try after it, and then
    the batch is split to find that page. `before` is awaited ahead of each call.
    """

    def __init__(self, agent: Agent, timeout_s: float, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self._generate = check_method(agent, "generate")
        self.name = name_of(agent)
        self._what = f"{type(agent).__name__}.generate()"
        self._timeout_s = timeout_s
        self._before = before
        self._tried_again: set[str] = set()

    async def send(self, prompt: Prompt) -> Reply:
        """Ask once; never raises for what the agent does."""
        if self._before is not None:
            await self._before()
        token = HAS_SLOT.set(True)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await settle(self._generate(f"{prompt.system}\n\n{prompt.user}"), self._what)
        except InputError:
            raise
        except Exception as error:  # whatever a host's agent raises
            return self._judge(read_failure(error), prompt.page_ids)
        finally:
            HAS_SLOT.reset(token)
        return Reply(Outcome.OK, 200, read_answer(answer, prompt.page_ids), used=Cost())

    def _judge(self, reply: Reply, page_ids: tuple[str, ...]) -> Reply:
        if reply.outcome is not Outcome.REFUSED or reply.status or self._tried_again.issuperset(page_ids):
            return reply
        self._tried_again.update(page_ids)
        return Reply(Outcome.OVERLOADED, message=reply.message)


@dataclass
class HostPages:
    """The pages with the given ids as a listing, eight at a time, each once.

    `on_failed` is told the id of each that could not be read, and why. `ids` has the host's own ids by the text of
    each, in the order given.
    """

    confluence: HostConfluence
    page_ids: Iterable[Any]
    timeout_s: float
    rng: random.Random
    on_failed: Callable[[str, str], None]
    ids: dict[str, Any] = field(init=False)
    titles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.page_ids, str | bytes):
            raise InputError(f"page_ids is one text, {self.page_ids!r}; give a list of ids")
        self._get_page = check_method(self.confluence, "get_page")
        self.ids = {}
        for page_id in self.page_ids:
            self.ids.setdefault(str(page_id), page_id)

    async def listings(self, space_key: str) -> AsyncIterator[list[Page]]:
        """Pages in the order of their ids, less those that cannot be read."""
        names = list(self.ids)
        for start in range(0, len(names), _FETCHERS):
            async with asyncio.TaskGroup() as group:
                fetching = [group.create_task(self._fetch(name)) for name in names[start : start + _FETCHERS]]
            if pages := [page for task in fetching if (page := task.result()) is not None]:
                yield pages

    async def _fetch(self, name: str) -> Page | None:
        """A page; None where it cannot be read. One that is refused for now is asked for again."""
        for attempt in range(1, _MOST_FETCHES + 1):
            try:
                async with asyncio.timeout(self.timeout_s):
                    found = await settle(self._get_page(self.ids[name]), f"{type(self.confluence).__name__}.get_page()")
                page = _read_page(name, found)
            except InputError:
                raise
            except Exception as error:  # whatever a host's client raises
                reply = read_failure(error)
                if reply.outcome is not Outcome.RATE_LIMITED or attempt == _MOST_FETCHES:
                    self.on_failed(name, f"get_page: {reply.message}")
                    return None
            else:
                self.titles[name] = page.title
                return page
            asked_s = reply.rate_limit.retry_after_s or 0.0
            await asyncio.sleep(max(asked_s, backoff_s(attempt, self.rng)))
        raise AssertionError("no attempt was the last one")


def _read_page(name: str, found: Any) -> Page:
    """A host's dict as a page. Raises TypeError where it is none."""
    if not isinstance(found, Mapping):
        raise TypeError("get_page() returned no dict")
    body = found.get("body", found.get("content"))
    for form in ("storage", "view", "value"):
        if isinstance(body, Mapping) and form in body:
            body = body[form]
    version = found.get("version")
    number = str(version.get("number") if isinstance(version, Mapping) else version)
    return Page(
        name,
        str(found.get("title") or ""),
        body if isinstance(body, str) else "",
        int(number) if number.isdecimal() and len(number) < 19 else 1,
    )
