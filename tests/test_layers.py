"""Imports run down only, and a few libraries have one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tagspace_lab"
GROUND = {"records", "errors", "shipped"}
ROOMS = (
    "records errors shipped settings policy twin clients pipeline live lab integration service operations cli".split()
)
BELOW = {
    "records": set[str](),
    "errors": set[str](),
    "shipped": {"errors"},
    "settings": {"errors"},
    "policy": {"records", "errors", "settings"},
    "twin": GROUND,
    "clients": GROUND | {"settings", "policy", "twin"},
    "pipeline": GROUND | {"settings", "policy", "twin", "clients"},
    "live": GROUND | {"settings", "policy", "clients", "pipeline"},
    "lab": GROUND | {"settings", "policy", "twin", "clients", "pipeline", "live"},
    "integration": GROUND | {"settings", "policy", "clients", "pipeline", "live"},
    "service": GROUND | {"settings", "policy", "clients", "pipeline", "live", "integration"},
    "operations": GROUND | {"settings", "policy", "twin", "clients", "pipeline", "live", "lab", "integration"},
    "cli": set(ROOMS),
}
IMPURE = {"asyncio", "httpx", "time", "os", "pathlib", "sqlite3"}
ONE_HOME: dict[str, str | tuple[str, ...]] = {
    "optuna": ("lab/search.py", "lab/storages.py"),
    "matplotlib": "lab/plots/",
}


def find_imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names; `from a import b` gives `a.b`, so that a room taken from the package's top is seen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def find_faults(place: str, source: str) -> list[str]:
    """What breaks the rules in the source of `place`, a path inside the package such as `policy/text.py`."""
    tree = ast.parse(source)
    room = Path(place).parts[0].removesuffix(".py")
    return [
        *(fault for name in find_imports(tree) if (fault := judge_import(room, name))),
        *(fault for name in find_imports(without_typing(tree)) if (fault := judge_home(place, name))),
        *(fault for node in ast.walk(tree) if (fault := judge_call(node))),
    ]


def without_typing(tree: ast.Module) -> ast.Module:
    """The top of a module that runs: what only a type checker sees may name any library."""
    is_typing = [isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" for node in tree.body]
    return ast.Module([node for node, skipped in zip(tree.body, is_typing, strict=True) if not skipped], [])


def judge_home(place: str, name: str) -> str | None:
    """A home is a file or several, or the beginning of their names."""
    home = ONE_HOME.get(name.split(".")[0], place)
    return None if place.startswith(home) else f"{name} belongs in {home}"


def judge_import(room: str, name: str) -> str | None:
    top, *rest = name.split(".")
    if not top:
        return f"{name} is relative"
    if top == "pickle" or name == "time.sleep" or (top == "random" and rest not in ([], ["Random"])):
        return f"{name} is banned"
    if room == "policy" and top in IMPURE:
        return f"{name} is impure"
    allowed = BELOW.get(room, set(BELOW)) | {room, "__version__"}
    return f"{room} may not import {name}" if top == "tagspace_lab" and rest and rest[0] not in allowed else None


def judge_call(node: ast.AST) -> str | None:
    """Randomness comes from a generator that was given a seed; nothing blocks the loop."""
    if not isinstance(node, ast.Call):
        return None
    called = ast.unparse(node.func)
    if called == "time.sleep":
        return "time.sleep blocks the loop"
    if called in {"random.Random", "Random"}:
        return None if node.args else "Random without a seed"
    return f"{called} draws from the shared generator" if called.startswith("random.") else None


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_rules(path: Path) -> None:
    assert find_faults(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8")) == []


def test_every_room_has_its_place() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} <= set(BELOW)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("policy/text.py", "import asyncio"),
        ("policy/text.py", "from pathlib import Path"),
        ("policy/text.py", "def f():\n    import sqlite3"),
        ("policy/text.py", "import random\nrandom.random()"),
        ("policy/text.py", "import random\nrandom.Random()"),
        ("twin/noise.py", "from random import random"),
        ("policy/text.py", "from tagspace_lab import pipeline"),
        ("policy/text.py", "from tagspace_lab.twin.clock import run_virtual"),
        ("policy/text.py", "from .. import records"),
        ("twin/quotas.py", "from tagspace_lab.settings import Settings"),
        ("twin/quotas.py", "import tagspace_lab.policy.limits"),
        ("errors.py", "from tagspace_lab.records import Page"),
        ("lab/sweep.py", "import optuna"),
        ("lab/tune.py", "import matplotlib.pyplot as plt"),
        ("lab/plots.py", "import matplotlib.pyplot as plt"),
        ("lab/tune.py", "import time\ntime.sleep(1)"),
        ("cli.py", "from time import sleep"),
        ("cli.py", "import pickle"),
    ],
)
def test_breach_is_found(place: str, source: str) -> None:
    assert find_faults(place, source)


@pytest.mark.parametrize(
    "source",
    [
        "import optuna",
        "from tagspace_lab import __version__, records",
        "import random\nrandom.Random(1)",
        "if TYPE_CHECKING:\n    from matplotlib.axes import Axes",
    ],
)
def test_lawful_source_passes(source: str) -> None:
    assert find_faults("lab/search.py", source) == []
