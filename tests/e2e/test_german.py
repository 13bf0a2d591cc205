"""The page as a visitor meets it whose browser speaks German."""

from __future__ import annotations

import pytest

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


def test_a_refusal_is_said_in_german_too(quick, visit):
    page = visit(quick, **GERMAN)
    page.locator("#prompt textarea").fill("x" * 1_999 + "\u0007")
    page.locator("#generate").click()
    page.locator("#status .refused", has_text="enthält das Steuerzeichen U+0007").wait_for()


def test_an_english_browser_reads_english(quick, visit):
    page = visit(quick, locale="en-GB")
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()


def test_any_other_browser_reads_english(quick, visit):
    page = visit(quick, locale="fr-FR")
    assert page.locator("#generate").inner_text() == "Generate"
    page.locator("#summary", has_text="of 77 tokens").wait_for()
