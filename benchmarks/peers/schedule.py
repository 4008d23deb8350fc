"""What runs beside what, in four stages, so that nobody's storm is measured in somebody else's numbers.

1. *calm*: clients that hold themselves back, in the fast challenges, two at a time.
2. *storms*: clients that send again whatever was refused, in the fast challenges, two at a time and only beside
   each other. One storm takes its client and its twin a tenth to a third of one processor, imports aside.
3. *slow*: everybody in the challenges that mostly wait, six at a time.
4. *long*: our own client with ten times the calls, once, five at a time: each takes a twentieth of a processor.

Repeats come last: what a machine does for a minute meets all clients once rather than one client always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.challenges import Challenge
from benchmarks.peers.clients import Client

__all__ = ["Stage", "Task", "plan"]

_FAST_AT_ONCE, _SLOW_AT_ONCE, _LONG_AT_ONCE = 2, 6, 5


@dataclass(frozen=True, slots=True)
class Task:
    """One run that is to be made."""

    client: Client
    challenge: Challenge
    repeat: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks to be worked off in order, at most `at_once` at the same time."""

    name: str
    tasks: tuple[Task, ...]
    at_once: int


def plan(
    clients: Sequence[Client], challenges: Sequence[Challenge], long: Sequence[Challenge], repeats: int
) -> list[Stage]:
    """The stages that have anything to do. A client that must be told a rate sits out where there is none."""

    def tasks(who: Sequence[Client], where: Sequence[Challenge], times: int) -> tuple[Task, ...]:
        return tuple(
            Task(client, challenge, repeat)
            for repeat in range(times)
            for challenge in where
            for client in who
            if challenge.rate_per_min or not client.is_told
        )

    fast = [challenge for challenge in challenges if not challenge.is_slow]
    slow = [challenge for challenge in challenges if challenge.is_slow]
    stages = (
        Stage("calm", tasks([client for client in clients if not client.storms], fast, repeats), _FAST_AT_ONCE),
        Stage("storms", tasks([client for client in clients if client.storms], fast, repeats), _FAST_AT_ONCE),
        Stage("slow", tasks(clients, slow, repeats), _SLOW_AT_ONCE),
        Stage("long", tasks([client for client in clients if client.throttle], long, 1), _LONG_AT_ONCE),
    )
    return [stage for stage in stages if stage.tasks]
