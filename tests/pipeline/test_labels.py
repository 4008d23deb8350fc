from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tagspace_lab.errors import ConfluenceError
from tagspace_lab.pipeline.labels import Change, LabelWriter
from tagspace_lab.twin.app import build_app
from tests.clients.confluence.sites import KINDS, Found, LossyPosts, play
from tests.fakes import TinySpace, make_scenario

both = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def twin() -> Any:
    return build_app(make_scenario(confluence={"latency_s": 0.1}), TinySpace())


def write(app: Any, kind: Found, act: Callable[[LabelWriter], Awaitable[Any]]) -> Any:
    return play(app, kind, lambda site: act(LabelWriter(site)))


@both
def test_only_what_is_missing_is_added(twin: Any, kind: Found) -> None:
    twin.state.confluence.labels.add("1001", [("a", "global"), ("old", "global")])
    change = write(twin, kind, lambda writer: writer.write("1001", ["b", "a", "c", "b"]))
    assert change == Change("1001", ("a", "old"), ("b", "c"))
    assert twin.state.confluence.labels.names("1001") == ("a", "old", "b", "c")
    assert twin.state.confluence.writes == {("1001", "b"): 1, ("1001", "c"): 1}


@both
def test_preview_only_reads(twin: Any, kind: Found) -> None:
    app = LossyPosts(twin)
    change = write(app, kind, lambda writer: writer.preview("1001", ["b", "a"]))
    assert change == Change("1001", (), ("b", "a"))
    assert app.posts == 0


@both
@pytest.mark.parametrize("labels", [[], ["a"], ["A"]])
def test_nothing_is_sent_where_nothing_is_missing(twin: Any, kind: Found, labels: list[str]) -> None:
    twin.state.confluence.labels.add("1001", [("a", "global")])
    app = LossyPosts(twin)
    assert write(app, kind, lambda writer: writer.write("1001", labels)) == Change("1001", ("a",))
    assert app.posts == 0


@both
def test_name_that_the_server_splits_is_missing_afterwards(twin: Any, kind: Found) -> None:
    change = write(twin, kind, lambda writer: writer.write("1001", ["fine", "new abc"]))
    assert change == Change("1001", (), ("fine",), ("new abc",))


@both
def test_personal_label_of_the_same_name_is_another_one(twin: Any, kind: Found) -> None:
    twin.state.confluence.labels.add("1001", [("favourite", "my")])
    assert write(twin, kind, lambda writer: writer.write("1001", ["alpha"])) == Change("1001", (), ("alpha",))


@both
def test_refused_label_is_an_error(twin: Any, kind: Found) -> None:
    with pytest.raises(ConfluenceError, match="labels were refused"):
        write(twin, kind, lambda writer: writer.write("1001", ["a#b"]))


@both
@pytest.mark.parametrize("how", ["timeout", "broken", 500, 503])
@pytest.mark.parametrize("taken", [True, False])
def test_run_that_is_repeated_writes_every_label_once(twin: Any, kind: Found, how: str | int, taken: bool) -> None:
    async def act(writer: LabelWriter) -> None:
        for _ in range(3):  # as if resumed
            async with asyncio.TaskGroup() as group:
                for index in range(6):
                    group.create_task(writer.write(str(1000 + index), ["a", "b"]))

    write(LossyPosts(twin, 5, how, taken=taken), kind, act)
    assert twin.state.confluence.writes == {(str(1000 + index), name): 1 for index in range(6) for name in "ab"}
