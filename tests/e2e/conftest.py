"""A browser, and pages over a studio of arithmetic, for tests that are users' sentences."""

from __future__ import annotations

import pytest

from tests.e2e.opening import CHROMIUM, chromium, opened
from tests.ui.fakes import Painter, studio


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: install Debian's package chromium to run the tests in a browser")
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser):
    """Opens a page as a new visitor: `visit(address, width=390)`. Each visitor has cookies of its own."""
    contexts = []

    def open_as_new_visitor(address, width=1280, height=900, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts[-1].set_default_timeout(60_000)  # a laden machine is no fault of the page's
        page = contexts[-1].new_page()
        page.goto(address)
        page.locator("#summary .count").wait_for()  # the read-out of the empty prompt: the page is alive
        return page

    yield open_as_new_visitor
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def quick():
    """The address of a page that draws at once."""
    with opened(studio()) as address:
        yield address


@pytest.fixture
def painter():
    """A painter that can be held and asked what it does."""
    painter = Painter()
    yield painter
    painter.go_on()


@pytest.fixture
def address(painter):
    """The address of a page that draws with `painter`."""
    with opened(studio(painter)) as address:
        yield address
