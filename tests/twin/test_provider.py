from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import jsonschema
import pytest

from tagspace_lab.records import Cost
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tagspace_lab.twin.scenario import Scenario, load_scenario
from tagspace_lab.twin.wires import find_pages

Play = Callable[[httpx.AsyncClient, Any], Awaitable[Any]]


def build(provider: dict[str, Any], **more: Any) -> Scenario:
    """A scenario that answers in exactly 1 s, unless `provider` says otherwise."""
    steady = {"latency": {"first_token_s": 1.0, "first_token_sigma": 0.0, "output_tokens_per_s": 1e9}}
    words = {"name": "x", "description": "x", "source": "x"}
    quality = {"accuracy": 1.0, "missing": [[1, 0.0]], "relative_accuracy": [[1, 1.0]]}
    return Scenario.model_validate_json(json.dumps({**words, "quality": quality, "provider": steady | provider} | more))


@pytest.fixture
def play(space: Any, caller: Any) -> Callable[..., Any]:
    """Runs `act(client, state)` in virtual time against a provider."""

    def run(act: Play, provider: dict[str, Any], **more: Any) -> Any:
        async def main() -> Any:
            app = build_app(build(provider), space, **more)
            async with caller.connect(app) as client:
                return await act(client, app.state)

        return run_virtual(main)

    return run


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_chat_answers_gold_labels_by_the_vendors_document(play: Any, caller: Any, space: Any, specs: Path) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> httpx.Response:
        return await client.post(**caller.chat(["1000", "1007", "unknown"]))

    response = play(act, {"headers": "openai", "limits": {"requests_per_min": 500}})
    answer = response.json()
    assert json.loads(answer["choices"][0]["message"]["content"])["pages"] == [
        {"id": "1000", "labels": list(space.gold("1000"))},
        {"id": "1007", "labels": list(space.gold("1007"))},
        {"id": "unknown", "labels": []},
    ]
    assert response.headers["x-ratelimit-remaining-requests"] == "500"
    operation = json.loads((specs / "openai-chat.json").read_text())["paths"]["/v1/chat/completions"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, schema)
    jsonschema.validate(
        caller.chat(["1000"])["json"], operation["requestBody"]["content"]["application/json"]["schema"]
    )
    answer["choices"][0]["finish_reason"] = "tired"
    with pytest.raises(jsonschema.ValidationError, match="tired"):
        jsonschema.validate(answer, schema)


def test_message_answers_a_tool_call_by_the_vendors_document(play: Any, caller: Any, space: Any, specs: Path) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        wrong = caller.message() | {"headers": {}}
        return [await client.post(**caller.message(["1004"])), await client.post(**wrong)]

    good, bad = play(act, {"headers": "anthropic"})
    assert good.json()["content"][0]["input"] == {"pages": [{"id": "1004", "labels": list(space.gold("1004"))}]}
    assert good.json()["stop_reason"] == "tool_use"
    responses = json.loads((specs / "anthropic-messages.json").read_text())["paths"]["/v1/messages"]["post"][
        "responses"
    ]
    for response, status in ((good, "200"), (bad, "4XX")):
        jsonschema.validate(response.json(), responses[status]["content"]["application/json"]["schema"])
    assert bad.status_code == 401


