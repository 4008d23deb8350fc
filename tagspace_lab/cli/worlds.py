"""`tagspace-lab twin` and `scenarios`: the simulated world, served and listed."""

from __future__ import annotations

import signal
import time
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagspace_lab.cli.options import AsJson, ScenarioName, Seed, examples, whole
from tagspace_lab.cli.screen import print_json, print_table, say

if TYPE_CHECKING:
    from tagspace_lab.twin.scenario import Limits, Scenario

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab twin --scenario openai-tier1",
        "tagspace-lab twin --scenario outage --space medium --port 9000",
    )
)
def twin(
    scenario: ScenarioName = "openai-tier1",
    space: Annotated[
        str, typer.Option(metavar="SPACE", help="The wiki: a shipped space or a snapshot file.")
    ] = "small",
    seed: Seed = 0,
    port: Annotated[
        int, typer.Option(parser=whole(0, 65535), metavar="P", help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8765,
) -> None:
    """Serve the simulated world until Ctrl-C.

    Provider and Confluence answer on this machine, in real time. Any key is taken. The scenario's
    time begins with the first request. Ctrl-C (or SIGTERM) is how a twin ends: exit code 0.
    """
    from tagspace_lab.lab.replay import as_space
    from tagspace_lab.lab.world import serve
    from tagspace_lab.twin.app import build_app
    from tagspace_lab.twin.scenario import load_scenario

    world, wiki = load_scenario(scenario), as_space(space)
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)  # a shell's background jobs ignore SIGINT
    with serve(build_app(world, wiki, seed=seed, wall_clock=time.time), port) as base_url:
        typer.echo(_describe_urls(base_url, wiki.key, has_fallback=world.fallback is not None))
        try:
            Event().wait()
        except KeyboardInterrupt:
            say("\nThe twin has stopped.")


def _describe_urls(base_url: str, key: str, *, has_fallback: bool) -> str:
    provider = f"{base_url}/v1"
    lines = [
        f"OpenAI base URL      {provider}",
        f"Anthropic base URL   {base_url}",
        *([f"Fallback provider    {base_url}/fallback/v1"] if has_fallback else []),
        f"Confluence           {base_url}/wiki    (space {key})",
        f"  as a Data Center   {base_url}/confluence",
        "",
        f"""curl {provider}/chat/completions -H 'Authorization: Bearer any' -H 'Content-Type: application/json' \\
  -d '{{"model": "any", "messages": [{{"role": "user", "content": "Tag this.\\n[]"}}]}}'""",
        f"curl -u any:any '{base_url}/wiki/api/v2/spaces?keys={key}'",
    ]
    return "\n".join(lines)


@commands.command(
    epilog=examples(
        "tagspace-lab scenarios",
        "tagspace-lab scenarios openai-tier1 > mine.toml",
    )
)
def scenarios(
    name: Annotated[str | None, typer.Argument(metavar="NAME|FILE.toml", help="Print one in full, as TOML.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the shipped scenarios, or print one: the start of a scenario of your own.

    --json prints {scenarios: [{name, description, source, content_hash, provider, fallback,
    confluence, quality}]}: a scenario's tables as in its file, with every default filled in.
    """
    from tagspace_lab.twin.scenario import find_scenario, load_scenario, shipped_scenarios

    found = [load_scenario(each) for each in ([name] if name else shipped_scenarios())]
    if as_json:
        print_json({"scenarios": [_document(scenario) for scenario in found]})
    elif name:
        typer.echo(find_scenario(name).read_text("utf-8"), nl=False)
    else:
        print_table(
            ("scenario", "limits", "what it is"),
            [(each.name, _word_limits(each.provider.limits), each.description) for each in found],
            right=False,
        )


def _document(scenario: Scenario) -> dict[str, Any]:
    return scenario.model_dump(mode="json") | {"content_hash": scenario.content_hash}


def _word_limits(limits: Limits) -> str:
    """`500 requests/min, 30k tokens/min, 8 at once`."""
    stated = (
        (limits.requests_per_min, "requests/min"),
        (limits.tokens_per_min, "tokens/min"),
        (limits.input_tokens_per_min, "input tokens/min"),
        (limits.output_tokens_per_min, "output tokens/min"),
        (limits.concurrency_cap, "at once"),
    )
    return ", ".join(f"{_short(value)} {unit}" for value, unit in stated if value is not None) or "none"


def _short(value: float) -> str:
    """`500`, `30k`, `2.5M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
