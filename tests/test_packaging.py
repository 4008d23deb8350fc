"""One list of dependencies, told three times: pyproject.toml, requirements.lock, environment.yml."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def required(*extras: str) -> dict[str, str]:
    """Package -> lower bound."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {name.partition("[")[0]: bound for name, _, bound in (line.partition(">=") for line in lines)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return next(folder.glob("*.whl"))


def test_lock_pins_every_dependency_at_or_above_its_lower_bound() -> None:
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", LOCK, re.MULTILINE))
    for name, bound in required(*PROJECT["optional-dependencies"]).items():
        assert parse_version(pins[name]) >= parse_version(bound), name


def test_lock_names_no_place() -> None:
    for line in LOCK.splitlines():
        assert re.fullmatch(
            r"[a-z0-9._-]+==\S+( ; [a-z_]+ .*)?|    #( +via)?( +[A-Za-z0-9._-]+( \(pyproject\.toml\))?)?", line
        )


def test_conda_environment_agrees_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    names = [line for line in environment["dependencies"] if isinstance(line, str)]
    listed = {name: bound for name, _, bound in (line.partition(">=") for line in names)}
    assert f">={listed.pop('python')}" == PROJECT["requires-python"]
    assert listed.pop("pip") == ""
    assert listed == required("lab", "test")


def test_wheel_carries_the_package_and_what_it_needs_at_run_time(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "data").rglob("*") if path.is_file()}
    assert {f"tagspace_lab/{name}" for name in shipped} <= names
    assert {"tagspace_lab/py.typed", "tagspace_lab/settings.py"} <= names
    assert not [name for name in names if name.startswith(("tests/", "data/", "notebooks/"))]


def test_installed_wheel_finds_its_shipped_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tagspace_lab.lab.profiles import read_profile\n"
        "from tagspace_lab.shipped import shipped_dir, shipped_names\n"
        "print(shipped_dir(), *shipped_names('profiles', '.env'), read_profile('default').settings.batch_size)"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "site")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(tmp_path / "site/tagspace_lab/data"), "conservative", "default", "5"]


def test_console_script_names_the_command() -> None:
    assert PROJECT["scripts"] == {"tagspace-lab": "tagspace_lab.cli:main"}
