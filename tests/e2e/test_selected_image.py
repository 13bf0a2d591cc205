"""Actions on finished images in a browser, over a fake pipeline."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import unfold
from tests.e2e.test_page import PICTURES, draw, finished, forget, say, seed_shown, wait_for_pictures
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
    expect(page.locator("#recipe mark")).to_have_text("RED × 1.5", use_inner_text=True)
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
    expect(page.locator("#prompt textarea")).to_have_value("a RED cat")
    wait_until(lambda: seed_shown(page) == second)
    expect(page.locator("#images input[type=number]")).to_have_value("1")
    wait_until(lambda: not page.locator("#new-seed input").is_checked())


def test_a_variation_has_a_new_seed(page):
    before = seed_shown(page)
    forget(page)
    page.locator("#another").click()
    finished(page)
    wait_for_pictures(page, 1)
    expect(page.locator("#seed input")).not_to_have_value(str(before))
    expect(page.locator("#recipe")).to_contain_text("a RED cat")
    page.locator("#taking").wait_for()  # shown a moment after the pictures
