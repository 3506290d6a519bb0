"""The live layer of ``--watch``, looked at in JupyterLab with a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
TOKEN = "looked-at"
WAIT_MS = 90_000
# No sandbox of its own (the tests may run as root), and no calls home (JUPYTER 3).
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The execution indicator says "idle" before the kernel is connected, and a promise of
# run-all-cells may never come back (JUPYTER 3): so ask the session itself.
KERNEL_READY = """() => {
  const session = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
CELLS = (
    "%load_ext ggml_magic\n%ggml sandbox core pane-pi\n%ggml package rain",
    "%ggml deploy rain --to thing/pane-pi --watch",
)


@dataclass(frozen=True)
class Lab:
    url: str
    folder: Path


@pytest.fixture
def lab(proven: Workspace, tmp_path: Path) -> Iterator[Lab]:
    """JupyterLab on a folder with one notebook, beside a proven model."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copytree(proven.root, folder / ".ggml")
    (folder / "watch.ipynb").write_text(json.dumps(notebook()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "home"
    for name in ("config", "data", "runtime", "workspaces"):
        (home / name).mkdir(parents=True)
    environment = {
        **{k: v for k, v in os.environ.items() if k != "GGML_WORKSPACE"},
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        *(f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"),
        *(
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class="
            "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        ),
    ]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield Lab(wait_for(port, server), folder)
        finally:
            server.terminate()
            server.wait(30)
            subprocess.run(
                [sys.executable, "-m", "ggml_magic.command", "sandbox", "stop"],
                env={**os.environ, "GGML_WORKSPACE": str(folder / ".ggml")},
                check=True,
                capture_output=True,
            )


def notebook() -> dict[str, object]:
    cells = [
        {
            "cell_type": "code",
            "id": f"watch-{number}",
            "metadata": {},
            "source": source,
            "execution_count": None,
            "outputs": [],
        }
        for number, source in enumerate(CELLS)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def wait_for(port: int, server: subprocess.Popen[bytes]) -> str:
    """The server's address, once it answers; an end of the server is noticed at once."""
    url = f"http://127.0.0.1:{port}"
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=5).close()
            return url
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.2)
            raise AssertionError("JupyterLab ended at its start")


def test_the_watch_is_live_and_ends_in_a_static_result(lab: Lab, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(tmp_path / "chromium"),
            executable_path=shutil.which("chromium"),
            headless=True,
            args=FLAGS,
            viewport={"width": 1200, "height": 900},
        )
        page = browser.pages[0]
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{lab.url}/lab/tree/watch.ipynb?token={TOKEN}&reset", timeout=WAIT_MS)
        page.wait_for_function(KERNEL_READY, timeout=WAIT_MS)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

        live = page.locator(".ggml-deployment")
        live.wait_for(timeout=WAIT_MS)
        assert live.get_attribute("role") == "status"
        page.locator(".ggml-deployment tbody tr", has_text="pane-pi").first.wait_for(
            timeout=WAIT_MS
        )
        page.screenshot(path=SCREENSHOTS / "watch-live.png")

        page.locator(".jp-OutputArea-output", has_text="SUCCEEDED").last.wait_for(timeout=WAIT_MS)
        live.wait_for(state="detached", timeout=WAIT_MS)
        page.screenshot(path=SCREENSHOTS / "watch-done.png")
        assert not complaints
        browser.close()
