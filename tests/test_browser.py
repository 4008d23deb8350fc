"""Notebooks in a real browser: JupyterLab on loopback, Chromium without a window, Run All.

nbval sees neither whether a progress bar moves nor whether a picture is drawn.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from playwright.sync_api import Page, sync_playwright

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # .ci/run installs the first where none is there
WAIT_S = 60

# Everything in the document, whether or not it is in sight; and nobody asks the internet for news.
_SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false"},
}
_OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
_WRONG = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
_WATCH_BARS = """
    window.widths = [];
    new MutationObserver(() => document.querySelectorAll('.jupyter-widgets .progress-bar').forEach(bar => {
        if (bar.offsetHeight > 0 && window.widths.at(-1) !== bar.style.width) window.widths.push(bar.style.width);
    })).observe(document.body, {subtree: true, childList: true, attributes: true});
"""
_ALL_RUN = """count => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(prompt => prompt.innerText);
    return prompts.length === count && prompts.every(prompt => /\\[\\d+\\]/.test(prompt));
}"""
_COUNT_COLOURS = """image => {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return new Set(new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size;
}"""


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that serves `folder`."""

    url: str
    token: str
    folder: Path


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture(scope="module")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Works on a copy of the notebooks, with settings of its own, and leaves no process behind."""
    home = tmp_path_factory.mktemp("lab")
    folder = Path(shutil.copytree(NOTEBOOKS, home / "notebooks"))
    for name, settings in _SETTINGS.items():
        path = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    token, url = secrets.token_hex(), Future[str]()
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    lab_places = {"SETTINGS_DIR": "settings", "WORKSPACES_DIR": "workspaces"}
    environ = {f"JUPYTER_{name}": str(home / place) for name, place in places.items()}
    environ |= {f"JUPYTERLAB_{name}": str(home / place) for name, place in lab_places.items()}
    environ |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": token}
    command = [sys.executable, "-m", "jupyterlab", *_OPTIONS, f"--ServerApp.port={find_port()}", str(folder)]
    with subprocess.Popen(command, env=os.environ | environ, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        reader = threading.Thread(target=find_url, args=(server.stderr, url))
        reader.start()
        try:
            yield Lab(url.result(WAIT_S), token, folder)
        finally:
            kernels = psutil.Process(server.pid).children(recursive=True)
            server.terminate()
            _, alive = psutil.wait_procs([psutil.Process(server.pid), *kernels], timeout=WAIT_S)
            for process in alive:
                process.kill()
            reader.join(WAIT_S)
    assert alive == []


def find_port() -> int:
    """A free one; if somebody else takes it meanwhile, JupyterLab goes on to the next and says so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def find_url(log: IO[str], url: Future[str]) -> None:
    """Reads what the server says to its end, for the address that it serves."""
    lines = []
    for line in log:
        lines.append(line)
        if not url.done() and (found := re.search(r"http://127\.0\.0\.1:\d+/", line)):
            url.set_result(found.group())
    if not url.done():
        url.set_exception(RuntimeError("".join(lines)))


@pytest.fixture(scope="module")
def page(chromium: str, lab: Lab) -> Iterator[Page]:
    options = ["--disable-dev-shm-usage", *["--no-sandbox"] * (os.geteuid() == 0)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(1000 * WAIT_S)
        yield page
        browser.close()


def run_all(page: Page, lab: Lab, name: str) -> list[str]:
    """Opens a notebook, runs all its cells and waits for the last; gives the texts of errors and of standard error.

    A click on Run All while the page still connects to the kernel is dropped without a word.
    """
    page.goto(f"{lab.url}lab/tree/{name}?token={lab.token}&reset")
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')")
    page.evaluate(_WATCH_BARS)
    page.click(".lm-MenuBar-item:has-text('Run')")
    page.click(".lm-Menu-item[data-command='runmenu:run-all']")
    notebook = json.loads((lab.folder / name).read_text("utf-8"))
    page.wait_for_function(_ALL_RUN, arg=sum(cell["cell_type"] == "code" for cell in notebook["cells"]))
    page.wait_for_function("document.querySelector('#jp-main-statusbar').innerText.includes('| Idle')")
    return page.locator(_WRONG).all_inner_texts()


def forget_outputs(lab: Lab, ending: str) -> str:
    """The name of the notebook that ends so, whose copy has lost its outputs: what is seen later is new."""
    (path,) = lab.folder.glob(f"*{ending}.ipynb")
    notebook = json.loads(path.read_text("utf-8"))
    blank: dict[str, Any] = {"execution_count": None, "outputs": []}
    notebook["cells"] = [cell | blank if cell["cell_type"] == "code" else cell for cell in notebook["cells"]]
    path.write_text(json.dumps(notebook), "utf-8")
    return path.name


def find_pictures(page: Page) -> list[int]:
    """How many colours each picture of the notebook has."""
    images = page.locator(".jp-RenderedImage img")
    images.evaluate_all("images => Promise.all(images.map(image => image.decode()))")
    return [images.nth(number).evaluate(_COUNT_COLOURS) for number in range(images.count())]


def test_notebook_with_plots_runs_and_shows_them(page: Page, lab: Lab, tmp_path: Path) -> None:
    name = forget_outputs(lab, "_replay_a_space")
    wanted = (NOTEBOOKS / name).read_text("utf-8").count('"image/png"')
    assert run_all(page, lab, name) == []
    page.screenshot(path=tmp_path / "plots.png")
    pictures = find_pictures(page)
    assert (len(pictures), min(pictures) > 20) == (wanted, True)


def test_notebook_with_a_progress_bar_moves_it_to_the_end(page: Page, lab: Lab, tmp_path: Path) -> None:
    name = forget_outputs(lab, "_tune_and_export")
    assert run_all(page, lab, name) == []
    page.locator(".jupyter-widgets .progress-bar").first.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "bar.png")
    widths = page.evaluate("window.widths")
    assert len(widths) > 3, "the bar did not move while the cell ran"
    assert widths[-1] == "100%"
    assert min(find_pictures(page)) > 20


def test_error_would_be_seen(page: Page, lab: Lab) -> None:
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "one",
        "source": "1 / 0",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (lab.folder / "broken.ipynb").write_text(json.dumps(notebook))
    (text,) = run_all(page, lab, "broken.ipynb")
    assert "ZeroDivisionError" in text
