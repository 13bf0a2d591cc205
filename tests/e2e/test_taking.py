"""What a visitor does with finished pictures, on a page that draws with arithmetic."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest

from tests.e2e.test_page import PICTURES, draw, finished, forget, say, seed_shown, settled
from wuerst_demo.metadata import from_png

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(quick, browser):
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(quick)
    page.locator("#summary .count").wait_for()
    page.locator("#images input[type=number]").fill("3")
    draw(page, "a RED cat")
    page.locator(PICTURES).nth(2).wait_for()
    yield page
    context.close()


def test_a_picture_that_is_clicked_shows_its_own_seed_its_time_and_its_weighted_words(page):
    first = seed_shown(page)
    assert f"{first}" in page.locator("#recipe").inner_text()
    page.locator(PICTURES).nth(1).click()
    page.locator("#recipe h2", has_text="Picture 2").wait_for()
    told = page.locator("#recipe").inner_text()
    assert str(first + 1) in told
    assert "1.00 s in all" in told
    assert page.locator("#recipe mark").inner_text() == "RED × 1.5"
    page.keyboard.press("Escape")
    page.locator("#gallery .preview").wait_for(state="detached")


def test_all_pictures_come_as_one_zip_of_untouched_files(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Download All").click()
    with ZipFile(Path(download.value.path())) as packed:
        seeds = [from_png(BytesIO(packed.read(name))).values["seed"] for name in packed.namelist()]
    first = seed_shown(page)
    assert seeds == [first, first + 1, first + 2]


def test_the_link_of_the_chosen_picture_is_copied(page):
    page.locator("#copy").click()
    page.get_by_role("button", name="Link copied").wait_for()
    said = urlsplit(page.evaluate("navigator.clipboard.readText()"))
    assert said.netloc == urlsplit(page.url).netloc
    asked = parse_qs(said.query)
    assert asked["prompt"] == ["a RED cat"]
    assert asked["seed"] == [str(seed_shown(page) + 1)]


def test_the_settings_of_the_chosen_picture_come_back_to_the_controls(page):
    second = seed_shown(page) + 1
    say(page, "something else")
    page.locator("#use").click()
    settled(lambda: page.locator("#prompt textarea").input_value() == "a RED cat")
    settled(lambda: seed_shown(page) == second)
    settled(lambda: page.locator("#images input[type=number]").input_value() == "1")
    settled(lambda: not page.locator("#new-seed input").is_checked())


def test_the_same_is_drawn_with_another_seed(page):
    before = seed_shown(page)
    forget(page)
    page.locator("#another").click()
    finished(page)
    page.locator(PICTURES).wait_for()
    assert seed_shown(page) != before
    assert "a RED cat" in page.locator("#recipe").inner_text()
    page.locator("#taking").wait_for()  # shown a moment after the pictures
