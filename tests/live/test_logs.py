from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagspace_lab import integration
from tagspace_lab.lab.world import serve
from tagspace_lab.live.logs import APP_LOG, ROUTER_LOG, configure_logs, printable
from tagspace_lab.live.redaction import BLOT, find_secrets
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import build_app
from tests.fakes import Job, ScriptedModel, TinySpace, answered, make_pages, make_scenario, refused

KEY = "sk-planted-0123456789"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \[\d+\] [\w.]+ .*")
ROUTER = logging.getLogger("tagspace_lab.pipeline.router")
OURS = logging.getLogger("tagspace_lab.elsewhere")


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """Whatever a test did, logging is as before."""
    loggers = [logging.getLogger(name) for name in (None, "tagspace_lab", "tag_space_performance", "httpx", "uvicorn")]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


def read(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text("utf-8").splitlines()


def tag_with_refusals() -> None:
    model = ScriptedModel(lambda page_ids, number: refused(1.0) if number < 2 else answered(page_ids))
    Job(make_pages(6), model, settings=Settings(batch_size=2)).run()


def test_router_and_throttle_have_a_file_and_the_rest_another(tmp_path: Path) -> None:
    with configure_logs(tmp_path / "new" / "logs"):
        tag_with_refusals()
        logging.getLogger("somebody.else").warning("hear me")
    router, app = read(tmp_path / "new/logs", ROUTER_LOG), read(tmp_path / "new/logs", APP_LOG)
    assert {line.split()[4] for line in router} >= {"[ROUTER]", "[429]", "[THROTTLE]"}
    assert [line.split()[3:5] for line in app] == [
        ["tagspace_lab.pipeline.cache", "[CACHE]"],
        ["tag_space_performance", "[OPTIMIZATION_SUMMARY]"],
        ["somebody.else", "hear"],
    ]
    assert all(LINE.fullmatch(line) for line in router + app)


def test_run_under_the_drop_in_names_is_told_too(tmp_path: Path) -> None:
    class Confluence:
        async def get_page(self, page_id: str) -> dict[str, Any]:
            return {"id": page_id, "title": "", "body": f"<p>Text {page_id}</p>", "version": 1}

    class Agent:
        async def generate(self, prompt: str) -> str:
            return "howto, network"

    integration.reset()
    with configure_logs(tmp_path):
        pipeline = integration.OptimizedTagSpacePipeline(Confluence(), Agent())
        asyncio.run(pipeline.process_space(page_ids=["1", "2"], task_id="night"))
    integration.reset()
    assert "[ROUTER] 0.000 s: run night starts with" in read(tmp_path, ROUTER_LOG)[0]
    assert "[CACHE] task=night" in read(tmp_path, APP_LOG)[-2]
    assert "[OPTIMIZATION_SUMMARY] task=night processed=2 errors=0" in read(tmp_path, APP_LOG)[-1]


def test_logging_is_afterwards_as_it_was(tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in (None, "tagspace_lab", "tag_space_performance", ROUTER.name)]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    with pytest.raises(ZeroDivisionError), configure_logs(tmp_path):
        raise ZeroDivisionError
    assert [(logger.level, logger.handlers[:]) for logger in loggers] == before


@pytest.mark.parametrize("folder", [None, ""])
def test_without_a_folder_nothing_changes(folder: str | None) -> None:
    before = logging.getLogger().handlers[:]
    with configure_logs(folder):
        assert logging.getLogger().handlers == before
        assert not ROUTER.isEnabledFor(logging.INFO)


def test_level_that_tells_more_is_kept(tmp_path: Path) -> None:
    logging.getLogger("tagspace_lab").setLevel(logging.DEBUG)
    with configure_logs(tmp_path):
        OURS.debug("details")
    assert "details" in read(tmp_path, APP_LOG)[0]


def test_record_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    with configure_logs(tmp_path):
        OURS.info("a\n2026-01-01 INFO forged\r\x1b[2J\u2028\x85\x00 Zürich 東京")
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            OURS.exception("failed")
        OURS.info("x" * 1_000_000)
    lines = (tmp_path / APP_LOG).read_bytes().decode("utf-8").splitlines()
    assert len(lines) == 3
    assert lines[0].endswith(r"a\n2026-01-01 INFO forged\r\x1b[2J\u2028\x85\x00 Zürich 東京")
    assert r"ValueError: first\nsecond" in lines[1]
    assert len(lines[2]) < 20_000
    assert printable("\ud800") == r"\ud800", "not logged here: the test runner could not report it"


def test_record_that_cannot_be_worded_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ROUTER, "propagate", False)
    with configure_logs(tmp_path):
        ROUTER.info("%d", KEY)
    (line,) = read(tmp_path, ROUTER_LOG)
    assert re.search(r"test_logs\.py:\d+ logs what cannot be worded: TypeError$", line)
    assert KEY not in line + capsys.readouterr().err


