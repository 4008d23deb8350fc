"""Who is measured, and what their environments are made from."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.peers.clients import CLIENTS, OURS, Client, NotInstalledError, find_python

PEERS = [client for client in CLIENTS.values() if not client.throttle]


@pytest.mark.parametrize("client", CLIENTS.values(), ids=str)
def test_client_has_a_script(client: Client) -> None:
    assert (client.folder / "client.py").is_file()


@pytest.mark.parametrize("client", PEERS, ids=str)
def test_peer_is_pinned_whole_and_its_pins_name_no_place(client: Client) -> None:
    for line in (client.folder / "requirements.txt").read_text("utf-8").splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)


def test_ours_runs_with_the_projects_own_interpreter() -> None:
    assert find_python(CLIENTS[OURS]) == Path(sys.executable)


def test_peer_that_cannot_be_installed_says_why_and_names_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers.clients._HERE", tmp_path)
    monkeypatch.setattr("benchmarks.peers.clients._ENVIRONMENTS", tmp_path / "environments")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "requirements.txt").write_text(f"odd @ file://{tmp_path}/nowhere.whl\n", "utf-8")
    with pytest.raises(NotInstalledError) as caught:
        find_python(Client("odd", "odd"))
    assert str(caught.value)
    assert str(tmp_path) not in str(caught.value)
