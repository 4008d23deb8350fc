from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tagspace_lab.cli.app import app as commands
from tagspace_lab.clients.confluence import Credentials
from tagspace_lab.errors import ConfluenceError, InputError, SnapshotError
from tagspace_lab.lab.folders import Summary
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.lab.wikis import snapshot_confluence
from tagspace_lab.lab.world import serve
from tagspace_lab.twin.app import build_app
from tests.clients.confluence.sites import CREDENTIALS, KINDS, PREFIX, Found, play, replying
from tests.fakes import TinySpace, make_scenario

SECRET = "planted-0123456789"
both = pytest.mark.parametrize("kind", KINDS)


def make_app(pages: int = 60, **confluence: Any) -> Any:
    app = build_app(make_scenario(confluence=confluence), TinySpace(pages, {5: "<p> </p>"}))
    if pages:
        app.state.confluence.labels.add("1001", [("b", "global"), ("a", "global"), ("favourite", "my")])
        app.state.confluence.labels.add("1059", [("c", "global")])
    return app


def snapshot(app: Any, kind: Found, path: Path, credentials: Credentials = CREDENTIALS, **options: Any) -> Summary:
    summary: Summary = play(
        app,
        kind,
        lambda site: snapshot_confluence(site, "TINY", path, **options),
        credentials=credentials,
        with_labels=True,
    )
    return summary


@both
def test_labels_that_pages_carry_become_gold_labels(kind: Found, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    app = make_app()
    summary = snapshot(app, kind, tmp_path / "t.gz", progress=lambda done, known: steps.append((done, known)))
    space = load_space(tmp_path / "t.gz")
    assert (summary.pages, summary.labelled, summary.without_text, summary.vocabulary) == (60, 2, 1, 3)
    assert (len(space), space.name, space.key, space.vocabulary) == (60, "TINY", "TINY", ("a", "b", "c"))
    assert [space.gold(str(number)) for number in (1000, 1001, 1059)] == [(), ("b", "a"), ("c",)]
    assert space.page(3).body == TinySpace().page(3).body
    assert steps[-1] == (60, 0)
    assert app.state.confluence.writes == {}


def test_both_kinds_give_the_same_file(tmp_path: Path) -> None:
    for kind in KINDS:
        snapshot(make_app(), kind, tmp_path / kind)
    assert (tmp_path / "cloud").read_bytes() == (tmp_path / "data-center").read_bytes()


@both
def test_empty_space_is_an_error_and_no_file(kind: Found, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="TINY holds no current page"):
        snapshot(make_app(0), kind, tmp_path / "t.gz")
    assert list(tmp_path.iterdir()) == []


@both
def test_wrong_token_is_told_before_anything_is_read(kind: Found, tmp_path: Path) -> None:
    app = make_app(anonymous=True)
    with pytest.raises(ConfluenceError, match="anonymous one"):
        snapshot(app, kind, tmp_path / "t.gz", Credentials("me", "wrong", "wrong"))
    assert app.state.confluence.requests == 1


@both
def test_file_that_is_there_is_kept_and_nothing_is_asked(kind: Found, tmp_path: Path) -> None:
    (tmp_path / "t.gz").write_text("mine")
    app = make_app()
    with pytest.raises(InputError, match="exists"):
        snapshot(app, kind, tmp_path / "t.gz")
    assert app.state.confluence.requests == 0


def test_page_whose_id_is_no_number_is_left_out_and_named(tmp_path: Path) -> None:
    user = {"username": "me"}
    rows = {"results": [{"id": "1", "title": "T"}, {"id": "att-7", "title": "U"}], "limit": 100, "size": 2}
    labels = {"results": [], "size": 0}
    summary = snapshot(replying(user, rows, labels)[0], "data-center", tmp_path / "t.gz")
    assert (summary.pages, summary.problems) == (1, ("page att-7: its id is no number, left out",))


@both
def test_command_reads_a_served_wiki(kind: Found, tmp_path: Path) -> None:
    out = tmp_path / "t.jsonl.gz"
    with serve(make_app()) as base_url:
        variables = {
            "CONFLUENCE_URL": f"{base_url}{PREFIX[kind]}",
            "CONFLUENCE_USERNAME": "me@example.org",
            "CONFLUENCE_API_TOKEN": SECRET,
            "CONFLUENCE_PERSONAL_TOKEN": SECRET,
        }
        result = CliRunner().invoke(commands, ["snapshot", "confluence", "TINY", "-o", str(out)], env=variables)
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert f"Wrote {out}: 60 pages, 2 of them with gold labels" in result.stderr
    assert SECRET.encode() not in out.read_bytes() + result.output.encode()
    assert len(load_space(out)) == 60


def test_quality_is_measured_on_a_live_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(make_app(12)) as base_url:
        monkeypatch.setenv("CONFLUENCE_URL", f"{base_url}/wiki")
        monkeypatch.setenv("CONFLUENCE_USERNAME", "me@example.com")
        monkeypatch.setenv("CONFLUENCE_API_TOKEN", SECRET)
        done = CliRunner().invoke(commands, ["quality", "TINY", "--sizes", "1,5", "--sample", "6", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pages"] == 6