@pytest.mark.parametrize("name", ["tagspace_lab.pipeline.router", "httpx", "uvicorn.error", "tag_space_performance"])
def test_no_secret_gets_through_whichever_logger_wrote_it(name: str, tmp_path: Path) -> None:
    logging.getLogger("uvicorn").propagate = True
    logging.getLogger("httpx").setLevel(logging.INFO)
    secrets = find_secrets(
        {"OPENAI_API_KEY": KEY, "CONFLUENCE_USERNAME": "me", "TAG_SPACE_ALERT_URL": f"http://h/{KEY}"}
    )
    logger = logging.getLogger(name)
    with configure_logs(tmp_path, secrets=secrets):
        logger.warning(f"in the message {KEY}")
        logger.warning("in the %s", f"http://x/?key={KEY}")
        logger.warning("in a %r", {"authorization": f"Bearer {KEY}"})
        try:
            raise ValueError(f"in a traceback {KEY}")
        except ValueError:
            logger.exception("failed", stack_info=True)
    written = "".join(path.read_text("utf-8") for path in tmp_path.iterdir())
    assert written.count(BLOT) >= 4
    assert KEY not in written


def test_secret_in_an_address_that_httpx_logs_is_blotted_out(tmp_path: Path) -> None:
    logging.getLogger("httpx").setLevel(logging.INFO)
    app = build_app(make_scenario(), TinySpace())
    with serve(app) as base_url, configure_logs(tmp_path, secrets=[KEY]), httpx.Client(trust_env=False) as http:
        http.get(f"{base_url}/{KEY}")
    (line,) = read(tmp_path, APP_LOG)
    assert f"/{BLOT} " in line


def test_files_are_turned_over_and_bounded(tmp_path: Path) -> None:
    with configure_logs(tmp_path, max_bytes=2_000, backups=2):
        for number in range(200):
            OURS.info("line %d", number)
            ROUTER.info("line %d", number)
    for name in (APP_LOG, ROUTER_LOG):
        files = sorted(tmp_path.glob(f"{name}*"))
        assert [path.name for path in files] == [name, f"{name}.1", f"{name}.2"]
        assert all(path.stat().st_size <= 2_000 for path in files)
        assert read(tmp_path, name)[-1].endswith("line 199")


WRITER = """
import logging, sys
from tagspace_lab.live.logs import configure_logs
with configure_logs(sys.argv[1], max_bytes=4000, backups=50):
    for number in range(300):
        logging.getLogger("tagspace_lab").info("%s says %d", sys.argv[2], number)
"""


def test_several_processes_share_the_files_and_lose_no_line(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [line for path in tmp_path.glob(f"{APP_LOG}*") for line in path.read_text("utf-8").splitlines()]
    assert sorted(line.split("tagspace_lab ")[1] for line in lines) == sorted(
        f"{name} says {number}" for name in "abc" for number in range(300)
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_is_told_once_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ROUTER_LOG).symlink_to("/dev/full")
    with configure_logs(tmp_path):
        tag_with_refusals()
    assert capsys.readouterr().err == (
        f"Logs cannot be written to {tmp_path}: No space left on device. The run goes on.\n"
    )
    assert len(read(tmp_path, APP_LOG)) == 2


def test_folder_that_cannot_be_made_is_told_once_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with configure_logs(tmp_path / "file" / "logs"):
        tag_with_refusals()
    assert capsys.readouterr().err.count("Logs cannot be written") == 1


def test_files_that_somebody_else_took_away_are_begun_again(tmp_path: Path) -> None:
    with configure_logs(tmp_path):
        OURS.info("one")
        (tmp_path / APP_LOG).unlink()
        OURS.info("two")
    assert len(read(tmp_path, APP_LOG)) == 1
