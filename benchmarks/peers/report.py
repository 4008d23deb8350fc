"""Medians, targets and the text of the section: what the runs say, without making any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure
from benchmarks.peers.challenges import CHALLENGES, LONG, Challenge
from benchmarks.peers.clients import CLIENTS, OURS
from benchmarks.peers.runs import Run
from benchmarks.results import format_table

__all__ = ["HEADING", "Score", "format_scores", "format_section", "judge", "score_runs"]

HEADING = "Beside other clients"
_HEAD = """\
`make bench-peers` writes this section: {calls} calls over real sockets against the served twin, median of {repeats}
runs. A cell is the makespan in s, from the arrival of the first request to the last answer, in brackets bound /
makespan, then the number of 429s. A client that left calls undone in any of its runs has no makespan: how many it
left is counted instead. All may have 32 calls in flight and send one again 30 times. Two are favoured: curator's
question for the headers is not counted, and aiolimiter is told the true rate (in `halving` the first one).
"""
_PICTURE = "![Efficiency against 429s, a panel a scenario](../docs/peers.png)"
_SCHEDULE = """\
Every run has a twin of its own, in a process of its own. Clients that hold themselves back and clients that storm
run apart, two at a time; the scenarios that mostly wait six at a time; the long ones, ours alone, five at a time.
"""


@dataclass(frozen=True, slots=True)
class Score:
    """One cell: medians over the runs of a client in a challenge; `undone` is that of the worst run."""

    makespan_s: float
    efficiency: float
    refused: float
    refused_share: float
    undone: int

    def __str__(self) -> str:
        if self.undone:
            return f"**{self.undone} undone**, {self.refused:,.0f}"
        return f"{self.makespan_s:.1f} ({_share(self.efficiency)}), {self.refused:,.0f}"


Scores = Mapping[tuple[str, str], Score]
"""By names of client and challenge."""


@dataclass(frozen=True, slots=True)
class _Target:
    challenge: str
    efficiency: float
    refused: int | None = None


_TARGETS = (
    _Target("A-headers", 0.98, 0),
    _Target("A", 0.88),
    _Target("A-blind", 0.95, 8),
    _Target("B", 0.92, 4),
    _Target("C", 0.88),
    *(_Target(challenge.name, 0.97, challenge.calls // 100) for challenge in LONG),
)
"""What our own client promises; every call is to be done, too."""


def score_runs(runs: Sequence[Run]) -> dict[tuple[str, str], Score]:
    """A score for each client and challenge that was run."""
    bounds_s = {challenge.name: challenge.bound_s for challenge in (*CHALLENGES, *LONG)}
    scores = {}
    for key in dict.fromkeys((run.client, run.challenge) for run in runs):
        mine = [run for run in runs if (run.client, run.challenge) == key]
        makespan_s, refused = median(run.makespan_s for run in mine), median(run.refused for run in mine)
        undone = max(run.undone for run in mine)
        efficiency = 0.0 if undone else bounds_s[key[1]] / makespan_s
        scores[key] = Score(makespan_s, efficiency, refused, refused / mine[0].calls, undone)
    return scores


def judge(scores: Scores) -> list[Figure]:
    """Our targets, as far as they were measured."""
    figures = []
    for target in _TARGETS:
        if score := scores.get((OURS, target.challenge)):
            wanted = f"every call done, >= {_share(target.efficiency)}"
            if target.refused is not None:
                wanted += f", 429s <= {target.refused}"
            holds = not score.undone and score.efficiency >= target.efficiency
            holds &= target.refused is None or score.refused <= target.refused
            figures.append(Figure(f"{OURS}, {target.challenge}", wanted, str(score), holds))
    return figures


def format_scores(scores: Scores, challenges: Sequence[Challenge], missing: Mapping[str, str]) -> str:
    """The table client x challenge. `missing`: why a client could not be measured, by its name."""
    head = ["client", *(f"{challenge.name}: {challenge.title}" for challenge in challenges)]
    bounds = ["lower bound", *(f"{challenge.bound_s:.2f} s" for challenge in challenges)]
    clients = [client for client in CLIENTS.values() if any(key[0] == client.name for key in scores)]
    rows = [
        [
            f"**{client.title}**" if client.name == OURS else client.title,
            *(str(scores.get((client.name, challenge.name), "-")) for challenge in challenges),
        ]
        for client in clients
    ]
    absent = [[CLIENTS[name].title, *["not installed"] * len(challenges)] for name in missing]
    return format_table(head, [bounds, *rows, *absent])


def format_section(runs: Sequence[Run], missing: Mapping[str, str]) -> str:
    """The whole section below its heading."""
    scores = score_runs(runs)
    targets = ((figure.what, figure.target, figure.measured, figure.verdict) for figure in judge(scores))
    ours = {key: score for key, score in scores.items() if CLIENTS[key[0]].throttle}
    repeats = 1 + max(run.repeat for run in runs)
    parts = [
        _HEAD.format(calls=CHALLENGES[0].calls, repeats=repeats),
        format_scores(scores, CHALLENGES, missing),
        _PICTURE,
        f"{LONG[0].calls:,} calls, our own client alone:",
        format_scores(ours, LONG, {}),
        "What our own client promises:",
        format_table(("target", "wanted", "measured", ""), targets),
        *(f"{CLIENTS[name].title} could not be installed: {reason}." for name, reason in missing.items()),
        *_problems(runs),
        _SCHEDULE,
        f"Versions: {_versions(runs)}.",
    ]
    return "\n\n".join(part.strip() for part in parts)


def _problems(runs: Sequence[Run]) -> list[str]:
    """What made runs end early, each once."""
    ended = [run for run in runs if run.problem]
    told = dict.fromkeys(f"{CLIENTS[run.client].title} in {run.challenge}: {run.problem}." for run in ended)
    return ["Runs that did not end by themselves: " + " ".join(told)] if told else []


def _versions(runs: Sequence[Run]) -> str:
    told = {run.client: run.version for run in runs if run.version}
    return ", ".join(dict.fromkeys(told[name] for name in CLIENTS if name in told))


def _share(value: float) -> str:
    """`.95`; rounded down, so that a missed target does not look like one that holds."""
    return f"{int(value * 100 + 1e-9) / 100:.2f}".removeprefix("0")
