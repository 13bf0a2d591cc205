"""The page in browsers of several languages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import opened_field
from tests.fakes.server import serve_page
from tests.fakes.web import FakePipeline, FakeStageEngine, fake_context

pytestmark = pytest.mark.slow
GERMAN = {"locale": "de-DE"}


def test_a_german_browser_gets_german_before_and_after_a_generation(address, visit, pipeline):
    page = visit(address, **GERMAN)
    expect(page.locator("#generate")).to_have_text("Los", use_inner_text=True)
    expect(page.locator("#prompt")).to_contain_text("Prompt")
    expect(page.locator("#width")).to_contain_text("Breite")
    page.locator("#summary", has_text="von 77 Token").wait_for()
    page.locator("#prompt textarea").fill("Done")
    page.locator("#generate").click()
    page.locator("#status .done", has_text="1 Bild in").wait_for()
    # user input is not translated, though the catalogue has the word
    expect(page.locator("#recipe dd span").first).to_have_text("Done", use_inner_text=True)
    page.locator("#gallery .grid-wrap button, #gallery .thumbnails button").first.click()
    page.locator("#recipe", has_text="Bild 1: Einstellungen").wait_for()
    assert "__i18n__" not in page.locator("body").inner_text()


def test_every_tab_is_german_with_results(visit):
    with serve_page(replace(fake_context(), engine=FakeStageEngine(FakePipeline()))) as address:
        everything_in_german(visit, address)


def everything_in_german(visit, address):
    page = visit(address, **GERMAN, permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("#prompt textarea").fill("Done")
    page.locator("#generate").click()
    page.locator("#status .done").wait_for()
    before = "link => getComputedStyle(link, '::before').content"
    assert page.locator("#files .download-link").first.evaluate(before) == '"Herunterladen: "'
    page.locator("#copy").click()
    page.locator("#copy", has_text="Link kopiert").wait_for()
    page.get_by_role("tab", name="Wie es geht").click()
    page.locator("#account .scrub input").wait_for()
    page.locator("#account .scrub input").fill("0")
    page.locator("#account .scrub output", has_text="Prior, Schritt 1 von 12").wait_for()
    page.get_by_role("tab", name="Vergleichen").click()
    opened_field(page, "#compare-prompt textarea").fill("a {Done|cat}")
    page.locator("#compare-go").click()
    page.locator("#compare-status .rejected", has_text="Der Prompt hat Varianten in geschweiften Klammern").wait_for()
    page.locator("#compare-prompt textarea").fill("Done")
    page.locator("#compare-go").click()
    page.locator("#compare-status .done").wait_for()
    expect(page.locator("#board img").first).to_have_attribute("alt", "Seed 1, Prior-Schritte 3")
    assert page.locator("#board .shared").inner_text().startswith("Done / Gewichtung im Prompt an, Breite 256")


def test_a_rejection_is_german_too(instant_page, visit):
    page = visit(instant_page, **GERMAN)
    page.locator("#prompt textarea").fill("x" * 1_999 + "\u0007")
    page.locator("#generate").click()
    page.locator("#status .rejected", has_text="enthält das Steuerzeichen U+0007").wait_for()


def test_an_english_browser_gets_english(instant_page, visit):
    page = visit(instant_page, locale="en-GB")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#generate")).to_have_text("Generate", use_inner_text=True)
    page.locator("#summary", has_text="of 77 tokens").wait_for()


def test_any_other_browser_gets_english(instant_page, visit):
    page = visit(instant_page, locale="fr-FR")
    expect(page.locator("#generate")).to_have_text("Generate", use_inner_text=True)
    page.locator("#summary", has_text="of 77 tokens").wait_for()
