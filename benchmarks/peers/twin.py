"""The twin of one run, in a process of its own: `python -m benchmarks.peers.twin CHALLENGE SEED`.

It prints its address, serves until its standard input ends, then prints what it saw: the only clock and the only
count of refusals that all clients share.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.peers.challenges import SPACE, find_challenge
from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app

__all__ = ["Seen"]

_UNREADABLE = 400


@dataclass(slots=True)
class Seen:
    """`makespan_s`: from the arrival of the first call to the last answer, whatever it was."""

    answered: int = 0
    refused: int = 0
    makespan_s: float = 0.0


class _Watch:
    """Notes when calls arrive and are answered. One that asks nothing is a question about headers, and no call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._began_s: float | None = None
        self.seen = Seen()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived_s = time.perf_counter()

        async def note(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] != _UNREADABLE:
                self._began_s = arrived_s if self._began_s is None else min(self._began_s, arrived_s)
                self.seen.makespan_s = time.perf_counter() - self._began_s
                self.seen.answered += message["status"] == 200
                self.seen.refused += message["status"] == 429

        is_call = scope["type"] == "http" and scope["method"] == "POST"
        await self._app(scope, receive, note if is_call else send)


def main(challenge: str, seed: str) -> None:
    scenario = find_challenge(challenge).scenario
    watch = _Watch(build_app(scenario, SPACE, seed=int(seed), wall_clock=time.time))
    with serve(watch) as address:
        print(address, flush=True)
        sys.stdin.read()
    print(json.dumps(asdict(watch.seen)))


if __name__ == "__main__":
    main(*sys.argv[1:])
