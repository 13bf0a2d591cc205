"""The login page in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.fakes.server import serve_page
from tests.fakes.web import fake_context
from wuerst_demo.settings import Settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [
        ("en-US", r"Too many failed logins; try again in \d+ s\."),
        ("de-DE", r"Zu viele fehlgeschlagene Anmeldungen; versuch es in \d+ s wieder\."),
    ],
)
def test_a_login_that_has_to_wait_is_told_so(browser, locale, sentence):
    with serve_page(fake_context(), Settings(auth="me:secret")) as address:
        page = browser.new_page(locale=locale)
        page.set_default_timeout(60_000)
        page.goto(address)
        name, password = page.locator("input").nth(0), page.locator("input[type=password]")
        note = page.locator("#login-delay")
        # as many as it takes: only a guess within the delay of the one before has to wait
        for _ in range(30):
            name.fill("me")
            password.fill("wrong")
            with page.expect_response(re.compile("/login")) as answer:
                page.locator("button").click()
            if answer.value.status == 429:
                break
            expect(note).to_have_count(0)
        note.wait_for()
        assert re.fullmatch(sentence, note.inner_text())
        expect(note).to_have_attribute("role", "alert")
        page.close()


def test_the_script_of_the_delay_leaves_a_login_alone(browser):
    with serve_page(fake_context(), Settings(auth="me:secret")) as address:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.locator("input").nth(0).fill("me")
        page.locator("input[type=password]").fill("secret")
        page.locator("button").click()
        page.locator("#summary .count").wait_for()
        page.close()
