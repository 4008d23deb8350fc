"""The command line `tagspace-lab`: what a person types becomes one call of the package.

A command checks its options, calls the lab, and shows what came out: results on standard output,
progress and messages on standard error. Heavy libraries are imported inside the commands, so that
`--help` is quick. How commands end is told in :mod:`tagspace_lab.cli.endings`.
"""

from __future__ import annotations

from tagspace_lab.cli.app import main

__all__ = ["main"]
