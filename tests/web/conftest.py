"""A served page for tests of the web's edge that need no browser."""

from __future__ import annotations

import pytest

from tests.fakes.server import serve_page
from tests.fakes.web import fake_context


@pytest.fixture(scope="package")
def instant_page():
    """The address of a page that generates at once."""
    with serve_page(fake_context()) as address:
        yield address
