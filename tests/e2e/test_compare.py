"""What a visitor does to compare pictures, in a browser, on a page that draws with arithmetic."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.ui.fakes import LIMITS, paint
from wuerst_demo.metadata import from_png
from wuerst_demo.ui.sheet import RECORD

pytestmark = pytest.mark.slow

CELLS = "#board td img"
LATE = """() => {
    const plain = window.fetch
    window.fetch = async (...asked) => {
        const answer = await plain(...asked)
        const early = /"cell 0", ?null\\]/.test(asked[1]?.body ?? "")
        await new Promise(resolve => setTimeout(resolve, early ? 1000 : 0))
        return answer
    }
}"""
"""Holds back for a second the answer to the slider's left side while the right one is not chosen."""


def choose(page, way, setting, values=None):
    page.locator(f"#{way}-name input").click()
    page.get_by_role("option", name=setting, exact=True).click()
    typed = page.locator(f"#{way}-values")
    typed.wait_for(state="hidden" if setting in ("nothing", "Prompt variants") else "visible")
    page.get_by_role("listbox").wait_for(state="hidden")
    if values is not None:
        page.locator(f"#{way}-values textarea, #{way}-values input").fill(values)


def at_compare(page, prompt="a red apple"):
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-prompt textarea").fill(prompt)
    return page


def finished(page):
    page.locator("#compare-status .done .said").wait_for()
    page.locator("#compare-go:enabled").wait_for()


def decoded(page):
    """The sizes of the cells' pictures, once each of them is there to be seen."""
    return page.locator(CELLS).evaluate_all("all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))")


def test_a_visitor_draws_a_two_by_two_comparison_and_downloads_it_as_one_picture(quick, visit, tmp_path):
    page = at_compare(visit(quick), "a {red apple|<b>pear</b>} $\\{1+1\\}`")
    choose(page, "across", "Prompt variants")
    choose(page, "down", "Size", "256, 384x256")
    page.locator("#compare-outlook", has_text="4 pictures").wait_for()
    page.locator("#compare-go").click()
    finished(page)
    assert decoded(page) == [256, 256, 384, 384]
    assert page.locator("#board thead th").all_inner_texts() == ["Prompt variants", "red apple", "<b>pear</b>"]
    assert page.locator("#board tbody th").all_inner_texts() == ["256 × 256", "384 × 256"]
    assert page.locator("#board .shared").inner_text().startswith("a {red apple|<b>pear</b>} $\\{1+1\\}` / ")
    with page.expect_download() as download:
        page.locator("#sheet").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name.startswith("comparison-")
    base = LIMITS.request(from_png(path).values)
    assert base.prompt == "a {red apple|<b>pear</b>} $\\{1+1\\}`"
    with Image.open(path) as sheet:
        sheet.load()
        assert json.loads(sheet.text[RECORD])["down"] == {"setting": "size", "values": ["256 × 256", "384 × 256"]}
        colors = {sheet.getpixel((x, y)) for x in range(0, sheet.width, 7) for y in range(sheet.height)}
    alone = [
        paint(LIMITS.request({"prompt": each, "seed": base.seed}))
        for each in ("a red apple ${1+1}`", "a <b>pear</b> ${1+1}`")
    ]
    assert all(each.getpixel((0, 0)) in colors for each in alone)


def test_stop_keeps_the_cells_that_are_finished_and_two_of_them_can_be_slid_over_each_other(address, painter, visit):
    page = at_compare(visit(address))
    choose(page, "across", "Prior steps", "4, 5, 9")
    choose(page, "down", "nothing")
    painter.hold(0, "prior", 9)
    page.locator("#compare-go").click()
    page.locator(CELLS).nth(1).wait_for()
    page.locator("#compare-stop").click()
    page.wait_for_timeout(500)  # it is told within a step, and that is being held
    painter.go_on()
    page.locator("#compare-status .said", has_text="Stopped. The 2 finished pictures are kept.").wait_for()
    page.locator("#compare-go:enabled").wait_for()
    assert len(decoded(page)) == 2
    assert page.locator("#board .hole").count() == 1
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    shown = {each.get_attribute("src") for each in page.locator("#slider img").all()}
    assert shown == {each.get_attribute("src") for each in page.locator(CELLS).all()}


def test_escape_leaves_the_sliders_full_screen_and_the_next_comparison_goes_on(address, painter, visit):
    page = at_compare(visit(address))
    choose(page, "across", "Prior steps", "4, 5")
    choose(page, "down", "nothing")
    page.locator("#compare-go").click()
    finished(page)
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    painter.hold(0, "prior", 2)
    page.locator("#compare-go").click()
    page.locator("#compare-stop:enabled").wait_for()
    page.locator("#slider button[title*=ullscreen], #slider button[aria-label*=ullscreen]").first.click()
    page.locator(".fullscreen").first.wait_for()
    page.keyboard.press("Escape")
    page.locator(".fullscreen").first.wait_for(state="detached")
    painter.go_on()
    finished(page)


def test_the_slider_stays_where_the_answer_to_its_left_side_comes_last(quick, visit):
    page = at_compare(visit(quick))
    choose(page, "across", "Prior steps", "4, 5")
    choose(page, "down", "nothing")
    page.evaluate(LATE)
    page.locator("#compare-go").click()
    finished(page)
    page.wait_for_timeout(2000)
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()


def test_a_mistake_is_said_in_one_sentence_before_and_when_it_is_drawn(quick, visit):
    page = at_compare(visit(quick))
    page.locator("#across-values textarea, #across-values input").fill("1-40")
    page.locator("#compare-outlook .refused", has_text="at most 36 pictures").wait_for()
    page.locator("#compare-go").click()
    page.locator("#compare-status .refused .said", has_text="at most 36 pictures").wait_for()
    page.locator("#across-values textarea, #across-values input").fill("7")
    choose(page, "down", "nothing")
    page.locator("#compare-outlook", has_text="1 picture;").wait_for()
    page.locator("#compare-go").click()
    finished(page)
    assert len(decoded(page)) == 1


def test_on_a_phone_nothing_scrolls_sideways_but_the_table(quick, visit):
    page = at_compare(visit(quick, width=390, height=844))
    page.locator("#compare-go").click()
    finished(page)
    decoded(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_two_pictures_that_were_drawn_are_slid_over_each_other_as_the_files_they_are(quick, visit):
    page = visit(quick)
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#images input[type=number]").fill("2")
    page.locator("#generate").click()
    page.locator("#status .done .said").wait_for()
    page.locator("#gallery .thumbnail-lg img").nth(1).wait_for()
    drawn = {each.get_attribute("src") for each in page.locator("#gallery .thumbnail-lg img").all()}
    page.get_by_role("tab", name="Compare").click()
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    assert {each.get_attribute("src") for each in page.locator("#slider img").all()} == drawn
