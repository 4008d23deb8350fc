"""A dask scheduler with workers, and a PostgreSQL server: real ones, on loopback, for as long as a test needs them."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

_MODULES = "distributed.cli.dask_{}"


@contextmanager
def run_dask(folder: Path, workers: int = 2) -> Iterator[str]:
    """The address of a scheduler with so many worker processes."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            _running([*_dask("scheduler"), "--host", "127.0.0.1", "--port", "0", "--no-dashboard"], folder)
        )
        address = _read_address(scheduler)
        for _ in range(workers):
            options = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1"]
            stack.enter_context(_running([*_dask("worker"), address, *options], folder))
        yield address


def _dask(role: str) -> list[str]:
    return [sys.executable, "-m", _MODULES.format(role)]


def _read_address(scheduler: subprocess.Popen[str]) -> str:
    assert scheduler.stderr
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            return line.rsplit(maxsplit=1)[-1].strip()
    raise AssertionError("the scheduler ended without saying where it is")


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    package = str(Path(__file__).parents[2])
    environ = os.environ | {"PYTHONPATH": package, "DASK_TEMPORARY_DIRECTORY": str(folder)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, cwd=folder) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


PASSWORD = "s3cret/" + secrets.token_hex(4)  # with a sign that an address must escape


@contextmanager
def run_postgresql() -> Iterator[str]:
    """The address of a database, with the user `studies` and PASSWORD in it."""
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="studies-"))
    try:
        if user:
            shutil.chown(folder, user)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        data = folder / "data"
        made: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "studies", "--pwfile", folder / "password"]
        _run([*made, "-A", "scram-sha-256", "--encoding", "UTF8", "--no-sync"], user, folder)
        port = _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        _run([binaries / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], user, folder)
        try:
            yield f"postgresql://studies:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            _run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], user, folder)
    finally:
        shutil.rmtree(folder)


def find_postgresql() -> Path | None:
    """Where initdb and pg_ctl are; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "pg_ctl").exists()), None)


def count_studies(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM studies").fetchone()
    assert row
    return int(row[0])


def _unprivileged() -> str | None:
    """PostgreSQL does not run as root; who else it may run as, None where we are somebody else already."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _run(command: list[str | Path], user: str | None, folder: Path) -> None:
    """A command that may leave a server behind: its output goes to a file, not to a pipe that the server holds open."""
    with (folder / "output").open("w") as output:
        subprocess.run(list(map(str, command)), user=user, cwd=folder, stdout=output, stderr=output, check=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
