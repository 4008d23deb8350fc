"""Servers that do not take all of a request: what they say, as seen of them, and what the client makes of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.clients.models import Model, OpenAIModel, send_adapted
from tagspace_lab.clients.models.concessions import Concessions
from tagspace_lab.policy.prompts import build_prompt
from tagspace_lab.records import Outcome, Reply, Status
from tagspace_lab.settings import Settings
from tests.fakes import RULES, Job, ScriptedModel, answered, examples, make_batch, make_pages, write_answer

FINE: tuple[int, Any] = (200, {"choices": [{"message": {"content": write_answer(["1000", "1001"])}}]})
PLAIN_FINE: tuple[int, Any] = (200, {"content": [{"type": "text", "text": write_answer(["1000", "1001"])}]})


def complain(status: int, message: str, **more: Any) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "invalid_request_error"} | more}


class Picky:
    """A server that takes no request with one of `parts`, and says so in the words given."""

    def __init__(self, **parts: tuple[int, Any]) -> None:
        self.parts = parts

    def __call__(self, body: dict[str, Any]) -> tuple[int, Any]:
        has = set(body) | {str(body.get("response_format", {}).get("type"))}
        return next((complaint for part, complaint in self.parts.items() if part in has), FINE)


COMPLAINTS = {
    "openai, an older model": (
        "json_schema",
        complain(
            400,
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            param="response_format",
        ),
    ),
    "a schema too large": (
        "json_schema",
        complain(400, "Invalid schema for response_format 'labels': too many enum values.", param="response_format"),
    ),
    "azure, an older api version": (
        "json_schema",
        complain(
            400, "response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"
        ),
    ),
    "pydantic's words": (
        "response_format",
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs"}]}),
    ),
    "plain words": ("response_format", (400, b'unknown field "response_format"')),
    "a gateway's 404": ("json_schema", complain(404, "No endpoint found that supports structured_outputs")),
    "no word of what": ("json_schema", complain(400, "Unsupported parameter in request")),
    "an older server": (
        "max_completion_tokens",
        complain(400, "Unrecognized request argument supplied: max_completion_tokens"),
    ),
    "a reasoning model": (
        "temperature",
        complain(400, "Unsupported value: 'temperature' does not support 0 with this model.", param="temperature"),
    ),
}


@pytest.mark.parametrize("words", COMPLAINTS)
def test_part_that_is_complained_of_is_left_out_and_remembered(words: str, openai_asker: Any, make_server: Any) -> None:
    part, complaint = COMPLAINTS[words]
    server = make_server(Picky(**{part: complaint}))
    outcomes = [reply.outcome for reply in openai_asker.ask(server.app, 5)]
    refused = outcomes.index(Outcome.OK)
    assert refused >= 1
    assert outcomes == [Outcome.ADAPTED] * refused + [Outcome.OK] * (5 - refused)
    assert refused == (2 if part == "response_format" else 1)


def test_everything_may_be_taken_back_step_by_step(openai_asker: Any, make_server: Any) -> None:
    server = make_server(
        Picky(
            temperature=complain(400, "'temperature' is not supported"),
            json_schema=complain(400, "json_schema is not supported"),
            json_object=complain(400, "response_format is not supported"),
            max_completion_tokens=complain(400, "unknown parameter max_completion_tokens"),
        )
    )
    replies = openai_asker.ask(server.app, 6)
    assert [reply.outcome for reply in replies] == [Outcome.ADAPTED] * 4 + [Outcome.OK] * 2
    assert sorted(server.bodies[-1]) == ["max_tokens", "messages", "model"]
    assert server.bodies[2]["response_format"] == {"type": "json_object"}


def test_server_that_only_streams_is_asked_to(openai_asker: Any, make_server: Any) -> None:
    def script(body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("stream"):
            return complain(400, "This model only supports stream mode, please enable the stream parameter.")
        chunk = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n'
        return 200, chunk % b"[]" + b"data: [DONE]\n\n"

    server = make_server(script)
    adapted, reply = openai_asker.ask(server.app, 2)
    assert (adapted.outcome, reply.outcome, reply.text) == (Outcome.ADAPTED, Outcome.OK, "[]")


@pytest.mark.parametrize(
    "message",
    [
        "max_completion_tokens is too large: 9000. This model supports at most 4096 tokens.",
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "The response was filtered",
        "",
    ],
)
def test_other_complaint_is_a_refusal_of_the_request(message: str, openai_asker: Any, make_server: Any) -> None:
    server = make_server(lambda body: complain(400, message))
    assert {reply.outcome for reply in openai_asker.ask(server.app, 3)} == {Outcome.REFUSED}
    assert "response_format" in server.bodies[-1]


def test_server_that_is_never_content_is_asked_no_more_often_than_there_are_parts(
    openai_asker: Any, make_server: Any
) -> None:
    words = "unsupported parameter: response_format, json_schema, max_completion_tokens, temperature; must set stream"
    server = make_server(lambda body: complain(400, words))
    outcomes = [reply.outcome for reply in openai_asker.ask(server.app, 8)]
    assert outcomes == [Outcome.ADAPTED] * 5 + [Outcome.REFUSED] * 3


def test_calls_at_once_step_down_once(openai_asker: Any, make_server: Any) -> None:
    server = make_server(Picky(json_schema=complain(400, "json_schema is not supported")))

    async def act(model: Model) -> list[Reply]:
        prompt = build_prompt(make_batch(2), RULES)
        return list(await asyncio.gather(*(send_adapted(model, prompt) for _ in range(10))))

    assert {reply.outcome for reply in openai_asker.run(server.app, act)} == {Outcome.OK}
    forms = [body["response_format"]["type"] for body in server.bodies]
    assert sorted(forms) == ["json_object"] * 10 + ["json_schema"] * 10


def test_complaint_is_not_shown(openai_asker: Any, make_server: Any) -> None:
    server = make_server(lambda body: complain(400, "response_format of Bearer sk-planted is not supported", code="x"))
    (reply,) = openai_asker.ask(server.app)
    assert reply.message == "HTTP 400: the server does not take json_schema, which is left out from now on"
    assert "sk-planted" not in repr(reply)


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("system.0.cache_control: Extra inputs are not permitted", "cache_control"),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("tool_choice: this model does not support forced tool use", "tools"),
    ],
)
def test_what_resembles_anthropic_may_take_less(
    message: str, gone: str, anthropic_asker: Any, make_server: Any
) -> None:
    def script(body: dict[str, Any]) -> tuple[int, Any]:
        is_there = "cache_control" in str(body) if gone == "cache_control" else gone in body
        return complain(400, message) if is_there else PLAIN_FINE

    server = make_server(script)
    replies = anthropic_asker.ask(server.app, 3)
    assert [reply.outcome for reply in replies] == [Outcome.ADAPTED, Outcome.OK, Outcome.OK]


def test_run_asks_again_at_no_cost_to_the_pages() -> None:
    def script(page_ids: tuple[str, ...], number: int) -> Reply:
        return Reply(Outcome.ADAPTED, 400) if number < 4 else answered(page_ids)

    result = Job(make_pages(5), ScriptedModel(script), settings=Settings(max_attempts=1, batch_size=5)).run()
    assert {tagging.status for tagging in result.results} == {Status.TAGGED}
    assert [attempt.outcome for attempt in result.attempts] == [Outcome.ADAPTED] * 4 + [Outcome.OK]
    assert result.makespan_s == pytest.approx(5, abs=0.2), "nobody waits in between"
    assert result.concurrency_metrics.total_ai_calls == 1
    assert result.concurrency_metrics.rate_limit_errors == 0


def make_concessions() -> Concessions:
    return OpenAIModel(cast(Any, None), "http://x/v1", "m", "k", 1.0, lambda: 0.0).concessions


def test_complaint_that_names_nothing_is_heeded_unless_it_may_be_about_the_address() -> None:
    words = "unknown parameter in the request"
    assert make_concessions().learn(404, words, frozenset()) == ""
    assert make_concessions().learn(400, words, frozenset()) == "json_schema"


def test_complaint_of_what_was_not_sent_is_about_something_else() -> None:
    gone = frozenset({"json_schema", "json_object"})
    assert make_concessions().learn(400, "unknown parameter: response_format", gone) == ""


@examples(200)
@given(st.text(max_size=300), st.sampled_from([400, 404, 422]))
def test_no_complaint_crashes_the_reader(message: str, status: int) -> None:
    concessions = make_concessions()
    found = concessions.learn(status, message.lower(), frozenset())
    assert concessions.left_out == ({found} if found else set())
