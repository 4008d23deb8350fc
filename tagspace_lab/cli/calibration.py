"""`tagspace-lab calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagspace_lab.cli.options import AsJson, Force, examples
from tagspace_lab.cli.screen import print_json, print_table, say

if TYPE_CHECKING:
    from tagspace_lab.lab.calibration.calibration import Calibration
    from tagspace_lab.lab.calibration.check import Check

__all__ = ["commands"]

commands = typer.Typer()

_WORDS = {
    "makespan_s": "makespan, s",
    "p50_s": "p50 latency, s",
    "p95_s": "p95 latency, s",
    "refusals": "429s",
    "calls": "calls answered",
    "tokens": "tokens",
}


@commands.command(
    epilog=examples(
        "tagspace-lab calibrate run.jsonl -o mine.toml --check",
        "tagspace-lab calibrate run.jsonl -o mine.toml --check --space my.jsonl.gz",
        "tagspace-lab replay medium --scenario blind-bucket --runs 1 --trace run.jsonl",
        "tagspace-lab calibrate run.jsonl -o mine.toml --json | jq '.check.is_close'",
    )
)
def calibrate(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A file that runs were recorded to.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.toml", help="Where the scenario is written.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Replay the recorded run in the scenario, and compare.")
    ] = False,
    space: Annotated[
        str | None, typer.Option("--space", metavar="SPACE", help="The space that was recorded, for --check.")
    ] = None,
    onto: Annotated[
        Path | None,
        typer.Option("--quality", metavar="FILE.toml", help="A measured [quality] table to take in (see `quality`)."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit a scenario to a recorded run: its limits, latency, tokens and errors.

    Says of every value how sure it is and where it was seen: in headers, in refusals, in latencies or
    tokens. What a trace cannot show (a limit that was never reached, the labels) keeps its default, and is
    said. --check replays the longest recorded run in virtual time, with other luck 5 to 25 times,
    and calls the medians close if the makespan is within 5 %, the 95th percentile of the latency
    within 10 % and the 429s within 2. Without --space the pages are made up, as many and as long.

    --json prints {scenario, runs, attempts, findings, notes, check}. Each of findings holds
      key, value          a key of the scenario; null: not seen, left at its default
      low, high           its interval, null where that means nothing
      source, note        where it was seen; what to know of it
    check (null without --check) holds is_close, misses, and figures: for makespan_s, p50_s, p95_s,
    refusals, calls and tokens the recorded value, the twin's, its lowest and highest, and the error
    as a share.
    """
    from tagspace_lab.lab.calibration.calibration import calibrate as fit
    from tagspace_lab.lab.calibration.check import check as replay_again
    from tagspace_lab.lab.files import check_writable, replacing
    from tagspace_lab.lab.replay import as_space

    if output:
        check_writable(output, force=force)
    calibration = fit(trace, output.stem if output else "calibrated")
    if onto:
        from tagspace_lab.lab.quality import read_quality

        calibration = calibration.with_quality(read_quality(onto))
    result = replay_again(calibration, as_space(space) if space else None) if check else None
    if as_json:
        print_json(calibration.to_dict() | {"check": result.to_dict() if result else None})
    else:
        _show(calibration, result)
    if output:
        with replacing(output) as file:
            file.write(calibration.to_toml().encode())
        say(f"Wrote {output}.")


def _show(calibration: Calibration, result: Check | None) -> None:
    rows = [
        (
            each.key.removeprefix("provider."),
            "-" if each.value is None else _word(each.value),
            "-" if each.low is None or each.high is None else f"{each.low:.4g} to {each.high:.4g}",
            each.source,
        )
        for each in calibration.findings
    ]
    print_table(("key", "value", "interval", "seen in"), rows, calibration.description, right=False)
    for finding in calibration.findings:
        if finding.value is None and finding.note:
            say(f"Not seen: {finding.key}: {finding.note}")
    for note in calibration.notes:
        say(f"Note: {note}")
    if result is None:
        return
    figures = [
        (_WORDS[name], _word(recorded), _word(twin), f"{low:.4g} to {high:.4g}", f"{error:+.1%}")
        for name, recorded, twin, low, high, error in result.rows()
    ]
    verdict = "close" if result.is_close else f"not close: {', '.join(result.misses)}"
    print_table(("figure", "recorded", "twin", "range", "error"), figures, f"The recorded run in the twin: {verdict}")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
