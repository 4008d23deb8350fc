"""Measure all clients in all scenarios, or those that are named; write the section and the picture if all were.

`python -m benchmarks.peers learned openai-sdk --scenario A`. The order of things stands in `schedule.py`. The runs
of a whole measurement are kept in `out/peers.json`, from which `--redraw` makes section and picture again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.challenges import CHALLENGES, LONG, find_challenge
from benchmarks.peers.clients import CLIENTS, OURS, ROOT, Client, NotInstalledError, find_python
from benchmarks.peers.picture import draw_picture
from benchmarks.peers.report import HEADING, format_scores, format_section, judge, score_runs
from benchmarks.peers.runs import Run, measure
from benchmarks.peers.schedule import Stage, plan
from benchmarks.results import write_section

_KEPT = ROOT / "out" / "peers.json"
_USUAL = [client for client in CLIENTS.values() if client.name == OURS or not client.throttle]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 1 if a target was missed, 2 for a name that nobody has."""
    asked = _read_arguments(arguments)
    if asked.redraw:
        kept = json.loads(_KEPT.read_text("utf-8"))
        return _publish([Run(**run) for run in kept["runs"]], kept["missing"])
    pythons, missing = _install([CLIENTS[name] for name in asked.clients] or _USUAL)
    is_whole = not asked.clients and not asked.scenario
    chosen = [find_challenge(name) for name in asked.scenario] or [*CHALLENGES, *(LONG if is_whole else ())]
    usual, long = ([challenge for challenge in chosen if challenge in group] for group in (CHALLENGES, LONG))
    runs = list(_work_off(plan([CLIENTS[name] for name in pythons], usual, long, asked.repeats), pythons))
    if is_whole:
        _KEPT.parent.mkdir(exist_ok=True)
        _KEPT.write_text(json.dumps({"runs": [asdict(run) for run in runs], "missing": missing}, indent=1), "utf-8")
        return _publish(runs, missing)
    scores = score_runs(runs)
    print(f"\n{format_scores(scores, chosen, missing)}")
    return _tell_targets(runs)


def _read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.partition("\n")[0])
    names = [challenge.name for challenge in (*CHALLENGES, *LONG)]
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}; those of ours are more")
    parser.add_argument("--scenario", action="append", default=[], choices=names, help="may be given several times")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each client in each scenario")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; write the last whole measurement again")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.clients if name not in CLIENTS]:
        parser.error(f"no client is called {', '.join(unknown)}; there are: {', '.join(CLIENTS)}")
    return asked


def _install(clients: Sequence[Client]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of those that can be measured, and why the others cannot, by name."""
    pythons, missing = {}, {}
    for client in clients:
        print(f"{client.name}: environment", end=" ", flush=True)
        try:
            pythons[client.name] = find_python(client)
        except NotInstalledError as error:
            missing[client.name] = str(error)
        print(f"is missing: {missing[client.name]}" if client.name in missing else "is ready", flush=True)
    return pythons, missing


def _work_off(stages: Sequence[Stage], pythons: Mapping[str, Path]) -> Iterator[Run]:
    """Make all runs, stage by stage; prints a line for each that has ended."""
    total, number = sum(len(stage.tasks) for stage in stages), 0
    for stage in stages:
        with ThreadPoolExecutor(stage.at_once) as threads:
            tasks = (
                threads.submit(measure, task.client, pythons[task.client.name], task.challenge, task.repeat)
                for task in stage.tasks
            )
            for ended in as_completed(list(tasks)):
                run, number = ended.result(), number + 1
                print(f"{number:3}/{total} {stage.name:7}{_line(run)}", flush=True)
                yield run


def _line(run: Run) -> str:
    bound_s = find_challenge(run.challenge).bound_s
    score = f", {run.undone} undone" if run.undone else f" ({bound_s / run.makespan_s:.3f})"
    problem = f" ({run.problem})" if run.problem else ""
    return f"{run.client:11}{run.challenge:15}{run.makespan_s:6.2f} s{score}, {run.refused} 429s{problem}"


def _publish(runs: Sequence[Run], missing: Mapping[str, str]) -> int:
    write_section(HEADING, format_section(runs, missing))
    draw_picture(score_runs(runs))
    return _tell_targets(runs)


def _tell_targets(runs: Sequence[Run]) -> int:
    figures = judge(score_runs(runs))
    for figure in figures:
        print(f"{figure.verdict:8}{figure.what}: {figure.measured} ({figure.target})")
    return 1 if any(figure.holds is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
