"""`tagspace-lab monitor`, `check` and `diagnose`: what runs, whether it is ready to, and what holds it up."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.endings import FAILED
from tagspace_lab.cli.options import AsJson, EnvFile, Force, ScenarioName, examples
from tagspace_lab.cli.screen import print_json, say
from tagspace_lab.cli.watching import follow, show_view
from tagspace_lab.errors import InputError

if TYPE_CHECKING:
    from tagspace_lab.operations.check import Line
    from tagspace_lab.operations.diagnose import Finding
    from tagspace_lab.operations.monitor import Watch

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab monitor",
        "tagspace-lab monitor DOCS-20260131-235959-1f3a",
        "tagspace-lab monitor --log logs/ --once",
        "tagspace-lab monitor --json | jq .rate_limit_errors",
    )
)
def monitor(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="The id of a task. [default: the latest one]")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="Follow a log instead: a file, or the folder of both files."),
    ] = None,
    env_file: EnvFile = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a running task, or a log.

    Shows pages, rate, 429s, fallbacks, concurrency and the latest summary, until the task has ended
    or Ctrl-C, which is how a log's watch ends: exit code 0. Without a terminal it prints a line
    whenever something changed. Several runs that write to one log are counted together.

    --json looks once and prints {name, state, is_ended, processed, total, errors,
    rate_limit_errors, fallbacks, ai_calls, concurrency, pace_per_s, in_flight, queued, hit_rate,
    rate_per_s, eta_s, summary, lines}: null for what is not known; a log does not tell pages before
    the end of its run, a journal neither pace_per_s nor lines.
    """
    from dataclasses import asdict

    if task is not None and log is not None:
        raise InputError("TASK and --log were both given; name one of them")
    with closing(_open_watch(task, log, env_file)) as watch:
        if as_json:
            print_json(asdict(watch.look()))
        elif once:
            show_view(watch.look())
        else:
            follow(watch)


def _open_watch(task: str | None, log: Path | None, env_file: Path | None) -> Watch:
    import time

    from tagspace_lab.live.connections import load_connections
    from tagspace_lab.operations.monitor import LogWatch, TaskWatch
    from tagspace_lab.pipeline.journal import Journal

    if log is not None:
        return LogWatch(log)
    connections = load_connections(os.environ, env_file)
    path = connections.state_dir / "journal.sqlite"
    if path.exists():
        return TaskWatch(Journal(path), task, time.time)
    if task is None and connections.log_dir is not None and connections.log_dir.exists():
        return LogWatch(connections.log_dir)
    raise InputError(f"there is no task in {connections.state_dir}; name its TAG_SPACE_STATE_DIR, or a log by --log")


@commands.command(
    epilog=examples(
        "tagspace-lab check",
        "tagspace-lab check --env-file .env --space DOCS",
        "tagspace-lab check --offline --scenario mine.toml --json",
    )
)
def check(
    space: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Tag 15 pages of this live space, dry, twice. [default: the simulated one]"),
    ] = None,
    scenario: ScenarioName = "guide",
    env_file: EnvFile = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing outside this machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go through the list before going live.

    Provider and Confluence are asked once each: one tiny call, and who this account is. The rest is
    tried in the simulated world, with your settings; --space tries a few live pages too, and writes
    no label. Each line is ok, failed (with what to do) or skipped. Ends with 1 where a line failed.

    --json prints {ready, offline, space, scenario, lines}: each of lines holds name, state (ok, failed or
    skipped), found and cure.
    """
    from tagspace_lab.operations.check import Check, is_ready, run_checks, to_dict
    from tagspace_lab.twin.scenario import load_scenario

    load_scenario(scenario)
    bench = Check(os.environ, env_file, scenario=scenario, space=space, is_offline=offline)
    lines = run_checks(bench, _drop if as_json else _show_line)
    if as_json:
        print_json(to_dict(bench, lines))
    if not is_ready(lines):
        say("Not ready: a line failed.")
        raise typer.Exit(FAILED)


def _show_line(line: Line) -> None:
    typer.echo(f"{line.state:<8}{line.name}: {line.found}")
    if line.cure:
        typer.echo(f"{'':<8}-> {line.cure}")


def _drop(line: Line) -> None:
    """Told at the end."""


@commands.command(
    epilog=examples(
        "tagspace-lab diagnose report.json",
        "tagspace-lab diagnose trace.jsonl -o try.env",
        "tagspace-lab replay medium --json > report.json; tagspace-lab diagnose report.json",
    )
)
def diagnose(
    document: Annotated[
        Path, typer.Argument(metavar="REPORT|TRACE", help="What `replay --json` or `tag --json` printed, or a trace.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.env", help="Write a profile to try.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say what holds a run up, and which setting to move.

    Each finding gives its numbers, the first one is to be mended first. The profile holds all the
    changes: it is a proposal, which `replay` or `verify` has to prove.

    --json prints {space, scenario, binds, findings, settings}: binds is the first finding's. Each of
    findings holds binds (errors, batch too large, cache too small, memory, requests, tokens,
    concurrency, Confluence, refusals, nothing or unknown), words, numbers, changes (variable -> value) and
    advice; settings are those of the run with all the changes.
    """
    from tagspace_lab.operations.diagnose import diagnose as find
    from tagspace_lab.operations.diagnose import to_dict, write_proposal
    from tagspace_lab.operations.evidence import read_evidence
    from tagspace_lab.operations.machine import available_bytes
    from tagspace_lab.settings import load_settings

    evidence = read_evidence(document, load_settings(os.environ))
    findings = find(evidence, available_bytes())
    if output:
        write_proposal(output, evidence, findings, force=force)
    if as_json:
        print_json(to_dict(evidence, findings))
    else:
        for number, finding in enumerate(findings, 1):
            typer.echo(f"{number}. {_word(finding)}")
    if output:
        say(f"Wrote {output}, unverified. Next: replay or verify it before you use it.")


def _word(finding: Finding) -> str:
    from tagspace_lab.settings import PREFIX

    lines = [f"{finding.binds}: {finding.words}."]
    if finding.numbers:
        lines.append("numbers: " + ", ".join(f"{name} {value:,.5g}" for name, value in finding.numbers.items()))
    lines += [f"try: {PREFIX}{name.upper()}={str(value).lower()}" for name, value in finding.changes.items()]
    lines += [f"note: {finding.advice}."] if finding.advice else []
    return "\n   ".join(lines)
