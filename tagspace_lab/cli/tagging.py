"""`tagspace-lab tag`: the job itself, on a live space."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagspace_lab.cli.endings import FAILED, INTERRUPTED
from tagspace_lab.cli.options import AsJson, EnvFile, Force, examples
from tagspace_lab.cli.screen import print_json, print_table, say, telling_warnings

if TYPE_CHECKING:
    from tagspace_lab.live.connections import Connections
    from tagspace_lab.live.job import TagJob, TagResult
    from tagspace_lab.live.task import Request
    from tagspace_lab.pipeline.journal import Journal
    from tagspace_lab.pipeline.traces import TraceWriter
    from tagspace_lab.settings import Settings

__all__ = ["commands", "read_settings"]

_SHOWN_PAGES = 20

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab tag DOCS",
        "tagspace-lab tag DOCS --labels vocabulary.txt --apply",
        "tagspace-lab tag DOCS --apply --resume",
        "tagspace-lab tag DOCS --model openai:gpt-4.1-mini --pages ids.txt --env-file .env",
    )
)
def tag(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="The key of a Confluence space.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write the labels; without it nothing is written.")] = False,
    mode: Annotated[
        str,
        typer.Option(
            metavar="add|suggest", help="add: labels of the vocabulary. suggest: new ones too, never written."
        ),
    ] = "add",
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="The vocabulary: one label a line. [default: any]")
    ] = None,
    pages: Annotated[
        Path | None, typer.Option("--pages", metavar="FILE", help="Only these pages: one id a line. [default: all]")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the latest task on this space that did not end well; its file is written anew."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="local, openai:NAME or anthropic:NAME. [default: TAG_SPACE_MODEL]"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="FILE.env|NAME", help="Settings. [default: TAG_SPACE_* variables]")
    ] = None,
    env_file: EnvFile = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The changes, as .csv or .json. [default: TASK.csv]"),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append every attempt (no text, no key): see `calibrate`.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Label the pages of a live Confluence space.

    A dry run, unless --apply is given: the changes are shown and written to a file. Labels are only
    ever added. Ctrl-C ends the run after the calls in flight; --resume goes on after it, after a
    crash, and after pages that failed.

    \b
    Where everything is stands in the environment or in --env-file:
      CONFLUENCE_URL              https://example.atlassian.net, or a Data Center's address
      CONFLUENCE_USERNAME, CONFLUENCE_API_TOKEN        for Cloud
      CONFLUENCE_PERSONAL_TOKEN                        for Data Center
      CONFLUENCE_KIND             cloud or data-center, where the address does not tell
      TAG_SPACE_MODEL             local (the default: needs no network), openai:NAME, anthropic:NAME
      OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL

    \b
    --json prints {task_id, space, total, processed, success, errors, skipped_by_whitelist, dry_run,
    mode, whitelist_enabled, details: [{page_id, title, status, tags, existing, added, reason}],
    state, makespan_s, cache_stats, concurrency_metrics, ...}.
    """
    from tagspace_lab.lab.changes import check_changes_path
    from tagspace_lab.live.connections import load_connections
    from tagspace_lab.live.opening import open_journal
    from tagspace_lab.live.task import Request, read_labels, read_names
    from tagspace_lab.pipeline.traces import TraceWriter

    force = force or resume  # what the task wrote when it was stopped is out of date then
    check_changes_path(output or Path("changes.csv"), force=force or output is None)
    request = Request(
        space,
        apply,
        mode,  # type: ignore[arg-type]  # it is checked there
        pages=frozenset(read_names(pages)) if pages else None,
        labels=read_labels(labels) if labels else (),
    )
    connections = load_connections(os.environ | ({"TAG_SPACE_MODEL": model} if model else {}), env_file)
    settings = read_settings(profile, env_file)
    with open_journal(connections) as journal, nullcontext() if trace is None else TraceWriter(trace) as writer:
        task_id, is_resumed = _enter(journal, request, connections, resume=resume)
        result = _run(task_id, request, connections, settings, journal, writer, is_resumed=is_resumed)
    _tell(result, output or Path(f"{task_id}.csv"), force=force, as_json=as_json)


def read_settings(profile: str | None, env_file: Path | None) -> Settings:
    """The settings of a live job."""
    from tagspace_lab.lab.replay import as_settings
    from tagspace_lab.settings import load_settings

    return as_settings(profile) if profile else load_settings(os.environ, env_file)


def _enter(journal: Journal, request: Request, connections: Connections, *, resume: bool) -> tuple[str, bool]:
    """The task that this command runs, and whether it began earlier; the journal holds it."""
    from tagspace_lab.live.running import name_task, resume_task, site_of, start_task
    from tagspace_lab.pipeline.journal import TaskState

    earlier = journal.latest(request.space, site_of(connections))
    if earlier is not None and earlier.state is TaskState.DONE:
        earlier = None
    if earlier is not None and resume:
        resume_task(journal, earlier.id, wanted=request)
        say(f"Resuming {earlier.id}.")
        return earlier.id, True
    if earlier is not None and earlier.state in (TaskState.RUNNING, TaskState.QUEUED):
        say(f"Note: {earlier.id} is {earlier.state} on this space: pages that both ask for at once are paid for twice.")
    elif earlier is not None:
        say(f"Note: {earlier.id} on this space did not end well ({earlier.state}); --resume goes on with it.")
    elif resume:
        say("There is nothing to resume on this space: starting a new task.")
    now_s = time.time()
    task_id = name_task(request.space, now_s, secrets.token_hex(2))
    return start_task(journal, request, connections, task_id=task_id, now_s=now_s), False


