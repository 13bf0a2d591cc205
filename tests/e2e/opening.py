"""Pages to visit and a browser to visit them with; for the tests here and for the screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(studio, settings=None, vitals=None) -> Iterator[str]:
    """The address of a page over `studio`, in this process, launched as `serve` launches it."""
    from wuerst_demo.settings import Settings
    from wuerst_demo.ui.cache import own_cache
    from wuerst_demo.ui.page import build
    from wuerst_demo.ui.serve import launch_options

    with own_cache():
        page = build(studio)
        _, address, _ = page.launch(**launch_options(settings or Settings(), "127.0.0.1", free_port(), vitals))
        try:
            yield address
        finally:
            page.close(verbose=False)


@contextmanager
def started(*options: str) -> Iterator[str]:
    """The address of the page that `python app.py` opens with these options, in a process of its own. It keeps no
    pictures unless an --output says where."""
    command = [sys.executable, "app.py", "--port", str(free_port()), *options]
    if "--output" not in options:
        command.append("--no-history")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as app:
        try:
            said = []
            for line in app.stdout:
                said.append(line)
                if line.startswith("The page is at "):
                    break
            else:
                raise AssertionError(f"app.py ended with {app.wait()} after saying: {''.join(said)}")
            yield said[-1].split()[-1]
        finally:
            app.terminate()
            try:
                app.wait(60)
            except subprocess.TimeoutExpired:
                app.kill()
