"""The page as a visitor meets it whose browser speaks German."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.e2e.opening import opened
from tests.ui.fakes import Painter, Staged, studio

pytestmark = pytest.mark.slow
GERMAN = {"locale": "de-DE"}


def test_a_german_browser_reads_german_before_while_and_after_it_draws(address, visit, painter):
    page = visit(address, **GERMAN)
    assert page.locator("#generate").inner_text() == "Los"
    assert "Prompt" in page.locator("#prompt").inner_text()
    assert "Breite" in page.locator("#width").inner_text()
    page.locator("#summary", has_text="von 77 Token").wait_for()
    page.locator("#prompt textarea").fill("Done")
    page.locator("#generate").click()
    page.locator("#status .done", has_text="1 Bild in").wait_for()
    # the visitor's own words stay, though the table has them
    assert page.locator("#recipe dd span").first.inner_text() == "Done"
    page.locator("#gallery .grid-wrap button, #gallery .thumbnails button").first.click()
    page.locator("#recipe", has_text="Bild 1, wie gezeichnet").wait_for()
    assert "__i18n__" not in page.locator("body").inner_text()


def test_every_tab_speaks_german_once_there_is_something_to_see(visit):
    with opened(replace(studio(), engine=Staged(Painter()))) as address:
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
    page.locator("#account input[type=range]").wait_for()
    page.locator("#account input[type=range]").fill("0")
    page.locator("#account output", has_text="Prior, Schritt 1 von 12").wait_for()
    page.get_by_role("tab", name="Vergleichen").click()
    page.locator("#compare-prompt textarea").fill("a {Done|cat}")
    page.locator("#compare-go").click()
    page.locator("#compare-status .refused", has_text="Der Prompt hat Varianten in geschweiften Klammern").wait_for()
    page.locator("#compare-prompt textarea").fill("Done")
    page.locator("#compare-go").click()
    page.locator("#compare-status .done").wait_for()
    assert page.locator("#board img").first.get_attribute("alt") == "Seed 1, Prior-Schritte 3"
    assert page.locator("#board .shared").inner_text().startswith("Done / Gewichtung im Prompt an, Breite 256")


def test_a_refusal_is_said_in_german_too(quick, visit):
    page = visit(quick, **GERMAN)
    page.locator("#prompt textarea").fill("x" * 1_999 + "\u0007")
    page.locator("#generate").click()
    page.locator("#status .refused", has_text="enthält das Steuerzeichen U+0007").wait_for()


def test_an_english_browser_reads_english(quick, visit):
    page = visit(quick, locale="en-GB")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()


def test_any_other_browser_reads_english(quick, visit):
    page = visit(quick, locale="fr-FR")
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()
