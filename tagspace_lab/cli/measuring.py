"""`tagspace-lab quality`, and what `verify --live` asks of a real model."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tagspace_lab.cli.options import AsJson, EnvFile, Force, ProfileName, Seed, examples, read_values, whole
from tagspace_lab.cli.screen import print_json, print_table, say

if TYPE_CHECKING:
    from tagspace_lab.clients.models import Model
    from tagspace_lab.lab.quality import QualityCurve
    from tagspace_lab.lab.samples import Sample
    from tagspace_lab.lab.trials import LiveTrial
    from tagspace_lab.policy.prompts import LabelRules
    from tagspace_lab.records import Space
    from tagspace_lab.settings import Settings

__all__ = ["commands", "show_live", "try_profiles"]

commands = typer.Typer()

T = TypeVar("T")


@commands.command(
    epilog=examples(
        "tagspace-lab quality DOCS --model openai:gpt-4.1-mini --sample 60 -o quality.toml",
        "tagspace-lab quality docs.jsonl.gz --sizes 1,10 --sample 60",
        "tagspace-lab calibrate run.jsonl --quality quality.toml -o mine.toml",
    )
)
def quality(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A live space's key, a snapshot file, or a shipped space.")
    ],
    sizes: Annotated[str, typer.Option(metavar="B,B,...", help="Batch sizes; 1 is always among them.")] = "1,5,10,20",
    sample: Annotated[int, typer.Option(parser=whole(2, 100_000), metavar="N", help="Pages that are asked.")] = 40,
    seed: Seed = 0,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="openai:NAME or anthropic:NAME. [default: TAG_SPACE_MODEL]")
    ] = None,
    profile: ProfileName = "default",
    env_file: EnvFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.toml", help="Where the table [quality] is written.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Ask a real model about the same pages at several batch sizes, and say what a larger batch costs.

    The sample is tagged at batch size 1 twice, because a model does not agree with itself either, and
    once at every other size. Agreement is the share of pages that get the very labels of the first
    pass. Where pages carry gold labels, F1 is told, too. Nothing is written to any page.

    --json prints {pages, seed, sizes, quality}: quality is the table of a scenario; each of sizes holds
      batch_size                        1, 1 again, 5, ...
      agreement, agreement_low, _high   share of pages, 95 % interval (bootstrap over pages)
      f1, f1_low, f1_high               micro-F1; null where no page has gold labels
      left_out                          share of pages that answers left out
      calls, tokens_per_page            answers, and tokens read and written for one page
    """
    from tagspace_lab.lab.files import check_writable, replacing
    from tagspace_lab.lab.quality import measure_quality
    from tagspace_lab.lab.replay import as_settings
    from tagspace_lab.lab.watch import watch

    if output:
        check_writable(output, force=force)
    chosen = read_values("--sizes", "batch_size", sizes)
    settings = as_settings(profile)
    drawn = _draw(_find_space(space, env_file), sample, seed)

    async def measure(asked: Model, rules: LabelRules) -> QualityCurve:
        with watch(None, "call", "asking") as view:
            return await measure_quality(
                drawn, asked, chosen, rules=rules, settings=settings, seed=seed, record=lambda attempt: view.advance()
            )

    curve = _ask_live(measure, drawn, settings, model, env_file)
    if as_json:
        print_json(curve.to_dict())
    else:
        _show(curve)
    if output:
        with replacing(output) as file:
            file.write(curve.to_toml().encode())
        say(f"Wrote {output}. Take it into a scenario with `tagspace-lab calibrate TRACE --quality {output}`.")


