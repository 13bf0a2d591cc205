"""The Compare tab in a browser, over a fake pipeline."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.browser import opened_field
from tests.fakes.web import LIMITS, expected_image
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.web.compare.contact_sheet import COMPARISON_TEXT_KEY

pytestmark = pytest.mark.slow

CELLS = "#board td img"
HOLD_LEFT_ANSWER_JS = """() => {
    const plain = window.fetch, released = new Promise(resolve => { window.releaseLeftAnswer = resolve })
    window.fetch = async (...args) => {
        const answer = await plain(...args)
        if (/"cell 0", ?null\\]/.test(args[1]?.body ?? "")) await released
        return answer
    }
}"""
"""Holds the answer to the slider's left side, which is asked for while the right one is not chosen yet."""


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
    opened_field(page, "#compare-prompt textarea").fill(prompt)
    return page


def finished(page):
    page.locator("#compare-status .done .status-text").wait_for()
    page.locator("#compare-go:enabled").wait_for()


def forget(page):
    """Removes the last status from the page, so that it is not taken for the next one."""
    page.evaluate("document.querySelector('#compare-status .state').className = 'state'")


def decoded(page):
    """The sizes of the cells' pictures, once each of them is there to be seen."""
    return page.locator(CELLS).evaluate_all("all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))")


def is_answer_to_stop(answer):
    return "/run/predict" in answer.url and len(answer.request.post_data_json["data"]) == 2


def test_a_two_by_two_comparison_is_downloaded_as_one_image(instant_page, visit, tmp_path):
    page = at_compare(visit(instant_page), "a {red apple|<b>pear</b>} $\\{1+1\\}`")
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
    base = LIMITS.request(read_image_settings(path).values)
    assert base.prompt == "a {red apple|<b>pear</b>} $\\{1+1\\}`"
    with Image.open(path) as sheet:
        sheet.load()
        assert json.loads(sheet.text[COMPARISON_TEXT_KEY])["down"] == {
            "setting": "size",
            "values": ["256 × 256", "384 × 256"],
        }
        colors = {sheet.getpixel((x, y)) for x in range(0, sheet.width, 7) for y in range(sheet.height)}
    alone = [
        expected_image(LIMITS.request({"prompt": each, "seed": base.seed}))
        for each in ("a red apple ${1+1}`", "a <b>pear</b> ${1+1}`")
    ]
    assert all(each.getpixel((0, 0)) in colors for each in alone)


def test_stop_keeps_finished_cells_and_the_slider_shows_two_of_them(address, pipeline, visit):
    page = at_compare(visit(address))
    choose(page, "across", "Prior steps", "4, 5, 9")
    choose(page, "down", "nothing")
    pipeline.hold(0, "prior", 9)
    page.locator("#compare-go").click()
    page.locator(CELLS).nth(1).wait_for()
    with page.expect_response(is_answer_to_stop):  # the step in which it would stop is held
        page.locator("#compare-stop").click()
    pipeline.release()
    page.locator("#compare-status .status-text", has_text="Stopped. The 2 finished pictures are kept.").wait_for()
    page.locator("#compare-go:enabled").wait_for()
    assert len(decoded(page)) == 2
    expect(page.locator("#board .empty-cell")).to_have_count(1)
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    shown = {each.get_attribute("src") for each in page.locator("#slider img").all()}
    assert shown == {each.get_attribute("src") for each in page.locator(CELLS).all()}


def test_escape_leaves_the_full_screen_without_stopping_the_comparison(address, pipeline, visit):
    page = at_compare(visit(address))
    choose(page, "across", "Prior steps", "4, 5")
    choose(page, "down", "nothing")
    page.locator("#compare-go").click()
    finished(page)
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    pipeline.hold(0, "prior", 2)
    forget(page)
    page.locator("#compare-go").click()
    page.locator("#compare-stop:enabled").wait_for()
    page.locator("#slider button[title*=ullscreen], #slider button[aria-label*=ullscreen]").first.click()
    page.locator(".fullscreen").first.wait_for()
    page.keyboard.press("Escape")
    page.locator(".fullscreen").first.wait_for(state="detached")
    pipeline.release()
    finished(page)


def test_the_slider_stays_when_the_answer_to_its_left_side_comes_last(instant_page, visit):
    page = at_compare(visit(instant_page))
    choose(page, "across", "Prior steps", "4, 5")
    choose(page, "down", "nothing")
    page.evaluate(HOLD_LEFT_ANSWER_JS)
    page.locator("#compare-go").click()
    finished(page)
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    page.evaluate("releaseLeftAnswer()")
    page.wait_for_timeout(500)
    expect(page.locator("#slider img").nth(1)).to_be_visible()


def test_a_mistake_gets_one_message_before_and_after_compare(instant_page, visit):
    page = at_compare(visit(instant_page))
    page.locator("#across-values textarea, #across-values input").fill("1-40")
    page.locator("#compare-outlook .rejected", has_text="at most 36 pictures").wait_for()
    page.locator("#compare-go").click()
    page.locator("#compare-status .rejected .status-text", has_text="at most 36 pictures").wait_for()
    page.locator("#across-values textarea, #across-values input").fill("7")
    choose(page, "down", "nothing")
    page.locator("#compare-outlook", has_text="1 picture;").wait_for()
    page.locator("#compare-go").click()
    finished(page)
    assert len(decoded(page)) == 1


def test_on_a_phone_only_the_table_scrolls_sideways(instant_page, visit):
    page = at_compare(visit(instant_page, width=390, height=844))
    page.locator("#compare-go").click()
    finished(page)
    decoded(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_slider_shows_two_generated_images_as_their_files(instant_page, visit):
    page = visit(instant_page)
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#images input[type=number]").fill("2")
    page.locator("#generate").click()
    page.locator("#status .done .status-text").wait_for()
    page.locator("#gallery .thumbnail-lg img").nth(1).wait_for()
    drawn = {each.get_attribute("src") for each in page.locator("#gallery .thumbnail-lg img").all()}
    page.get_by_role("tab", name="Compare").click()
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    assert {each.get_attribute("src") for each in page.locator("#slider img").all()} == drawn


def test_lines_of_prompts_are_compared_and_come_back_after_a_refresh(address, pipeline, visit):
    page = at_compare(visit(address), "another prompt")
    choose(page, "across", "nothing")
    choose(page, "down", "Prompts, one a line", "# animals\na cat --seed 7\na dog --seed 8 --width 384")
    page.locator("#compare-outlook", has_text="2 pictures").wait_for()
    page.locator("#compare-go").click()
    finished(page)
    asked = [(each.prompt, each.seed, each.width) for each in pipeline.requests]
    assert asked == [("a cat", 7, 256), ("a dog", 8, 384)]
    assert page.locator("#board tbody th").all_inner_texts() == ["a cat --seed 7", "a dog --seed 8 --width 384"]
    assert "another prompt" not in page.locator("#board").inner_text()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    finished(page)
    assert page.locator("#down-values textarea").input_value().startswith("# animals\na cat")
    page.locator("#down-values textarea").fill("a cat\n\na dog --seed x")
    page.locator("#compare-outlook .rejected", has_text="Line 3: Seed must be a whole number").wait_for()
