"""Every request of the Cloud client, and every answer of the twin to it, is in the vendor's document and fits it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tagspace_lab.clients.confluence import Confluence
from tagspace_lab.errors import ConfluenceError
from tagspace_lab.twin.app import build_app
from tests.clients.confluence.sites import play
from tests.fakes import TinySpace, make_scenario
from tests.specs.openapi import BreachError, Spec

UNDOCUMENTED = "/wiki/rest/api/user/current"
"""Cloud has it in v1, and the document is cut to fewer operations than that."""


class Witness:
    """An app around another that holds every exchange against a document, once `spec` is set."""

    def __init__(self, app: Any, spec: Spec) -> None:
        self.app, self.spec = app, spec
        self.checked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sent = b""
        while (message := await receive())["type"] == "http.request":
            sent += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer: dict[str, Any] = {"status": 0, "body": b""}

        async def replay() -> Any:
            return {"type": "http.request", "body": sent}

        async def overhear(message: Any) -> None:
            answer["status"] = message.get("status", answer["status"])
            answer["body"] += message.get("body", b"")
            await send(message)

        await self.app(scope, replay, overhear)
        if scope["path"] != UNDOCUMENTED:
            self.check(scope, sent, answer)

    def check(self, scope: Any, sent: bytes, answer: dict[str, Any]) -> None:
        method, path, status = scope["method"], scope["path"], answer["status"]
        query = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
        self.spec.check_request(method, path, query, json.loads(sent) if sent else None)
        if status not in (429, 503):
            self.spec.check_response(method, path, status, json.loads(answer["body"]) if answer["body"] else None)
        self.checked.append(f"{method} {path} {status}")


async def do_everything(site: Confluence) -> None:
    await site.who_am_i()
    pages = [page async for listing in site.listings("TINY") for page in listing]
    await site.page(pages[0].id)
    await site.add_labels(pages[0].id, [f"label-{number}" for number in range(300)])
    await site.labels(pages[0].id)
    for act in (site.page("9"), site.labels("9"), site.add_labels("9", ["x"]), site.add_labels(pages[0].id, ["a#b"])):
        with pytest.raises(ConfluenceError):
            await act


@pytest.fixture
def witness() -> Witness:
    scenario = make_scenario(confluence={"latency_s": 0.0, "requests_per_s": 5, "burst": 5})
    return Witness(build_app(scenario, TinySpace(600)), Spec.load("confluence-cloud"))


@pytest.mark.parametrize("archived", [False, True])
def test_all_that_is_said_fits_the_document(witness: Witness, archived: bool) -> None:
    play(witness, "cloud", do_everything, archived=archived, with_labels=False)
    asked = {line.split("?")[0] for line in witness.checked}
    assert {line.rsplit(" ", 1)[1] for line in asked} == {"200", "400", "404", "429"}
    assert len(witness.checked) > 10


def test_request_that_the_document_lacks_would_be_noticed(witness: Witness) -> None:
    with pytest.raises(BreachError, match="knows no GET"):
        witness.check({"method": "GET", "path": "/wiki/api/v2/nothing", "query_string": b""}, b"", {"status": 200})


def test_answer_that_does_not_fit_would_be_noticed(witness: Witness) -> None:
    scope = {"method": "GET", "path": "/wiki/api/v2/pages/1/labels", "query_string": b"limit=250"}
    with pytest.raises(BreachError, match="array"):
        witness.check(scope, b"", {"status": 200, "body": b'{"results": 1}'})
    assert witness.checked == []
