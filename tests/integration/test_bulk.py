from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.integration import ACTIVE_TASKS, TASK_PROGRESS, BulkTaggingService
from tagspace_lab.twin.clock import run_virtual
from tests.integration.hosts import Agent, FullWiki, Wiki, by_id

KEYS = """
    task_id total processed success errors skipped_by_whitelist dry_run mode whitelist_enabled details
""".split()


def tag(wiki: Wiki, agent: Agent, **options: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        return await BulkTaggingService(wiki, agent).tag_space(space_key="DOCS", **options)

    result = run_virtual(main)
    json.dumps(result)
    return result


def test_result_counts_every_page() -> None:
    result = tag(Wiki(7, broken=("3",)), Agent(), page_ids=[1, 2, 3, 4, 5, 6, 7], task_id="t")
    assert set(KEYS) <= set(result)
    assert (result["task_id"], result["total"], result["processed"]) == ("t", 7, 7)
    assert (result["success"], result["errors"]) == (6, 1)
    assert result["success"] == sum(detail["status"] != "error" for detail in result["details"])
    assert (result["skipped_by_whitelist"], result["whitelist_enabled"], result["dry_run"]) == (0, False, True)
    assert [detail["page_id"] for detail in result["details"]] == [1, 2, 3, 4, 5, 6, 7]
    assert TASK_PROGRESS["t"] == {
        "task_id": "t",
        "space_key": "DOCS",
        "status": "done",
        "processed": 7,
        "total": 7,
        "success": 6,
        "errors": 1,
        "dry_run": True,
    }
    assert ACTIVE_TASKS == {}


def test_whole_space_is_listed_and_a_dry_run_writes_nothing() -> None:
    wiki = FullWiki(5, labels={"1": ["alpha"]})
    result = tag(wiki, Agent())
    assert result["total"] == 5
    assert not wiki.written
    assert (result["details"][0]["existing"], result["details"][0]["added"]) == (["alpha"], ["beta"])


def test_labels_are_added_once() -> None:
    wiki = FullWiki(5, labels={"1": ["alpha"], "2": ["alpha", "beta"]})
    tag(wiki, Agent(), dry_run=False)
    assert sorted(wiki.written) == [("1", ["beta"]), *((page_id, ["alpha", "beta"]) for page_id in "345")]
    tag(wiki, Agent(), dry_run=False)
    assert len(wiki.written) == 4


@pytest.mark.parametrize(
    "stated", [None, True, {"status": "ok"}, [], ["alpha", "beta"], {"results": [{"name": "alpha"}, {"name": "beta"}]}]
)
def test_what_the_host_s_client_says_of_a_write_is_compared(stated: Any) -> None:
    class Telling(FullWiki):
        async def add_labels(self, page_id: Any, labels: list[str]) -> Any:
            return stated

    assert tag(Telling(1), Agent(), dry_run=False)["errors"] == 0


def test_label_that_the_wiki_does_not_state_is_an_error() -> None:
    class Splitting(FullWiki):
        async def add_labels(self, page_id: Any, labels: list[str]) -> Any:
            return ["alpha", "be", "ta"]

    detail = tag(Splitting(1), Agent(), dry_run=False)["details"][0]
    assert (detail["status"], detail["added"]) == ("error", ["alpha"])
    assert detail["reason"] == "the wiki does not state what was written: beta"


def test_label_that_cannot_be_written_is_the_page_s_error() -> None:
    class ReadOnly(FullWiki):
        async def add_labels(self, page_id: Any, labels: list[str]) -> None:
            raise PermissionError("SECRET")

    result = tag(ReadOnly(2), Agent(), dry_run=False)
    assert (result["success"], result["errors"]) == (0, 2)
    assert "SECRET" not in json.dumps(result)


def test_what_the_host_s_client_lacks_is_named() -> None:
    with pytest.raises(InputError, match="Wiki cannot list a space: give page_ids"):
        tag(Wiki(), Agent())
    with pytest.raises(InputError, match=r"has no method add_labels\(\)"):
        tag(Wiki(), Agent(), page_ids=["1"], dry_run=False)


@pytest.mark.parametrize("name", ["list_pages", "get_space_pages", "get_pages_in_space", "get_all_pages_from_space"])
def test_listing_takes_many_forms(name: str) -> None:
    async def as_list(space_key: str) -> list[Any]:
        return ["1", {"page_id": "2"}]

    async def as_object(space_key: str) -> dict[str, Any]:
        return {"results": [{"id": 1}, {"id": 2}]}

    async def as_stream(space_key: str) -> Any:
        yield "1"
        yield "2"

    for listing in (as_list, as_object, as_stream):
        wiki = Wiki(5)
        setattr(wiki, name, listing)
        assert tag(wiki, Agent())["total"] == 2


def test_flag_stops_the_task() -> None:
    def say(prompt: str) -> str:
        ACTIVE_TASKS["t"] = False
        return by_id(prompt)

    result = tag(Wiki(200), Agent(say), page_ids=Wiki(200).ids, task_id="t")
    assert 0 < result["processed"] < result["total"] == 200
    assert result["processed"] == result["success"] == len(result["details"])
    assert TASK_PROGRESS["t"]["status"] == "stopped"
    assert tag(Wiki(5), Agent(), page_ids=Wiki(5).ids, task_id="t")["processed"] == 5


def test_flag_that_is_set_before_the_task_begins_stops_it() -> None:
    async def main() -> dict[str, Any]:
        task = asyncio.create_task(
            BulkTaggingService(Wiki(9), Agent()).tag_space("DOCS", page_ids=Wiki(9).ids, task_id="t")
        )
        ACTIVE_TASKS["t"] = False
        return await task

    assert run_virtual(main)["processed"] == 0


def test_progress_can_be_watched_while_it_runs() -> None:
    seen: list[tuple[int, int, str]] = []

    def say(prompt: str) -> str:
        progress = TASK_PROGRESS["t"]
        seen.append((progress["processed"], progress["total"], progress["status"]))
        assert ACTIVE_TASKS["t"] is True
        return by_id(prompt)

    tag(Wiki(40), Agent(say, latency_s=1), page_ids=Wiki(40).ids, task_id="t")
    assert seen[0] == (0, 40, "running")
    assert seen[-1][0] > 10


def test_task_runs_once_at_a_time_and_a_failed_one_says_so() -> None:
    async def main() -> None:
        service = BulkTaggingService(Wiki(9), Agent(latency_s=5))
        first = asyncio.create_task(service.tag_space("DOCS", page_ids=["1"], task_id="t"))
        await asyncio.sleep(1)
        with pytest.raises(InputError, match="task 't' runs already"):
            await service.tag_space("DOCS", page_ids=["1"], task_id="t")
        first.cancel()
        await asyncio.wait([first])

    run_virtual(main)
    assert TASK_PROGRESS["t"]["status"] == "failed"
    assert ACTIVE_TASKS == {}


def test_old_tasks_are_forgotten() -> None:
    async def main() -> None:
        service = BulkTaggingService(Wiki(1), Agent())
        for number in range(230):
            await service.tag_space("DOCS", page_ids=["1"], task_id=f"t{number}")

    run_virtual(main)
    assert len(TASK_PROGRESS) <= 201
    assert "t229" in TASK_PROGRESS
    assert "t0" not in TASK_PROGRESS
