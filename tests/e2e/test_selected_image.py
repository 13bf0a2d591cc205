"""Actions on finished images in a browser, over a fake pipeline."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest

from tests.e2e.browser import unfold
from tests.e2e.test_page import PICTURES, draw, finished, forget, say, seed_shown
from tests.fakes.server import wait_until
from wuerst_demo.images.metadata import read_image_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(instant_page, browser):
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(instant_page)
    page.locator("#summary .count").wait_for()
    unfold(page)
    page.locator("#images input[type=number]").fill("3")
    draw(page, "a RED cat")
    page.locator(PICTURES).nth(2).wait_for()
    yield page
    context.close()


def test_a_clicked_image_shows_its_seed_timing_and_weights(page):
    first = seed_shown(page)
    assert f"{first}" in page.locator("#recipe").inner_text()
    page.locator(PICTURES).nth(1).click()
    page.locator("#recipe h2", has_text="Picture 2").wait_for()
    told = page.locator("#recipe").inner_text()
    assert str(first + 1) in told
    assert "1.00 s in total" in told
    assert page.locator("#recipe mark").inner_text() == "RED × 1.5"
    page.keyboard.press("Escape")
    page.locator("#gallery .preview").wait_for(state="detached")


def test_all_images_are_downloaded_as_one_zip_of_the_original_files(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Download All").click()
    with ZipFile(Path(download.value.path())) as packed:
        seeds = [read_image_settings(BytesIO(packed.read(name))).values["seed"] for name in packed.namelist()]
    first = seed_shown(page)
    assert seeds == [first, first + 1, first + 2]


def test_the_link_of_the_selected_image_is_copied(page):
    page.locator("#copy").click()
    page.get_by_role("button", name="Link copied").wait_for()
    said = urlsplit(page.evaluate("navigator.clipboard.readText()"))
    assert said.netloc == urlsplit(page.url).netloc
    asked = parse_qs(said.query)
    assert asked["prompt"] == ["a RED cat"]
    assert asked["seed"] == [str(seed_shown(page) + 1)]


def test_the_settings_of_the_selected_image_are_reused(page):
    second = seed_shown(page) + 1
    say(page, "something else")
    page.locator("#use").click()
    wait_until(lambda: page.locator("#prompt textarea").input_value() == "a RED cat")
    wait_until(lambda: seed_shown(page) == second)
    wait_until(lambda: page.locator("#images input[type=number]").input_value() == "1")
    wait_until(lambda: not page.locator("#new-seed input").is_checked())


def test_a_variation_has_a_new_seed(page):
    before = seed_shown(page)
    forget(page)
    page.locator("#another").click()
    finished(page)
    page.locator(PICTURES).wait_for()
    assert seed_shown(page) != before
    assert "a RED cat" in page.locator("#recipe").inner_text()
    page.locator("#taking").wait_for()  # shown a moment after the pictures
