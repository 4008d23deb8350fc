from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tagspace_lab.pipeline.journal import Journal, Task, TaskState
from tests.fakes import examples
from tests.service.taggers import SlowTagger, use

KEYS = "task_id total processed success errors skipped_by_whitelist dry_run mode whitelist_enabled details".split()
TAG = "/bulk/tag-space/DOCS"


async def begin(client: httpx.AsyncClient, space: str = "DOCS", **body: Any) -> str:
    response = await client.post(f"/bulk/tag-space/{space}", json={"background": True} | body)
    assert response.status_code == 202, response.text
    task_id: str = response.json()["task_id"]
    assert response.headers["location"] == f"/bulk/tasks/{task_id}"
    return task_id


async def look(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    response = await client.get(f"/bulk/tasks/{task_id}")
    assert response.status_code == 200
    view: dict[str, Any] = response.json()
    return view


async def wait_for(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    await client.get(f"/bulk/tasks/{task_id}/events")  # ends with the task
    return await look(client, task_id)


def read_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if "data" in block
    ]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def test_answer_when_done_counts_the_whole_space(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        response = await client.post(TAG, json={"dry_run": True})
        result = response.json()
        assert response.status_code == 200
        assert set(KEYS) <= set(result)
        assert (result["total"], result["processed"], result["success"], result["errors"]) == (5, 5, 4, 1)
        assert result["success"] == sum(detail["status"] != "error" for detail in result["details"])
        assert (result["dry_run"], result["mode"]) == (True, "add")
        assert (result["skipped_by_whitelist"], result["whitelist_enabled"]) == (0, False)

    use(tmp_path, main, SlowTagger(broken=1))


def test_request_without_a_body_is_a_dry_run(tmp_path: Path) -> None:
    tagger = SlowTagger()

    async def main(client: httpx.AsyncClient) -> None:
        assert (await client.post(TAG)).json()["dry_run"] is True
        body = {"dry_run": False, "labels": ["b", "a", "b"]}
        assert (await client.post("/bulk/tag-space/~me.too", json=body)).json()["dry_run"] is False

    use(tmp_path, main, tagger, vocabulary=("x",))
    assert [(request.space, request.apply, request.labels) for _, request, _ in tagger.ran] == [
        ("DOCS", False, ("x",)),
        ("~me.too", True, ("b", "a")),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TAG, {"dryrun": True}),
        (TAG, {"dry_run": "yes"}),
        (TAG, {"mode": "remove"}),
        (TAG, {"mode": "suggest", "dry_run": False}),
        (TAG, {"labels": "a"}),
        (TAG, []),
        ("/bulk/tag-space/a%20b", {}),
        (f"/bulk/tag-space/{'x' * 300}", {}),
    ],
)
def test_wrong_request_is_refused_in_words(tmp_path: Path, path: str, body: Any) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        response = await client.post(path, json=body)
        assert response.status_code == 422
        assert response.json()["detail"]

    use(tmp_path, main)


def test_complaint_says_where_and_not_what(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        response = await client.post(TAG, json={"dry_run": "SECRET", "é": "SECRET"})
        assert response.status_code == 422
        assert response.json()["detail"] == (
            "dry_run: Input should be a valid boolean; \\xe9: Extra inputs are not permitted"
        )
        response = await client.post(TAG, content=b'{"dry_run": true}')
        assert response.json()["detail"].endswith("not sent as Content-Type: application/json")

    use(tmp_path, main)


@examples(60)
@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["dry_run", "background", "mode", "labels", "\ud800"]) | st.text(max_size=3),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    ).map(lambda document: json.dumps(document).encode()),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.sampled_from(["application/json", "text/plain", "", "application/json; charset=\u00ff"]),
)
def test_whatever_is_sent_is_answered(body: bytes, name: str, content_type: str) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        headers = {"content-type": content_type.encode("latin-1")}
        for method, path in (
            ("POST", TAG),
            ("POST", f"/bulk/tag-space/{quote(name, safe='')}"),
            ("GET", f"/bulk/tasks/{quote(name, safe='')}"),
            ("POST", f"/bulk/tasks/{quote(name, safe='')}/stop"),
        ):
            response = await client.request(method, path, content=body, headers=headers)  # type: ignore[arg-type]
            assert response.status_code in (200, 202, 400, 404, 405, 422, 503), response.text

    with TemporaryDirectory() as folder:
        use(Path(folder), main, SlowTagger(pages=1))