def test_other_prompts_get_a_plain_answer(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        hello = {"messages": [{"role": "user", "content": "Hello"}]}
        return [
            await client.post(**caller.chat(**hello)),
            await client.post(**caller.message(**hello, tool_choice={"type": "auto"})),
        ]

    chat, message = play(act, {})
    assert chat.json()["choices"][0]["message"]["content"] == message.json()["content"][0]["text"] != ""


def test_bucket_admits_at_the_exact_times(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[float]:
        async def send(number: int) -> None:
            while (await client.post(**caller.chat([str(1000 + number)]))).status_code == 429:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(send(number))
        return [decision.at_s for decision in state.provider.log if not decision.limit]

    provider = {"limits": {"requests_per_min": 600, "burst_requests": 5}, "latency": {"reject_s": 0.0}}
    assert play(act, provider) == pytest.approx([max(0, number - 4) / 10 for number in range(20)], abs=0.0101)


def test_cap_and_latency_obey_littles_law(play: Any, caller: Any) -> None:
    """Calls in progress on average = rate of completion x mean latency, with four clients that never pause."""

    async def act(client: httpx.AsyncClient, state: Any) -> tuple[float, float, list[int]]:
        latencies_s = []

        async def work(client_number: int) -> None:
            for turn in range(100):
                start_s = now_s()
                response = await client.post(**caller.chat([f"{client_number}{turn}"]))
                assert response.status_code == 200
                latencies_s.append(now_s() - start_s)

        async with asyncio.TaskGroup() as group:
            for client_number in range(4):
                group.create_task(work(client_number))
        in_flight = [decision.in_flight for decision in state.provider.log]
        return 400 / now_s(), fmean(latencies_s), in_flight

    silent = {"tokens_per_page": 0, "tokens_per_call": 0}
    provider = {"limits": {"concurrency_cap": 4}, "latency": {"first_token_s": 0.6}, "output": silent}
    rate, latency_s, in_flight = play(act, provider)
    assert rate * latency_s == pytest.approx(4.0, rel=0.05)
    assert max(in_flight) == 4
    assert latency_s == pytest.approx(0.6 * 2.718281828 ** (0.5**2 / 2), rel=0.08)


def test_loaded_server_is_slower(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[float]:
        async def send(page_id: str) -> float:
            await client.post(**caller.chat([page_id]))
            return now_s()

        return list(await asyncio.gather(*(send(f"{number}") for number in range(5))))

    latency = {"first_token_s": 1.0, "first_token_sigma": 0.0, "load_factor": 0.5, "load_reference": 4}
    ends_s = play(act, {"latency": latency, "output": {"tokens_per_page": 0, "tokens_per_call": 0}})
    assert ends_s == pytest.approx([1.0, 1.125, 1.25, 1.375, 1.5], abs=0.05)


def test_cancelled_call_frees_its_place(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[int, int, int]:
        async def give_up() -> None:
            async with asyncio.timeout(0.5):
                await client.post(**caller.chat())

        with pytest.raises(TimeoutError):
            await give_up()
        freed = state.provider.in_flight
        return freed, (await client.post(**caller.chat())).status_code, state.provider.in_flight

    assert play(act, {"limits": {"concurrency_cap": 1}}) == (0, 200, 0)


def test_refusal_takes_its_time_and_speaks_its_dialect(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[httpx.Response, float, dict[str, int]]:
        await client.post(**caller.chat())
        start_s = now_s()
        response = await client.post(**caller.chat())
        return response, now_s() - start_s, dict(state.provider.counts)

    limits = {"requests_per_min": 2, "burst_requests": 1}
    response, took_s, counts = play(act, {"headers": "openai", "limits": limits})
    assert (response.status_code, took_s) == (429, pytest.approx(0.02))
    assert response.json()["error"]["type"] == "requests"
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    assert "Limit 2, Used 2, Requested 1. Please try again in 29s." in response.json()["error"]["message"]
    assert response.headers["retry-after-ms"] == "29000"
    assert counts == {"": 1, "requests": 1}


def test_refused_call_does_not_spend_the_luck_of_an_accepted_one(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[str]:
        ids: list[str] = []
        while len(ids) < 2:
            response = await client.post(**caller.chat())
            if response.status_code == 200:
                ids.append(response.json()["id"])
        return ids

    free = play(act, {})
    assert play(act, {"limits": {"requests_per_min": 60, "burst_requests": 1}}) == free
    assert free[0] != free[1]
    assert play(act, {}, seed=1) != free


def test_output_is_settled_with_what_was_written(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[int]:
        remaining = []
        for max_tokens in (500, 900):
            response = await client.post(**caller.chat(max_tokens=max_tokens))
            usage = response.json()["usage"]
            remaining.append(10_000 - int(response.headers["x-ratelimit-remaining-tokens"]) - usage["total_tokens"])
            await asyncio.sleep(120)
        return remaining

    provider = {"headers": "openai", "limits": {"tokens_per_min": 10_000, "window": "fixed"}}
    assert play(act, provider) == [0, 0]
    reserved = {"headers": "openai", "limits": provider["limits"] | {"reserve_max_tokens": True}}  # type: ignore[operator]
    assert play(act, reserved)[1] - play(act, reserved)[0] == 400


def test_tight_max_tokens_cuts_the_answer(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[httpx.Response]:
        return [
            await client.post(**caller.chat(["1000", "1001"], max_tokens=20)),
            await client.post(**caller.message(["1000", "1001"], max_tokens=20)),
        ]

    chat, message = play(act, {})
    assert chat.json()["choices"][0]["finish_reason"] == "length"
    assert chat.json()["usage"]["completion_tokens"] == 20
    with pytest.raises(ValueError, match=r"."):
        json.loads(chat.json()["choices"][0]["message"]["content"])
    assert message.json()["stop_reason"] == "max_tokens"
    assert isinstance(message.json()["content"][0]["input"]["pages"], str)


@pytest.mark.parametrize(
    ("fault", "status", "took_s"), [("server_error", 500, 1.0), ("timeout", 504, 600.0), ("malformed", 200, 1.0)]
)
def test_faults_end_as_stated(play: Any, caller: Any, fault: str, status: int, took_s: float) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[httpx.Response, float, int]:
        return await client.post(**caller.chat(["1000", "1001"])), now_s(), state.provider.in_flight

    response, ended_s, in_flight = play(act, {"faults": {f"{fault}_share": 1.0}})
    assert (response.status_code, in_flight) == (status, 0)
    assert ended_s == pytest.approx(took_s, abs=0.01)
    if status == 200:
        with pytest.raises(ValueError, match=r"."):
            json.loads(response.json()["choices"][0]["message"]["content"])


def test_partial_answer_keeps_the_first_pages(play: Any, caller: Any) -> None:
    ids = [str(1000 + number) for number in range(8)]

    async def act(client: httpx.AsyncClient, _: Any) -> httpx.Response:
        return await client.post(**caller.chat(ids))

    content = play(act, {"faults": {"partial_share": 1.0}}).json()["choices"][0]["message"]["content"]
    answered = [page["id"] for page in json.loads(content)["pages"]]
    assert answered == ids[: len(answered)]
    assert len(answered) < 8


def test_anthropic_overload_is_529(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> httpx.Response:
        return await client.post(**caller.message())

    response = play(act, {"faults": {"server_error_share": 1.0}})
    assert (response.status_code, response.json()["error"]["type"]) == (529, "overloaded_error")


def test_prompt_beyond_the_context_is_refused(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[httpx.Response, int]:
        return await client.post(**caller.chat(["1000"])), len(state.provider.log)

    response, decisions = play(act, {"max_context_tokens": 10})
    assert (response.status_code, response.json()["error"]["code"], decisions) == (400, "context_length_exceeded", 0)


def test_unreadable_request_is_told_the_limits_and_spends_nothing(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> tuple[httpx.Response, int]:
        return await client.post(**caller.chat(messages=[])), len(state.provider.log)

    response, decisions = play(act, {"headers": "openai", "limits": {"requests_per_min": 500}})
    assert (response.status_code, response.headers["x-ratelimit-remaining-requests"], decisions) == (400, "500", 0)


def test_fixed_part_is_cached_from_the_second_call_and_not_counted_by_anthropic(play: Any, caller: Any) -> None:
    long = type(caller)(system="x" * 8000)

    async def act(client: httpx.AsyncClient, state: Any) -> tuple[list[Any], list[Any], float]:
        chats = [(await client.post(**long.chat())).json()["usage"] for _ in range(2)]
        messages = [(await client.post(**long.message(model="other"))).json()["usage"] for _ in range(2)]
        await asyncio.sleep(301)
        late = (await client.post(**long.chat())).json()["usage"]
        return chats, messages, late["prompt_tokens_details"]["cached_tokens"]

    chats, messages, late = play(act, {})
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in chats] == [0, 1920]
    assert [usage["cache_creation_input_tokens"] for usage in messages] == [2000, 0]
    assert [usage["cache_read_input_tokens"] for usage in messages] == [0, 2000]
    assert messages[0]["input_tokens"] == messages[1]["input_tokens"] < 100
    assert late == 0

    async def burn(client: httpx.AsyncClient, _: Any) -> list[int]:
        return [(await client.post(**long.message())).status_code for _ in range(4)]

    assert play(burn, {"limits": {"input_tokens_per_min": 2400, "burst_tokens": 2200}}) == [200, 200, 200, 200]


def test_events_count_from_the_first_request(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, _: Any) -> list[int]:
        await asyncio.sleep(1000)
        statuses = []
        for _ in range(8):
            statuses.append((await client.post(**caller.chat())).status_code)
            await asyncio.sleep(9.0)
        return statuses

    outage = {"kind": "outage", "at_s": 15, "until_s": 35, "status": 503}
    assert play(act, {"events": [outage]}) == [200, 200, 503, 503, 200, 200, 200, 200]


def test_prompt_is_understood_as_the_callers_build_it(caller: Any) -> None:
    assert find_pages(caller.prompt(["1", "2"])) == ["1", "2"]


def test_server_is_greeted_by_its_list_of_models(space: Any) -> None:
    async def main() -> Any:
        app = build_app(load_scenario("openai-tier1"), space)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://twin") as client:
            return (await client.get("/v1/models")).json()

    assert [model["object"] for model in run_virtual(main)["data"]] == ["model"]


def test_who_may_know_the_limits_is_told_when_a_call_would_be_let_in(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[float | None]:
        ask = asyncio.create_task(client.post(**caller.chat()))
        waits_s = [state.provider.wait_s(Cost(10, 500))]
        await asyncio.sleep(0.25)
        waits_s += [state.provider.wait_s(cost) for cost in (Cost(10, 500), Cost(100_000, 500))]
        await ask
        return waits_s

    limits = {"requests_per_min": 60, "burst_requests": 1, "tokens_per_min": 60_000}
    assert play(act, {"limits": limits}) == [0.0, pytest.approx(0.75), float("inf")]


def test_who_may_know_the_limits_is_told_that_only_an_ending_helps(play: Any, caller: Any) -> None:
    async def act(client: httpx.AsyncClient, state: Any) -> list[float | None]:
        ask = asyncio.create_task(client.post(**caller.chat()))
        await asyncio.sleep(0.5)
        before = state.provider.wait_s(Cost(10, 500))
        await ask
        return [before, state.provider.wait_s(Cost(10, 500))]

    assert play(act, {"limits": {"concurrency_cap": 1}}) == [None, 0.0]
