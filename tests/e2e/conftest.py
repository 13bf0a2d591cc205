"""Fixtures: a browser, and pages over a fake pipeline."""

from __future__ import annotations

import pytest

from tests.e2e.browser import CHROMIUM, chromium, unfold
from tests.fakes.server import serve_page
from tests.fakes.web import FakePipeline, fake_context


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: install Debian's package chromium to run the tests in a browser")
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)  # the machine may be busy
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser):
    """Opens a page as a new client with its own cookies: `visit(address, width=390)`. All panels are unfolded, unless
    `folded` is set. `script` runs before the page's own."""
    contexts = []

    def open_page(address, width=1280, height=900, folded=False, script="", **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts[-1].set_default_timeout(60_000)  # the machine may be busy
        page = contexts[-1].new_page()
        page.add_init_script(script)
        page.goto(address)
        page.locator("#summary .count").wait_for()  # the read-out of the empty prompt: the page is alive
        if not folded:
            unfold(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def instant_page():
    """The address of a page that generates at once."""
    with serve_page(fake_context()) as address:
        yield address


@pytest.fixture
def pipeline():
    """A pipeline that can be held and records its requests."""
    pipeline = FakePipeline()
    yield pipeline
    pipeline.release()


@pytest.fixture
def address(pipeline):
    """The address of a page over `pipeline`."""
    with serve_page(fake_context(pipeline)) as address:
        yield address