def try_profiles(
    profiles: tuple[tuple[str, Settings], tuple[str, Settings]],
    space: str,
    scenario: str,
    calls: int,
    seed: int,
    env_file: Path | None,
) -> LiveTrial:
    """Both profiles at the live endpoint, with `calls` requests at most, beside the twin."""
    import asyncio
    import random

    from tagspace_lab.lab.trials import Turns, fits_budget, judge_live, try_live
    from tagspace_lab.twin.scenario import load_scenario

    world, pages = load_scenario(scenario), fits_budget([settings for _, settings in profiles], calls)
    drawn = _draw(_find_space(space, env_file), pages, seed)

    async def race(asked: Model, rules: LabelRules) -> Turns:
        rng = random.Random(f"live {seed}")  # noqa: S311 - jitter
        now_s = asyncio.get_running_loop().time
        return await try_live(drawn, asked, profiles, rules=rules, calls=calls, rng=rng, now_s=now_s)

    turns = _ask_live(race, drawn, profiles[1][1], None, env_file)
    return judge_live(drawn, profiles, world, turns)


def _find_space(name: str, env_file: Path | None) -> Space:
    """A shipped space or a snapshot; where there is none of that name, the live space of that key."""
    import asyncio
    import os
    import random
    import time

    from tagspace_lab.lab.snapshots import load_space
    from tagspace_lab.lab.watch import watch
    from tagspace_lab.lab.wikis import read_wiki
    from tagspace_lab.live.connections import load_connections
    from tagspace_lab.twin.spaces import SHIPPED

    connections = load_connections(os.environ, env_file)
    if name in SHIPPED or Path(name).exists() or not connections.confluence_url:
        return load_space(name)
    rng = random.Random(name)  # noqa: S311 - jitter
    with watch(None, "page", "reading") as view:
        return asyncio.run(read_wiki(connections, name, rng=rng, wall_clock=time.time, progress=view.reach))


def _draw(space: Any, count: int, seed: int) -> Sample:
    import random

    from tagspace_lab.lab.samples import draw_sample

    return draw_sample(space, count, random.Random(f"sample {seed}"))  # noqa: S311 - a sample that can be drawn again


def _ask_live(
    job: Callable[[Model, LabelRules], Coroutine[Any, Any, T]],
    sample: Sample,
    settings: Settings,
    model: str | None,
    env_file: Path | None,
) -> T:
    """Run a job with the model that the environment names."""
    import asyncio
    import os
    import time

    from tagspace_lab.clients.http import open_http
    from tagspace_lab.live.connections import ModelName, load_connections
    from tagspace_lab.live.opening import open_model
    from tagspace_lab.policy.prompts import LabelRules

    connections = load_connections(os.environ | ({"TAG_SPACE_MODEL": model} if model else {}), env_file)
    rules = LabelRules(sample.vocabulary, settings.max_labels)

    async def main() -> T:
        async with open_http() as http:
            name = ModelName.parse(connections.model)
            return await job(open_model(name, connections, settings, rules, http, time.time), rules)

    return asyncio.run(main())


def _show(curve: QualityCurve) -> None:
    rows = [
        (
            row["batch_size"],
            _share(row, "agreement"),
            "-" if row["f1"] is None else _share(row, "f1"),
            f"{row['left_out']:.1%}",
            str(row["calls"]),
            f"{row['tokens_per_page']:,.0f}",
        )
        for row in curve.rows()
    ]
    heads = ("batch size", "agreement with 1", "F1", "left out", "calls", "tokens a page")
    print_table(heads, rows, f"{len(curve.sample)} pages, seed {curve.seed}")


def _share(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def show_live(trial: LiveTrial) -> None:
    """The table of a live trial, and a line that judges it."""
    rows = [
        (
            arm.name,
            f"{arm.seconds_per_page:.3g}",
            f"{arm.foreseen_s_per_page:.3g}",
            str(arm.refusals),
            f"{arm.foreseen_refusals:.1f}",
            str(arm.calls),
            str(arm.errors),
        )
        for arm in trial.arms
    ]
    heads = ("profile", "s a page", "foreseen", "429s", "foreseen", "calls", "errors")
    print_table(heads, rows, f"Live, {trial.arms[0].pages} pages each, {trial.calls} of {trial.budget} calls")
    say(f"Live it saves {trial.gain:.0%} of the time; the twin foresaw {trial.foreseen_gain:.0%}.")
