"""The real readers of a profile: python-dotenv, bash, docker's command line, systemd's parser.

systemd's EnvironmentFile parser lives in a shared library, and the environment-d generator is the
one program that runs it without being PID 1. Rules it shares with systemd.exec(5): quotes are
removed, blanks around a value too, and a backslash at a line's end joins the next line.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tagspace_lab.lab.envfiles import FIVE_KEYS, apply_profile
from tagspace_lab.lab.profiles import Profile, Provenance, check_profile, render_profile
from tagspace_lab.settings import Settings
from tagspace_lab.shipped import shipped_file

Reader = Callable[[Path], dict[str, str]]

_GENERATORS = tuple(
    Path(root, "systemd/user-environment-generators/30-systemd-environment-d-generator")
    for root in ("/usr/lib", "/lib")
)
_AWKWARD = Provenance(
    "Münchner\nWiki=1 'x' \\", "h", "s", "h", (1,), 1, 1.0, 1.0, 1.0, notes=("export A=1", "$(false) `false` \\")
)
_TUNED = Settings(
    ai_concurrency=8,
    max_ai_concurrency=12,
    cache_enabled=False,
    retry_budget=1e-05,
    requests_per_min=499.5,
    throttle="fixed",
)


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30, text=True)
    assert done.stderr == ""
    return done.stdout


def parse(pairs: list[str]) -> dict[str, str]:
    split = (pair.partition("=") for pair in pairs if pair.startswith("TAG_SPACE_"))
    return {name: value for name, _, value in split}


def read_with_dotenv(path: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(path).items()}


def read_with_bash(path: Path) -> dict[str, str]:
    bash = find_program("bash")
    return parse(run(bash, "--norc", "-c", 'set -aeu; source "$0"; env -0', path, PATH="/usr/bin:/bin").split("\0"))


def read_with_systemd(path: Path) -> dict[str, str]:
    generator = next((path for path in _GENERATORS if path.exists()), None)
    if generator is None:
        pytest.skip("systemd's environment-d generator is not installed")
    folder = path.parent / "environment.d"
    folder.mkdir()
    shutil.copy(path, folder / "profile.conf")
    return parse(run(generator, XDG_CONFIG_HOME=str(path.parent), HOME=str(path.parent)).splitlines())


def read_with_docker(path: Path) -> dict[str, str]:
    docker = find_program("docker")
    with engine() as (address, created):
        run(docker, "create", "--env-file", path, "image", DOCKER_HOST=address, HOME=str(path.parent))
    return parse(created[0]["Env"])


def find_program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


@contextmanager
def engine() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A Docker Engine that only takes note of the containers it is asked to create."""
    created: list[dict[str, list[str]]] = []

    class Engine(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.reply(200, b"")

        def do_POST(self) -> None:
            created.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.reply(201, b'{"Id": "c0ffee", "Warnings": []}')

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Api-Version", "1.41")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}", created
        finally:
            server.shutdown()
            thread.join()


READERS = [read_with_dotenv, read_with_bash, read_with_docker, read_with_systemd]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("settings", [Settings(), _TUNED], ids=["default", "tuned"])
def test_exported_profile_means_the_same_to(reader: Reader, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "profile.env"
    path.write_text(render_profile(settings, _AWKWARD), "utf-8")
    written = settings.to_variables()
    seen = reader(path)
    assert list(seen)[:5] == list(written)[:5] or reader is not read_with_docker
    assert seen.items() <= written.items()
    assert written.items() - seen.items() <= Settings().to_variables().items()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["default", "conservative"])
def test_shipped_profile_means_the_same_to(reader: Reader, name: str, tmp_path: Path) -> None:
    path = Path(shutil.copy(shipped_file("profiles", f"{name}.env"), tmp_path))
    assert reader(path) == read_with_dotenv(path)


@pytest.mark.parametrize("reader", READERS)
def test_file_that_a_profile_was_applied_to_means_the_same_to(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "app.env"
    path.write_text("# mine\nOTHER=1\nTAG_SPACE_BATCH_SIZE=5\nTAG_SPACE_BATCH_SIZE=6\n# the end\\")
    apply_profile(Profile("tuned", _TUNED), path)
    written = _TUNED.to_variables()
    seen = reader(path)
    assert {name: seen.get(name) for name in FIVE_KEYS} == {name: written[name] for name in FIVE_KEYS}


@pytest.mark.parametrize(
    ("reader", "text", "seen"),
    [
        (read_with_docker, "TAG_SPACE_A='8'\n", "'8'"),
        (read_with_docker, "TAG_SPACE_A=8 # x\n", "8 # x"),
        (read_with_docker, "TAG_SPACE_A=8 \n", "8 "),
        (read_with_bash, "TAG_SPACE_A=8#x$HOME\n", None),
        (read_with_systemd, "# note\\\nTAG_SPACE_A=8\n", None),
        (read_with_systemd, "export TAG_SPACE_A=8\n", None),
    ],
)
def test_reader_stumbles_over_what_the_check_refuses(
    reader: Reader, text: str, seen: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "profile.env"
    path.write_text(text)
    assert any("is not a setting" not in problem.what for problem in check_profile(path))
    try:
        value = reader(path).get("TAG_SPACE_A")
    except (AssertionError, subprocess.CalledProcessError):
        value = None
    assert value == seen
