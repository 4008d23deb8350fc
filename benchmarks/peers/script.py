"""What the client scripts share: their arguments, and the one line that they print.

Standard library only: every script runs in an environment of its own, where this project is not installed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.metadata import version

__all__ = ["AT_ONCE", "RETRIES", "Job", "read_job", "report"]

AT_ONCE = 32
"""Calls that a client may have in flight."""
RETRIES = 30
"""How often a client that counts them may send one call again."""


@dataclass(frozen=True, slots=True)
class Job:
    """`base_url` ends in `/v1`. `rate_per_min` is the true limit, for a client that has to be told one."""

    base_url: str
    calls: int
    rate_per_min: float | None
    seed: int
    throttle: str

    @property
    def prompts(self) -> list[str]:
        return [f"Say hi {number}" for number in range(self.calls)]


def read_job() -> Job:
    """What the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--rate-per-min", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--throttle", default="learned", help="for our own client: a name of policy.limits.LIMITERS")
    return Job(**vars(parser.parse_args()))


def report(job: Job, done: int, package: str) -> None:
    """Print the result. How long it took and what was refused is the twin's to say."""
    print(
        json.dumps({"done": done, "undone": job.calls - done, "version": f"{package} {version(package)}"}), flush=True
    )
