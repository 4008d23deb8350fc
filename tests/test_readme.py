"""What README shows is what the commands print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
SHOWN = re.findall(r"```console\n\$ tagspace-lab ([^\n]+)\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_shown_output_is_what_the_command_prints(command: str, output: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tagspace_lab", *command.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
        check=True,
    )
    printed = "\n".join(line.rstrip() for line in run.stdout.splitlines()).strip()
    assert printed == output.strip()


def test_readme_shows_something() -> None:
    assert len(SHOWN) >= 2
