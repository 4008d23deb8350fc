"""What a caller may rely on, whichever kind of Confluence it is: the same assertions over both."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from typing import Any

import pytest
from starlette.responses import Response

from tagspace_lab.clients.confluence import Confluence, Credentials
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.records import Page
from tagspace_lab.twin.app import build_app
from tests.clients.confluence.sites import CREDENTIALS, KINDS, SECRET, Found, LossyPosts, play, replying, timed
from tests.fakes import TinySpace, make_scenario

both = pytest.mark.parametrize("kind", KINDS)
WRONG = Credentials("me@example.org", "wrong", "wrong")


async def read_all(site: Confluence) -> list[Page]:
    return [page async for listing in site.listings("TINY") for page in [*listing]]


def make_app(pages: int = 20, **confluence: Any) -> Any:
    return build_app(make_scenario(confluence={"latency_s": 0.1} | confluence), TinySpace(pages))


@both
@pytest.mark.parametrize("pages", [0, 1, 49, 50, 51, 250, 601])
def test_every_page_is_listed_once_in_order(kind: Found, pages: int) -> None:
    listed = play(make_app(pages), kind, read_all)
    assert [(page.id, page.title, page.body, page.version) for page in listed] == [
        (page.id, page.title, page.body, page.version) for page in map(TinySpace(pages).page, range(pages))
    ]


@both
@pytest.mark.parametrize("page_limit", [1, 7, 50])
def test_server_may_give_fewer_rows_than_asked(kind: Found, page_limit: int) -> None:
    assert len(play(make_app(20, page_limit=page_limit), kind, read_all)) == 20


@both
def test_one_page_is_read(kind: Found) -> None:
    page = play(make_app(), kind, lambda site: site.page("1003"))
    expected = TinySpace().page(3)
    assert (page.id, page.title, page.body, page.version) == ("1003", "Page 3", expected.body, 1)


@both
def test_account_is_named(kind: Found) -> None:
    assert play(make_app(), kind, lambda site: site.who_am_i()) == "Twin"


@both
@pytest.mark.parametrize("anonymous", [False, True])
def test_wrong_token_is_told_from_an_empty_space(kind: Found, anonymous: bool) -> None:
    app = make_app(anonymous=anonymous)
    with pytest.raises(ConfluenceError, match="anonymous one" if anonymous else "wrong, expired or revoked") as caught:
        play(app, kind, lambda site: site.who_am_i(), credentials=WRONG)
    assert "token" in str(caught.value)


@both
def test_unknown_space_is_named(kind: Found) -> None:
    async def act(site: Confluence) -> list[Any]:
        return [listing async for listing in site.listings("NOPE")]

    with pytest.raises(ConfluenceError, match="NOPE"):
        play(make_app(), kind, act)


@both
def test_unknown_page_is_an_error(kind: Found) -> None:
    for act in (lambda site: site.page("9"), lambda site: site.labels("9"), lambda site: site.add_labels("9", ["x"])):
        with pytest.raises(ConfluenceError, match="404"):
            play(make_app(), kind, act)


@both
@pytest.mark.parametrize("page_id", ["", "../user", "1/2", "1?x=1", "é", "x" * 65])
def test_id_that_is_none_never_becomes_an_address(kind: Found, page_id: str) -> None:
    app = make_app()
    for act in (lambda s: s.page(page_id), lambda s: s.labels(page_id), lambda s: s.add_labels(page_id, ["x"])):
        with pytest.raises(ConfluenceError, match="has no page"):
            play(app, kind, act)
    assert app.state.confluence.requests == 0


@both
def test_labels_are_added_and_the_others_left_alone(kind: Found) -> None:
    async def act(site: Confluence) -> list[tuple[str, ...]]:
        return [await site.labels("1001"), await site.add_labels("1001", ["b", "a"]), await site.labels("1001")]

    app = make_app()
    app.state.confluence.labels.add("1001", [("old", "global"), ("favourite", "my")])
    assert play(app, kind, act) == [("old",), ("old", "b", "a"), ("old", "b", "a")]
    assert app.state.confluence.writes == Counter({("1001", "b"): 1, ("1001", "a"): 1})


@both
def test_adding_nothing_only_reads(kind: Found) -> None:
    app = LossyPosts(make_app())
    assert play(app, kind, lambda site: site.add_labels("1001", [])) == ()
    assert app.posts == 0


@both
def test_labels_come_in_parts(kind: Found) -> None:
    names = [(f"label-{number}", "global") for number in range(601)]

    async def act(site: Confluence) -> list[tuple[str, ...]]:
        return [await site.labels("1001"), await site.add_labels("1001", ["new"])]

    app = make_app()
    app.state.confluence.labels.add("1001", names)
    labels, stated = play(app, kind, act)
    assert labels == tuple(name for name, _ in names)
    assert stated == (*labels, "new")


@both
def test_listed_pages_have_their_labels_where_asked(kind: Found) -> None:
    app = make_app(60)
    app.state.confluence.labels.add("1001", [("a", "global")])
    app.state.confluence.labels.add("1059", [(f"label-{number}", "global") for number in range(201)])
    pages, took_s = play(app, kind, timed(read_all), with_labels=True)
    assert [len(page.labels) for page in pages] == [0, 1, *[0] * 57, 201]
    assert took_s < 0.1 * 20  # four at a time


@both
def test_refused_labels_are_an_error_and_not_sent_again(kind: Found) -> None:
    app = LossyPosts(make_app())
    with pytest.raises(ConfluenceError, match="labels were refused"):
        play(app, kind, lambda site: site.add_labels("1001", ["a#b"]))
    assert app.posts == 1


@both
def test_anonymous_account_may_not_write(kind: Found) -> None:
    app = LossyPosts(make_app(anonymous=True))
    with pytest.raises(ConfluenceError, match="404"):
        play(app, kind, lambda site: site.add_labels("1001", ["a"]), credentials=WRONG)
    assert app.posts == 1


@both
@pytest.mark.parametrize("how", ["timeout", "broken", 500, 503, 504])
def test_write_that_was_taken_and_broke_off_is_not_sent_again(kind: Found, how: str | int) -> None:
    twin = make_app()
    app = LossyPosts(twin, 1, how)
    assert play(app, kind, lambda site: site.add_labels("1001", ["a", "b"])) == ("a", "b")
    assert app.posts == 1
    assert set(twin.state.confluence.writes.values()) == {1}


@both
@pytest.mark.parametrize("how", ["timeout", "broken", 429, 500, 503])
def test_write_that_was_not_taken_is_sent_again(kind: Found, how: str | int) -> None:
    twin = make_app()
    app = LossyPosts(twin, 1, how, taken=False)
    assert play(app, kind, lambda site: site.add_labels("1001", ["a", "b"])) == ("a", "b")
    assert app.posts == 2
    assert set(twin.state.confluence.writes.values()) == {1}


@both
def test_only_what_is_missing_is_sent_again(kind: Found) -> None:
    twin = make_app()
    twin.state.confluence.labels.add("1001", [("a", "global")])
    app = LossyPosts(twin, 1, "broken", taken=False)
    assert play(app, kind, lambda site: site.add_labels("1001", ["a", "b"])) == ("a", "b")
    assert twin.state.confluence.writes == {("1001", "b"): 1}


@both
def test_write_that_breaks_off_for_ever_is_given_up(kind: Found) -> None:
    app = LossyPosts(make_app(), 99, "broken", taken=False)
    with pytest.raises(ConfluenceError, match="may have been taken"):
        play(app, kind, lambda site: site.add_labels("1001", ["a"]))
    assert app.posts == 3


@both
@pytest.mark.parametrize("retry_after", [True, False])
def test_many_calls_under_a_tight_limit_all_come_through(kind: Found, retry_after: bool) -> None:
    async def act(site: Confluence) -> list[tuple[str, ...]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(site.add_labels(str(1000 + index), ["a"])) for index in range(20)]
        return [task.result() for task in tasks]

    app = make_app(requests_per_s=0.5, burst=3, retry_after=retry_after)
    stated, took_s = play(app, kind, timed(act))
    assert stated == [("a",)] * 20
    twin = app.state.confluence
    assert set(twin.writes.values()) == {1}
    # 17 calls beyond the burst need 34 s; a storm would be refused many times a call.
    assert 33.0 < took_s < 120.0
    assert twin.refusals <= 20


@both
def test_at_most_four_calls_are_in_flight(kind: Found) -> None:
    peaks = [0, 0]

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        peaks[0] += 1
        peaks[1] = max(peaks)
        try:
            await twin(scope, receive, send)
        finally:
            peaks[0] -= 1

    async def act(site: Confluence) -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(20):
                group.create_task(site.labels(str(1000 + index)))

    twin = make_app()
    _, took_s = play(watch, kind, timed(act))
    assert peaks == [0, 4]
    assert took_s == pytest.approx(0.5)


@both
def test_no_secret_in_errors_and_reprs(kind: Found) -> None:
    async def act(site: Confluence) -> str:
        try:
            await site.who_am_i()
        except ConfluenceError as error:
            return "".join(traceback.format_exception(error)) + repr(site) + repr(vars(site))
        return ""

    app, _ = replying(Response(SECRET, 401))
    told = play(app, kind, act)
    assert "401" in told
    assert SECRET not in told + repr(CREDENTIALS)