def _run(
    task_id: str,
    request: Request,
    connections: Connections,
    settings: Settings,
    journal: Journal,
    trace: TraceWriter | None,
    *,
    is_resumed: bool,
) -> TagResult:
    from tagspace_lab.lab.watch import watch
    from tagspace_lab.live.running import run_task
    from tagspace_lab.operations.duty import on_duty

    async def main() -> TagResult:
        stop = _Stop()
        with (
            telling_warnings(),
            on_duty(connections, os.environ, {"task_id": task_id, "space": request.space}) as alarm,
            watch(None, "page", request.space) as view,
        ):

            def show(job: TagJob, done: int, known: int) -> None:
                counters = job.counters
                view.tell(rate_limit_errors=counters.rate_limit_errors, calls=counters.total_ai_calls, usd=counters.usd)
                view.reach(done, known)

            return await run_task(
                task_id,
                request,
                connections,
                settings,
                journal,
                rng=random.Random(task_id),  # noqa: S311 - jitter, not a secret
                wall_clock=time.time,
                is_resumed=is_resumed,
                trace=trace,
                listeners=[alarm],
                on_progress=show,
                check_stop=stop.is_wanted,
            )

    return asyncio.run(main())


class _Stop:
    """Ctrl-C (or SIGTERM) asks for a stop; a second one ends at once."""

    def __init__(self) -> None:
        self._wanted = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask)

    def is_wanted(self) -> bool:
        return self._wanted

    def _ask(self) -> None:
        if self._wanted:
            raise KeyboardInterrupt("Ended at once; --resume goes on with this task.")
        self._wanted = True
        say("\nStopping: the calls in flight are finished first. Ctrl-C again ends at once.")


def _tell(result: TagResult, target: Path, *, force: bool, as_json: bool) -> None:
    """Show what changed, write it to a file, and end with the exit code that says how it went."""
    from tagspace_lab.lab.changes import write_changes
    from tagspace_lab.pipeline.journal import TaskState

    document = result.to_dict()
    try:
        if as_json:
            print_json(document)
        else:
            _show(document)
    finally:  # either place may be full
        write_changes(target, document, force=force)
    say(f"Wrote {target}: a row for each of {document['processed']:,} pages.")
    if result.absent_pages:
        shown = ", ".join(result.absent_pages[:_SHOWN_PAGES]) + (", ..." if result.absent_pages[_SHOWN_PAGES:] else "")
        say(f"Note: not found in {document['space']}, of the pages asked for: {shown} ({len(result.absent_pages):,}).")
    if result.run.broke_off:
        say(f"Note: {result.run.broke_off}")
    if result.state is not TaskState.DONE:
        say(f"Task {result.task_id} is not done: the same command with --resume goes on with it.")
        raise typer.Exit(INTERRUPTED if result.state is TaskState.STOPPED else FAILED)
    if not result.request.apply and result.request.mode == "add":
        say("This was a dry run: nothing was written. --apply writes the labels.")


def _show(document: dict[str, Any]) -> None:
    details = document["details"]
    changed = [detail for detail in details if detail["added"]]
    verb = "would get" if document["dry_run"] else "got"
    if changed:
        print_table(
            ("page", "has", verb),
            [
                (detail["title"] or detail["page_id"], " ".join(detail["existing"]), " ".join(detail["added"]))
                for detail in changed[:_SHOWN_PAGES]
            ],
            f"{document['space']}, {document['total']:,} pages: {len(changed):,} {verb} labels",
            right=False,
        )
        if len(changed) > _SHOWN_PAGES:
            say(f"... and {len(changed) - _SHOWN_PAGES:,} more: see the file.")
    else:
        say(f"{document['space']}, {document['total']:,} pages: no page {verb.replace('got', 'gets')} a label.")
    _show_errors([detail for detail in details if detail["status"] == "error"])
    metrics = document["concurrency_metrics"]
    fallbacks = f" ({metrics['fallbacks']:,} to the fallback)" if metrics["fallbacks"] else ""
    say(
        f"{document['processed']:,} pages in {document['makespan_s']:.1f} s, {document['errors']:,} errors, "
        f"{metrics['total_ai_calls']:,} calls{fallbacks}, {metrics['rate_limit_errors']:,} 429s, "
        f"{document['cache_stats']['hit_rate']:.0%} from the cache, {_word_cost(document['usd'])}."
    )


def _show_errors(failed: list[dict[str, Any]]) -> None:
    """What went wrong, once for all pages that failed alike."""
    pages: dict[str, list[str]] = {}
    for detail in failed:
        pages.setdefault(detail["reason"], []).append(detail["page_id"])
    for reason, ids in list(pages.items())[:_SHOWN_PAGES]:
        say(f"Error: page {ids[0]}{f' and {len(ids) - 1:,} more' if ids[1:] else ''}: {reason}")
    if len(pages) > _SHOWN_PAGES:
        say("... and more errors: see the file.")


def _word_cost(usd: float | None) -> str:
    return "cost unknown (no price for this model: see TAG_SPACE_PRICES)" if usd is None else f"{usd:.4f} USD"
