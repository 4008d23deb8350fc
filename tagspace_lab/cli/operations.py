"""`tagspace-lab monitor`, `check` and `diagnose`: what runs, whether it is ready to, and what holds it up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.options import AsJson, Force, examples
from tagspace_lab.cli.screen import print_json, say

if TYPE_CHECKING:
    from tagspace_lab.operations.diagnose import Finding

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab diagnose report.json",
        "tagspace-lab diagnose trace.jsonl -o try.env",
        "tagspace-lab replay medium --json > report.json; tagspace-lab diagnose report.json",
    )
)
def diagnose(
    document: Annotated[
        Path, typer.Argument(metavar="REPORT|TRACE", help="What `replay --json` printed, or a recorded trace.")
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

    \b
    --json prints {space, scenario, binds, findings, settings}: binds is the first finding's. Each of
    findings holds binds (errors, batch too large, cache too small, memory, requests, tokens,
    concurrency, Confluence, refusals or nothing), words, numbers, changes (variable -> value) and
    advice; settings are those of the run with all the changes.
    """
    from tagspace_lab.operations.diagnose import diagnose as find
    from tagspace_lab.operations.diagnose import to_dict, write_proposal
    from tagspace_lab.operations.evidence import read_evidence
    from tagspace_lab.operations.machine import available_bytes

    evidence = read_evidence(document)
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
