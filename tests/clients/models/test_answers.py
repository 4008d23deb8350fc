"""What comes back from servers of every kind, read generously and never believed beyond its bounds."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tagspace_lab.clients.models import AnthropicModel, OpenAIModel
from tagspace_lab.clients.models.events import merge_events
from tagspace_lab.policy.prompts import parse_answer
from tagspace_lab.records import Cost, Outcome
from tests.clients.models.conftest import Asker, Client, Server
from tests.fakes import RULES, examples, write_answer

IDS = ("1000", "1001")
ANSWER = write_answer(IDS)
USAGE = {"prompt_tokens": 30, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 20}}


def chat(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message} | more], "usage": USAGE}


@pytest.mark.parametrize(
    "message",
    [
        {"content": ANSWER},
        {"content": f"```json\n{ANSWER}\n```"},
        {"content": f'<think>Perhaps [{{"id": "1000", "labels": ["beta"]}}]?</think>\n{ANSWER}'},
        {"content": f"Perhaps {{1000}} ... so be it.</think>{ANSWER}"},
        {"content": [{"type": "text", "text": ANSWER[:20]}, {"type": "text", "text": ANSWER[20:]}, 5, {"text": 7}]},
        {"content": None, "tool_calls": [{"function": {"name": "x", "arguments": ANSWER}}]},
        {"content": "", "reasoning_content": "hm", "tool_calls": [{"function": {"arguments": ANSWER}}]},
    ],
    ids=["plain", "fenced", "thoughts", "thoughts without a start", "parts", "tool call", "reasoning apart"],
)
def test_answer_is_found_wherever_servers_put_it(message: Any, openai_asker: Asker) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (200, chat(message))).app)
    assert parse_answer(reply.text, IDS, RULES).labels == dict.fromkeys(IDS, ("alpha",))
    assert (reply.used, reply.cached_tokens, reply.message) == (Cost(30, 9), 20, "")


def test_thoughts_that_never_end_are_no_answer(openai_asker: Asker) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (200, chat({"content": f"<think>Maybe {ANSWER}"}))).app)
    assert (reply.outcome, reply.text) == (Outcome.OK, "")


@pytest.mark.parametrize(
    ("document", "remark"),
    [
        (chat({"content": ANSWER[:40]}, finish_reason="length"), "cut off"),
        (chat({"content": None}, finish_reason="content_filter"), "filter withheld"),
        (chat({"content": None, "refusal": "I cannot."}, finish_reason="stop"), "refused to answer"),
        (b"<html>Sign in</html>", "not JSON"),
    ],
)
def test_answer_that_says_less_says_why(document: Any, remark: str, openai_asker: Asker) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (200, document)).app)
    assert reply.outcome is Outcome.OK
    assert remark in reply.message
    assert "cannot" not in reply.message


@pytest.mark.parametrize(
    ("document", "remark"),
    [
        ({"content": [{"type": "text", "text": "I"}], "stop_reason": "refusal"}, "refused to answer"),
        ({"content": [{"type": "tool_use", "input": {}}], "stop_reason": "max_tokens"}, "cut off"),
    ],
)
def test_anthropic_says_why_too(document: Any, remark: str, anthropic_asker: Asker) -> None:
    (reply,) = anthropic_asker.ask(Server(lambda body: (200, document)).app)
    assert reply.outcome is Outcome.OK
    assert remark in reply.message


def test_thinking_blocks_and_several_texts_of_anthropic_are_told_apart(anthropic_asker: Asker) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "?"},
        {"type": "text", "text": ANSWER[:9]},
        {"text": ANSWER[9:]},
    ]
    (reply,) = anthropic_asker.ask(Server(lambda body: (200, {"content": blocks})).app)
    assert reply.text == ANSWER
    blocks.append({"type": "tool_use", "input": {"pages": []}})
    (reply,) = anthropic_asker.ask(Server(lambda body: (200, {"content": blocks})).app)
    assert json.loads(reply.text) == {"pages": []}


@pytest.mark.parametrize(
    ("usage", "used", "cached"),
    [
        ({"prompt_tokens": True, "completion_tokens": 10**10}, Cost(), 0),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}}, Cost(5, 0), 5),
        ({"prompt_tokens": 5.0, "completion_tokens": -1}, Cost(), 0),
    ],
)
def test_numbers_of_tokens_that_cannot_be_are_not_believed(
    usage: Any, used: Cost, cached: int, openai_asker: Asker
) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (200, {"usage": usage})).app)
    assert (reply.used, reply.cached_tokens) == (used, cached)


def test_stream_that_nobody_asked_for_is_read(openai_asker: Asker) -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": ANSWER[at : at + 7]}}]} for at in range(0, len(ANSWER), 7)
    ]
    chunks += [{"choices": [{"delta": {}, "finish_reason": "length"}]}, {"choices": [], "usage": USAGE}]
    lines = b": hello\n\n" + b"".join(b"data: %s\r\n\r\n" % json.dumps(each).encode() for each in chunks)
    (reply,) = openai_asker.ask(Server(lambda body: (200, lines + b"data: [DONE]\n\n")).app)
    assert (reply.text, reply.used, reply.cached_tokens) == (ANSWER, Cost(30, 9), 20)
    assert "cut off" in reply.message


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (429, Outcome.RATE_LIMITED),
        ("429", Outcome.RATE_LIMITED),
        (502, Outcome.OVERLOADED),
        ("x", Outcome.OVERLOADED),
        (True, Outcome.OVERLOADED),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_error_inside_a_200_is_an_error(code: Any, outcome: Outcome, is_streamed: bool, openai_asker: Asker) -> None:
    document: Any = {"error": {"code": code, "message": "no"}}
    if is_streamed:
        document = b"data: %s\n\n" % json.dumps(document).encode()
    (reply,) = openai_asker.ask(Server(lambda body: (200, document)).app)
    assert reply.outcome is outcome


def test_credit_that_ran_out_at_anthropic_is_final(anthropic_asker: Asker) -> None:
    message = "Your credit balance is too low to access the Anthropic API."
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    (reply,) = anthropic_asker.ask(Server(lambda body: (400, error)).app)
    assert reply.outcome is Outcome.EXHAUSTED


@dataclass
class Flood(httpx.AsyncByteStream):
    """A body without end; what was taken of it, and whether it was let go."""

    taken: int = 0
    is_closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 100_000
            yield b" " * 100_000

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class Flooding(httpx.AsyncBaseTransport):
    """A server that answers with a flood."""

    status: int
    flood: Flood = field(default_factory=Flood)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, stream=self.flood)


@pytest.mark.parametrize("client", [OpenAIModel, AnthropicModel])
@pytest.mark.parametrize(
    ("status", "outcome", "message", "most"),
    [
        (200, Outcome.REFUSED, "the answer is larger than 16 MiB", 2**24),
        (500, Outcome.OVERLOADED, "HTTP 500", 2**18),
        (429, Outcome.RATE_LIMITED, "HTTP 429", 2**18),
    ],
)
def test_answer_without_end_is_given_up(client: Client, status: int, outcome: Outcome, message: str, most: int) -> None:
    server = Flooding(status)
    (reply,) = Asker(client).ask(server)
    assert (reply.outcome, reply.message) == (outcome, message)
    assert server.flood.taken <= most + 200_000
    assert server.flood.is_closed


def test_packed_answer_counts_as_it_is_unpacked(openai_asker: Asker) -> None:
    packed = gzip.compress(b" " * 20_000_000)

    async def serve(request: Request) -> Response:
        return Response(packed, 200, {"content-encoding": "gzip"})

    app = Starlette(routes=[Route("/{path:path}", serve, methods=["POST"])])
    assert len(packed) < 100_000
    (reply,) = openai_asker.ask(app)
    assert reply.message == "the answer is larger than 16 MiB"


@pytest.mark.parametrize("depth", [10, 300, 900, 990, 3_000, 100_000])
@pytest.mark.parametrize("client", [OpenAIModel, AnthropicModel])
@pytest.mark.parametrize("status", [200, 400, 429])
def test_nesting_of_any_depth_is_survived(client: Client, depth: int, status: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    bodies = [
        b'{"content": [{"type": "tool_use", "input": %s}]}' % deep,
        b'{"choices": [{"message": {"content": %s}}]}' % deep,
        b'{"error": {"code": 1, "message": %s}}' % deep,
        chat({"content": '{"pages": [{"id": %s, "labels": []}]}' % ("[" * depth + "]" * depth)}),
    ]
    for body in bodies:
        (reply,) = Asker(client).ask(Server(lambda _, body=body: (status, body)).app)  # type: ignore[misc]
        assert parse_answer(reply.text, IDS, RULES).missing == IDS


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices message content usage prompt_tokens completion_tokens prompt_tokens_details cached_tokens "
                "text type input error code status refusal finish_reason stop_reason tool_calls function arguments "
                "delta input_tokens cache_read_input_tokens".split()
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@examples(150)
@given(st.lists(ODD.map(json.dumps).map(str.encode) | st.binary(max_size=60), min_size=3, max_size=3), st.booleans())
def test_no_body_crashes_a_client(bodies: list[bytes], is_streamed: bool) -> None:
    script = iter(zip(bodies, (200, 400, 429), strict=True))

    def answer(_: Any) -> tuple[int, bytes]:
        body, status = next(script)
        return status, b"data: " + body + b"\n\n" if is_streamed else body

    client: Client = OpenAIModel if len(bodies[0]) % 2 else AnthropicModel
    for reply in Asker(client).ask(Server(answer).app, 3):
        parse_answer(reply.text, IDS, RULES)
        assert "\n" not in reply.message
        assert 0 <= reply.cached_tokens <= 2e9
        assert 0 <= reply.used.tokens <= 4e9


@examples(200)
@given(st.binary(max_size=200) | st.text().map(lambda text: f"data: {text}\ndata:{{}}".encode("utf-8", "replace")))
def test_no_stream_crashes_the_reader(content: bytes) -> None:
    merged = merge_events(content)
    assert merged is None or isinstance(merged, dict)


@dataclass
class Heading(httpx.AsyncBaseTransport):
    """A server that answers with these headers."""

    headers: list[tuple[bytes, bytes]]
    status: int

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, stream=httpx.ByteStream(b"{}"))


HEADER_NAMES = (
    "retry-after retry-after-ms ratelimit ratelimit-policy x-ratelimit-limit-requests x-ratelimit-remaining-tokens "
    "x-ratelimit-reset-requests anthropic-ratelimit-tokens-reset content-encoding content-length content-type location"
).split()


@examples(150)
@given(
    st.lists(st.tuples(st.sampled_from(HEADER_NAMES).map(str.encode), st.binary(max_size=40)), max_size=6),
    st.sampled_from([200, 302, 400, 429, 503]),
)
def test_no_header_crashes_a_client(headers: list[tuple[bytes, bytes]], status: int) -> None:
    (reply,) = Asker(OpenAIModel).ask(Heading(headers, status))
    assert reply.outcome in Outcome
    assert "\n" not in reply.message


@pytest.mark.parametrize(
    ("status", "error", "cure"),
    [
        (401, {"code": "invalid_api_key"}, "does not take the key"),
        (404, {"code": "model_not_found"}, "no such model"),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, "used up its money or its quota"),
        (308, {}, "give the address that it redirects to"),
    ],
)
def test_failure_that_stays_is_told_with_its_cure(
    status: int, error: dict[str, str], cure: str, openai_asker: Asker
) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (status, {"error": error})).app)
    assert cure in reply.message


def test_code_that_repeats_the_status_is_told_once(openai_asker: Asker) -> None:
    (reply,) = openai_asker.ask(Server(lambda body: (503, {"error": {"code": 503}})).app)
    assert reply.message == "HTTP 503"
