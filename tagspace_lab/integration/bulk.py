"""A whole space, or chosen pages of it, as a task that hosts can watch and stop: `BulkTaggingService`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from tagspace_lab.errors import InputError
from tagspace_lab.integration.failures import read_failure
from tagspace_lab.integration.hosts import Agent, HostConfluence, check_method, settle
from tagspace_lab.integration.spaces import SpaceRun
from tagspace_lab.integration.state import ACTIVE_TASKS, TASK_PROGRESS, shared
from tagspace_lab.live.task import Request, result_dict
from tagspace_lab.pipeline.journal import PageEnd
from tagspace_lab.pipeline.labels import Change, LabelWriter
from tagspace_lab.records import Status, Tagging

__all__ = ["BulkTaggingService"]

_LISTINGS = (
    *("list_pages", "get_space_pages", "get_pages_in_space", "get_all_pages_from_space"),
    *("list_space_pages", "get_page_ids", "get_all_pages", "get_pages"),
)
_KEPT_TASKS = 200


class BulkTaggingService:
    """Tags spaces through the host's own client and agent.

    Beyond `get_page`, `confluence` needs `async list_pages(space_key)` to tag a whole space (ids, or dicts with `id`;
    `get_space_pages`, `get_all_pages_from_space` and the like are taken as well), and, to write,
    `async add_labels(page_id, labels)`. Where it has `async get_labels(page_id)`, only what a page lacks is added.
    """

    def __init__(self, confluence: HostConfluence, agent: Agent) -> None:
        check_method(confluence, "get_page")
        check_method(agent, "generate")
        self._confluence = confluence
        self._agent = agent

    async def tag_space(
        self,
        space_key: str,
        page_ids: Iterable[Any] | None = None,
        dry_run: bool = True,
        task_id: str | None = None,
    ) -> dict[str, Any]:
        """Tag the pages with these ids, or all that the space lists; labels are written only if not `dry_run`.

        Returns `task_id`, `total`, `processed`, `success`, `errors`, `skipped_by_whitelist` (0), `dry_run`, `mode`,
        `whitelist_enabled` (False) and `details`: one dict a page with `page_id`, `title`, `status`, `tags`,
        `existing`, `added`, `reason`. Pages that a stop left undone are in `total` alone. InputError where a task of
        this id runs, or the host's client lacks a method that is needed.
        """
        name = str(task_id) if task_id is not None else f"{space_key}-{uuid.uuid4().hex[:12]}"
        if TASK_PROGRESS.get(name, {}).get("status") == "running":
            raise InputError(f"task {name!r} runs already: wait for it, or choose another task_id")
        if not dry_run:
            check_method(self._confluence, "add_labels")
        ACTIVE_TASKS.setdefault(name, True)
        progress = {"task_id": name, "space_key": space_key, "status": "running", "processed": 0, "total": 0}
        progress |= {"success": 0, "errors": 0, "dry_run": dry_run}
        _remember(name, progress)
        try:
            result = await self._tag(space_key, page_ids, dry_run, name, progress)
        except BaseException:
            progress["status"] = "failed"
            raise
        finally:
            ACTIVE_TASKS.pop(name, None)
        return result

    async def _tag(
        self, space_key: str, page_ids: Iterable[Any] | None, dry_run: bool, name: str, progress: dict[str, Any]
    ) -> dict[str, Any]:
        ids = await self._list(space_key) if page_ids is None else page_ids
        delivery = _Delivery(self._confluence, is_dry=dry_run)
        run = SpaceRun(shared(), self._confluence, self._agent, ids, deliver=delivery.deliver)
        delivery.ids = run.pages.ids
        progress["total"] = len(run.pages.ids)

        def on_progress(processed: int, total: int) -> None:
            progress.update(processed=processed, total=total, errors=run.errors, success=processed - run.errors)

        await run.run(name, on_progress, lambda: not ACTIVE_TASKS.get(name, True))
        ends = [
            delivery.end(tagging, run.pages.titles.get(tagging.page_id, ""))
            for tagging in run.taggings
            if tagging.status is not Status.STOPPED
        ]
        result = result_dict(name, ends, request=Request(space_key, apply=not dry_run), total=len(run.pages.ids))
        for detail in result["details"]:
            detail["page_id"] = run.pages.ids[detail["page_id"]]
        progress |= {key: result[key] for key in ("processed", "success", "errors")}
        progress["status"] = "done" if result["processed"] == result["total"] else "stopped"
        return result

    async def _list(self, space_key: str) -> list[Any]:
        methods = (getattr(self._confluence, name, None) for name in _LISTINGS)
        list_pages = next(filter(callable, methods), None)
        if list_pages is None:
            raise InputError(
                f"{type(self._confluence).__name__} cannot list a space: give page_ids, or a method "
                "`async def list_pages(space_key)` that returns ids"
            )
        listed: Any = list_pages(space_key)
        is_stream = isinstance(listed, AsyncIterable)
        found = [entry async for entry in listed] if is_stream else await settle(listed, "list_pages()")
        if isinstance(found, Mapping):
            found = found.get("results", found.get("pages"))
        return [_page_id(entry) for entry in found or ()]


class _HostLabels:
    """The labels of a host's pages, by the ids that the host gave."""

    def __init__(self, confluence: Any, ids: Mapping[str, Any]) -> None:
        self._confluence = confluence
        self._ids = ids

    async def labels(self, page_id: str) -> tuple[str, ...]:
        get_labels = getattr(self._confluence, "get_labels", None)
        return _names(await settle(get_labels(self._ids[page_id]), "get_labels()")) if callable(get_labels) else ()

    async def add_labels(self, page_id: str, labels: Sequence[str]) -> tuple[str, ...]:
        """What the host's client says that the page has then; where it says nothing it is believed."""
        stated = await settle(self._confluence.add_labels(self._ids[page_id], list(labels)), "add_labels()")
        return _names(stated) or tuple(labels)


