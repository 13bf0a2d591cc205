"""Pages to visit and a browser to visit them with; for the tests here and for the screenshots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.fakes.server import free_port

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
    # Chromium renders two hidden pages for the suggestions of its address bar with each context: a seventh of the CPU
    # time of a visit. The others are Playwright's own, which this list replaces.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,"
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,"
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect,"
    "OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch",
]


@contextmanager
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def page_process(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of the page that a command opens, in a process of its own."""
    environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as page:
        try:
            lines = []
            for line in page.stdout:
                lines.append(line)
                if line.startswith("The page is at "):
                    break
            else:
                raise AssertionError(f"the page ended with {page.wait()} after printing: {''.join(lines)}")
            yield lines[-1].split()[-1]
        finally:
            page.terminate()
            try:
                page.wait(60)
            except subprocess.TimeoutExpired:
                page.kill()


def unfold(page) -> None:
    """Opens the panels that are folded away until they are used. The focus stays where it is."""
    page.evaluate("document.querySelectorAll('button.fold[aria-expanded=false]').forEach((each) => each.click())")


def opened_field(page, selector):
    """The text field of a tab or section that is being opened for the first time. Gradio gives its components their
    values when they appear, and once more in a frame after that, over what was typed in between."""
    field = page.locator(selector)
    field.wait_for()
    page.evaluate(
        """async () => {
            for (let frame = 0; frame < 4; frame++) {
                await new Promise(requestAnimationFrame);
                await new Promise((done) => setTimeout(done));
            }
        }"""
    )
    return field


def start_app(*options: str) -> AbstractContextManager[str]:
    """The address of the page that `python app.py` opens with these options. It keeps no pictures unless an
    --output is given."""
    command = [sys.executable, "app.py", "--port", str(free_port()), *options]
    return page_process(command if "--output" in options else [*command, "--no-history"], ROOT, {})
