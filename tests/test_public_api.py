"""What `tagspace_lab` promises. A name that is taken away or renamed here breaks other people's programs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import tagspace_lab

NAMES = """
    GeneratedSpace Goals InputError Page Profile Report RunSummary Scenario ServiceError Settings Space
    TagspaceError Tuned Verification __version__ calibrate diff_profiles hits_by_day load_scenario load_settings
    load_space measure_effects plot_before_after plot_efficiency plot_front plot_gain plot_hits plot_importance plot_map
    plot_quality plot_run plot_sweep plot_throttle plot_throttles plot_trials quality_by_place read_profile replay
    save_space snapshot_folder sweep tune verify weigh_settings write_profile
""".split()

PARAMETERS = {
    "replay": "space scenario settings runs seed baseline wall_clock progress check_stop trace",
    "sweep": "space scenario grid settings seeds seed runs jobs progress",
    "tune": "space scenario settings trials seeds seed runs jobs batch vary pareto exhaustive storage scheduler goals"
    " progress",
    "verify": "profile space scenario against beside seeds seed runs jobs scheduler goals progress",
    "calibrate": "trace name",
    "hits_by_day": "space cache_sizes days",
    "measure_effects": "before after space scenario seeds seed runs jobs progress",
    "quality_by_place": "space scenario batch_sizes seeds",
    "weigh_settings": "frame value",
    "plot_run": "report ax run",
    "plot_throttle": "report ax run",
    "plot_trials": "tuned ax",
    "plot_sweep": "frame x y hue ax run",
    "plot_before_after": "runs ax",
    "plot_efficiency": "runs ax",
    "plot_front": "front trials x y ax",
    "plot_gain": "verification ax",
    "plot_hits": "frame ax",
    "plot_importance": "importance ax of",
    "plot_map": "frame x y value trials ax run",
    "plot_quality": "frame ax",
    "plot_throttles": "scores ax",
}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout


def test_names_are_these() -> None:
    assert sorted(tagspace_lab.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(tagspace_lab))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_name_is_there_and_documented(name: str) -> None:
    documentation = inspect.getdoc(getattr(tagspace_lab, name)) or ""
    assert documentation
    assert not documentation.startswith(f"{name}("), "only the docstring that dataclasses make"


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters_are_these(name: str, parameters: str) -> None:
    assert list(inspect.signature(getattr(tagspace_lab, name)).parameters) == parameters.split()


def test_type_checkers_see_what_python_sees() -> None:
    source = Path(inspect.getfile(tagspace_lab)).read_text("utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: node.module for node in nodes for alias in node.names}
    assert {name: typed[name] for name in tagspace_lab._HOME_OF} == tagspace_lab._HOME_OF
    assert set(tagspace_lab._HOME_OF) | {"__version__"} == set(NAMES)


def test_star_import_brings_every_name() -> None:
    found: dict[str, object] = {}
    exec("from tagspace_lab import *", found)
    assert set(NAMES) <= set(found)


def test_import_alone_loads_nothing_else() -> None:
    code = "import sys, tagspace_lab; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(ast.literal_eval(run_python(code)))
    assert not loaded & {"httpx", "joblib", "matplotlib", "numpy", "optuna", "pandas", "pydantic", "selectolax"}


def test_replay_needs_neither_plots_nor_studies() -> None:
    code = "import sys; from tagspace_lab import replay; print(sorted({name.split('.')[0] for name in sys.modules}))"
    assert not set(ast.literal_eval(run_python(code))) & {"matplotlib", "optuna"}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tagspace_lab' has no attribute 'replays'"):
        tagspace_lab.replays  # noqa: B018