class _Delivery:
    """Labels written page by page, or looked at where the run is dry, and how each page ended."""

    def __init__(self, confluence: Any, *, is_dry: bool) -> None:
        self._confluence = confluence
        self._is_dry = is_dry
        self._changes: dict[str, Change] = {}
        self.ids: dict[str, Any] = {}

    async def deliver(self, tagging: Tagging) -> Tagging:
        """An error where the host's client fails, or does not state what was written."""
        if not tagging.labels:
            return tagging
        writer = LabelWriter(_HostLabels(self._confluence, self.ids))
        try:
            change = await (writer.preview if self._is_dry else writer.write)(tagging.page_id, tagging.labels)
        except InputError:
            raise
        except Exception as error:  # whatever a host's client raises
            return replace(tagging, status=Status.ERROR, reason=f"labels: {read_failure(error).message}")
        self._changes[tagging.page_id] = change
        if change.missing:
            reason = f"the wiki does not state what was written: {', '.join(change.missing)}"
            return replace(tagging, status=Status.ERROR, reason=reason)
        return tagging

    def end(self, tagging: Tagging, title: str) -> PageEnd:
        change = self._changes.get(tagging.page_id, Change(tagging.page_id))
        existing, added = change.existing, change.added
        return PageEnd(tagging.page_id, 1, title, tagging.status, tagging.labels, existing, added, tagging.reason)


def _names(found: Any) -> tuple[str, ...]:
    """Names of labels: of strings, or of objects with a name, in a list or under `results`."""
    entries = found.get("results") if isinstance(found, Mapping) else found
    if not isinstance(entries, list | tuple | set):
        return ()
    return tuple(str(entry.get("name")) if isinstance(entry, Mapping) else str(entry) for entry in entries)


def _page_id(entry: Any) -> Any:
    page_id = entry.get("id", entry.get("page_id")) if isinstance(entry, Mapping) else entry
    if not isinstance(page_id, str | int):
        raise InputError(f"the listing holds a {type(entry).__name__} without an id; give ids, or dicts with `id`")
    return page_id


def _remember(name: str, progress: dict[str, Any]) -> None:
    """Note a task; the oldest of those that ended make room."""
    TASK_PROGRESS.pop(name, None)
    TASK_PROGRESS[name] = progress
    ended = [task for task, each in TASK_PROGRESS.items() if each.get("status") != "running"]
    for task in islice(ended, max(0, len(TASK_PROGRESS) - _KEPT_TASKS)):
        del TASK_PROGRESS[task]
    for task in [task for task in ACTIVE_TASKS if TASK_PROGRESS.get(task, {}).get("status") != "running"][
        :-_KEPT_TASKS
    ]:
        del ACTIVE_TASKS[task]