def test_deep_body_is_refused(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        for content in (b"[" * 60_000, b'{"a":' * 10_000, b'{"dry_run": ' + b"1" * 60_000 + b"}"):
            response = await client.post(TAG, content=content, headers={"content-type": "application/json"})
            assert response.status_code in (400, 422)

    use(tmp_path, main)


def test_background_task_is_watched_to_its_end(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        task_id = await begin(client)
        await asyncio.sleep(2.5)
        view = await look(client, task_id)
        assert (view["status"], view["processed"], view["total"], view["result"]) == ("running", 2, 5, None)
        view = await wait_for(client, task_id)
        assert (view["status"], view["processed"]) == ("done", 5)
        assert set(KEYS) <= set(view["result"])
        assert len(view["result"]["details"]) == 5
        assert [task["task_id"] for task in (await client.get("/bulk/tasks")).json()["tasks"]] == [task_id]

    use(tmp_path, main)


def test_tasks_run_one_at_a_time_in_turn(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        first, second = await begin(client), await begin(client)
        await asyncio.sleep(1.5)
        assert [(await look(client, task))["status"] for task in (first, second)] == ["running", "queued"]
        assert (await wait_for(client, second))["status"] == "done"
        assert asyncio.get_running_loop().time() == pytest.approx(10)

    use(tmp_path, main)


def test_queue_is_bounded(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        await begin(client)
        await asyncio.sleep(0.5)
        for _ in range(2):
            await begin(client)
        response = await client.post(TAG, json={})
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert len((await client.get("/bulk/tasks")).json()["tasks"]) == 3

    use(tmp_path, main, most_queued=2)


def test_stop_ends_a_running_task_and_one_that_waits(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        running, waiting = await begin(client), await begin(client)
        waiter = asyncio.create_task(client.post(TAG, json={}))
        await asyncio.sleep(2.5)
        queued = (await client.get("/bulk/tasks")).json()["tasks"][0]["task_id"]
        stopped = [(await client.post(f"/bulk/tasks/{task}/stop")).json() for task in (waiting, queued, running)]
        assert [(view["status"], view["is_stopping"]) for view in stopped] == [
            ("stopped", False),
            ("stopped", False),
            ("running", True),
        ]
        assert (await waiter).status_code == 409
        view = await wait_for(client, running)
        assert (view["status"], view["processed"], view["result"]["processed"]) == ("stopped", 2, 2)
        again = await client.post(f"/bulk/tasks/{running}/stop")
        assert (again.status_code, again.json()["status"]) == (200, "stopped")

    use(tmp_path, main)


def test_stopped_task_can_be_resumed(tmp_path: Path) -> None:
    tagger = SlowTagger()

    async def main(client: httpx.AsyncClient) -> None:
        task_id = await begin(client)
        await asyncio.sleep(2.5)
        await client.post(f"/bulk/tasks/{task_id}/stop")
        await wait_for(client, task_id)
        assert (await client.post(f"/bulk/tasks/{task_id}/resume")).status_code == 202
        view = await wait_for(client, task_id)
        assert (view["status"], view["processed"], len(view["result"]["details"])) == ("done", 5, 5)
        response = await client.post(f"/bulk/tasks/{task_id}/resume")
        assert (response.status_code, response.json()["task_id"]) == (409, task_id)

    use(tmp_path, main, tagger)
    assert [is_resumed for _, _, is_resumed in tagger.ran] == [False, True]


@pytest.mark.parametrize("path", ["", "/stop", "/events", "/resume"])
def test_unknown_task_is_not_found_in_words(tmp_path: Path, path: str) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        method = "POST" if path in ("/stop", "/resume") else "GET"
        response = await client.request(method, f"/bulk/tasks/nope{path}")
        assert response.status_code == 404
        assert response.json()["detail"] == "there is no task 'nope'; GET /bulk/tasks lists the latest"

    use(tmp_path, main)


def test_task_that_fails_as_a_whole_says_so(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        response = await client.post("/bulk/tag-space/BROKEN", json={})
        assert (response.status_code, response.json()["detail"]) == (502, "the wiki gives no answer")
        view = await look(client, response.json()["task_id"])
        assert (view["status"], view["error"]) == ("failed", "the wiki gives no answer")
        response = await client.post("/bulk/tag-space/DEFECT", json={})
        assert response.status_code == 500
        assert "SECRET" not in response.text
        assert (await client.post(TAG, json={})).status_code == 200

    use(tmp_path, main)


def test_events_tell_progress_and_the_end(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        task_id = await begin(client)
        response = await client.get(f"/bulk/tasks/{task_id}/events")
        events = read_events(response.text)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert [kind for kind, _ in events[:-1]] == ["progress"] * (len(events) - 1)
        assert [view["processed"] for _, view in events][-3:] == [4, 5, 5]
        assert (events[-1][0], events[-1][1]["status"]) == ("end", "done")
        again = read_events((await client.get(f"/bulk/tasks/{task_id}/events")).text)
        assert again[-1] == events[-1]

    use(tmp_path, main)


def test_events_are_kept_alive_while_nothing_happens(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        task_id = await begin(client)
        text = (await client.get(f"/bulk/tasks/{task_id}/events")).text
        assert text.count(": heartbeat\n\n") == 2 * 3

    use(tmp_path, main, SlowTagger(pages=2, page_s=35.0), heartbeat_s=10.0)


def test_task_of_a_former_process_is_interrupted_and_goes_on_if_asked(tmp_path: Path) -> None:
    def interrupted(space: str, at_s: float) -> None:
        with Journal(tmp_path / "journal.sqlite") as journal:
            request = {"space": space, "apply": True, "mode": "add", "pages": None, "labels": []}
            journal.begin(Task(f"{space}-{at_s:g}", space, "wiki.test", TaskState.RUNNING, at_s, request=request))

    interrupted("DOCS", 1)
    interrupted("DOCS", 2)
    interrupted("OTHER", 3)

    async def list_(client: httpx.AsyncClient) -> None:
        tasks = (await client.get("/bulk/tasks")).json()["tasks"]
        assert {task["status"] for task in tasks} == {"interrupted"}
        await client.post(f"/bulk/tasks/{tasks[0]['task_id']}/stop")

    use(tmp_path, list_)
    tagger = SlowTagger()

    async def finish(client: httpx.AsyncClient) -> None:
        for task_id in ("DOCS-2", "OTHER-3"):
            view = await wait_for(client, task_id)
            assert (view["status"], view["dry_run"]) == ("done", False)

    use(tmp_path, finish, tagger, resume=True)
    assert {(task_id, is_resumed) for task_id, _, is_resumed in tagger.ran} == {("DOCS-2", True), ("OTHER-3", True)}


def test_task_of_another_process_is_seen_and_not_stopped(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as other:
        other.begin(Task("DOCS-1", "DOCS", "wiki.test", TaskState.RUNNING, 1, request={}))

        async def main(client: httpx.AsyncClient) -> str:
            assert (await client.post("/bulk/tasks/DOCS-1/stop")).status_code == 409
            following = asyncio.create_task(client.get("/bulk/tasks/DOCS-1/events"))
            await asyncio.sleep(5)
            other.note("DOCS-1", total=9, counters={"processed": 4})
            await asyncio.sleep(5)
            other.end("DOCS-1", TaskState.DONE, {}, 3)
            return (await following).text

        events = read_events(use(tmp_path, main))
    assert [(kind, view["processed"], view["status"]) for kind, view in events] == [
        ("progress", 0, "running"),
        ("progress", 4, "running"),
        ("progress", 4, "done"),
        ("end", 4, "done"),
    ]


def test_end_of_the_service_stops_what_runs_and_keeps_what_waits(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> list[httpx.Response]:
        waits = [asyncio.create_task(client.post(TAG, json={})) for _ in range(2)]
        await asyncio.sleep(2.5)
        app = client._transport.app  # type: ignore[attr-defined]
        app.state.tasks.begin_closing()
        assert (await client.post(TAG, json={})).status_code == 503
        assert (await client.get("/healthz")).json()["status"] == "stopping"
        return [await wait for wait in waits]

    first, second = use(tmp_path, main)
    assert (first.status_code, first.json()["state"], first.json()["processed"]) == (200, "stopped", 2)
    assert (second.status_code, second.json()["detail"]) == (
        503,
        "the service ended before the task did; it can be resumed",
    )
    with Journal(tmp_path / "journal.sqlite") as journal:
        states = {task.id: task.state for task in journal.tasks()}
    assert states[first.json()["task_id"]] is TaskState.STOPPED
    assert states[second.json()["task_id"]] is TaskState.INTERRUPTED


def test_body_that_is_no_json_is_told_where(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        response = await client.post(TAG, content=b'{"dry_run": tru}', headers=headers)
        assert response.status_code == 422
        assert response.json()["detail"] == "the body is no JSON, from character 12 on"

    use(tmp_path, main)


def test_end_of_the_service_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        await begin(client)
        await asyncio.sleep(1)

    use(tmp_path, main, SlowTagger(page_s=3600.0), grace_s=5.0)
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.tasks()[0].state is TaskState.FAILED


def test_metrics_are_read_by_prometheus(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> str:
        await client.post(TAG, json={})
        return (await client.get("/metrics")).text

    for folder in ("a", "b"):  # no registry outlives its application
        families = text_string_to_metric_families(use(tmp_path / folder, main, SlowTagger(broken=1)))
        samples = {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }
        assert samples[("tagspace_tasks_total", "done")] == 1
        assert samples[("tagspace_pages_total", "error")] == 1
        assert samples[("tagspace_pages_total", "tagged")] == 4
        assert samples[("tagspace_rate_limit_errors_total",)] == 5
        assert samples[("tagspace_tokens_total", "input")] == 50
        assert samples[("tagspace_tasks_running",)] == 0
        assert samples[("tagspace_pages_total", "cached")] == 0
        assert samples[("tagspace_cache_lookups_total", "hit")] == 0


def test_openapi_describes_every_answer(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> dict[str, Any]:
        assert (await client.get("/docs")).status_code == 200
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        return document

    document = use(tmp_path, main)
    assert set(document["paths"]) == {
        "/bulk/tag-space/{space}",
        "/bulk/tasks",
        "/bulk/tasks/{task_id}",
        "/bulk/tasks/{task_id}/stop",
        "/bulk/tasks/{task_id}/resume",
        "/bulk/tasks/{task_id}/events",
        "/metrics",
        "/healthz",
    }
    assert {"TagRequest", "TagResponse", "TaskView", "Problem"} <= set(document["components"]["schemas"])


def test_health_is_told(tmp_path: Path) -> None:
    async def main(client: httpx.AsyncClient) -> None:
        assert (await client.get("/healthz")).json()["status"] == "ok"

    use(tmp_path, main)
