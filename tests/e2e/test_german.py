"""The page in browsers of several languages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.server import serve_page
from tests.fakes.web import FakePipeline, FakeStageEngine, fake_context

pytestmark = pytest.mark.slow
GERMAN = {"locale": "de-DE"}


def test_a_german_browser_gets_german_before_and_after_a_generation(address, visit, pipeline):
    page = visit(address, **GERMAN)
    assert page.locator("#generate").inner_text() == "Los"
    assert "Prompt" in page.locator("#prompt").inner_text()
    assert "Breite" in page.locator("#width").inner_text()
    page.locator("#summary", has_text="von 77 Token").wait_for()
    page.locator("#prompt textarea").fill("Done")
    page.locator("#generate").click()
    page.locator("#status .done", has_text="1 Bild in").wait_for()
    # user input is not translated, though the catalogue has the word
    assert page.locator("#recipe dd span").first.inner_text() == "Done"
    page.locator("#gallery .grid-wrap button, #gallery .thumbnails button").first.click()
    page.locator("#recipe", has_text="Bild 1: Einstellungen").wait_for()
    assert "__i18n__" not in page.locator("body").inner_text()


def test_every_tab_is_german_with_results(visit):
    with serve_page(replace(fake_context(), engine=FakeStageEngine(FakePipeline()))) as address:
        everything_in_german(visit, address)


def everything_in_german(visit, address):
    page = visit(address, **GERMAN, permissions=["clipboard-read", "clipboard-write"])
    assert page.locator("html").get_attribute("lang") == "de"
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
    page.locator("#compare-prompt textarea").fill("a {Done|cat}")
    page.locator("#compare-go").click()
    page.locator("#compare-status .rejected", has_text="Der Prompt hat Varianten in geschweiften Klammern").wait_for()
    page.locator("#compare-prompt textarea").fill("Done")
    page.locator("#compare-go").click()
    page.locator("#compare-status .done").wait_for()
    assert page.locator("#board img").first.get_attribute("alt") == "Seed 1, Prior-Schritte 3"
    assert page.locator("#board .shared").inner_text().startswith("Done / Gewichtung im Prompt an, Breite 256")


def test_a_rejection_is_german_too(instant_page, visit):
    page = visit(instant_page, **GERMAN)
    page.locator("#prompt textarea").fill("x" * 1_999 + "\u0007")
    page.locator("#generate").click()
    page.locator("#status .rejected", has_text="enthält das Steuerzeichen U+0007").wait_for()


def test_an_english_browser_gets_english(instant_page, visit):
    page = visit(instant_page, locale="en-GB")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()


def test_any_other_browser_gets_english(instant_page, visit):
    page = visit(instant_page, locale="fr-FR")
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()
