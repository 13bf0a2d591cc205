"""The first screen: what somebody sees and can do before the first picture, in a browser, over a fake pipeline."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.test_page import PICTURES, finished, forget, say, seed_shown
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import EXAMPLES, expected_image, fake_context
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.images.metadata import build_png_info
from wuerst_demo.web.example_pictures import encode_picture, list_example_requests

pytestmark = pytest.mark.slow
SAMPLES = "#examples .sample"
SEED_FOLD = "button.fold[aria-controls=seed-panel]"
NEGATIVE_FOLD = "button.fold[aria-controls=negative-panel]"
DROP_JS = """([data, selector]) => {
    const bytes = Uint8Array.from(atob(data), each => each.charCodeAt(0)), files = new DataTransfer()
    files.items.add(new File([bytes], "picture.png", { type: "image/png" }))
    const target = document.querySelector(selector)
    for (const type of ["dragenter", "dragover", "drop"])
        target.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: files }))
}"""


def with_examples(context):
    """The context, with the pictures of all its examples but the last."""
    *drawn, _ = list_example_requests(context.checkpoint)
    pictures = {each: encode_picture(expected_image(each)) for each in drawn}
    return replace(context, example_picture=pictures.get)


@pytest.fixture
def sampled(pipeline):
    """The address of a page with example pictures over `pipeline`."""
    with serve_page(with_examples(fake_context(pipeline))) as address:
        yield address


def is_open(page, fold):
    return page.locator(fold).get_attribute("aria-expanded") == "true"


def in_view(page, selector):
    """Whether an element can be seen completely without scrolling."""
    box, size = page.locator(selector).first.bounding_box(), page.viewport_size
    if box is None:
        return False
    return box["y"] >= 0 and box["y"] + box["height"] <= size["height"] and box["x"] + box["width"] <= size["width"]


def test_the_seed_is_empty_before_the_server_has_said_anything(sampled, browser):
    with browser.new_context() as context:
        page = context.new_page()
        page.route(re.compile("/gradio_api/(run|queue|call)/"), lambda route: None)
        page.goto(sampled)
        expect(page.locator("#seed input")).to_have_attribute("placeholder", "at random")
        expect(page.locator("#seed input")).to_have_value("")


def test_one_click_on_an_example_draws_it(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    assert page.locator(f"{SAMPLES} img").count() == len(EXAMPLES) - 1
    page.locator(SAMPLES).nth(1).click()
    finished(page)
    page.locator(PICTURES).wait_for()
    (request,) = pipeline.requests
    assert request == list_example_requests(fake_context().checkpoint)[1]
    expect(page.locator("#prompt textarea")).to_have_value(EXAMPLES[1])
    assert seed_shown(page) == request.seed
    expect(page.locator("#examples")).to_be_hidden()


def test_an_example_without_a_picture_is_its_words_and_can_be_drawn(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    page.get_by_role("button", name=EXAMPLES[2]).focus()
    page.keyboard.press("Enter")
    finished(page)
    assert [each.prompt for each in pipeline.requests] == [EXAMPLES[2]]


def test_examples_that_were_drawn_meanwhile_are_shown_to_the_next_visitor(pipeline, visit):
    pictures = {}
    context = replace(fake_context(pipeline), example_picture=pictures.get)
    with serve_page(context) as address:
        page = visit(address, folded=True)
        expect(page.locator(f"{SAMPLES} img")).to_have_count(0)
        first = list_example_requests(context.checkpoint)[0]
        pictures[first] = encode_picture(expected_image(first))
        other = visit(address, folded=True, locale="de-DE")
        other.locator(f"{SAMPLES} img").wait_for()
        expect(other.locator("#examples p")).to_have_text(
            "Wähle ein Beispiel, um es neu zu zeichnen.", use_inner_text=True
        )


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_everything_for_a_first_picture_is_in_view_on_a_laptop(sampled, visit, locale):
    page = visit(sampled, width=1440, height=900, folded=True, locale=locale)
    places = ("#prompt", "#generate", "#status", SAMPLES, "#shape-1-1", "#images", SEED_FOLD, NEGATIVE_FOLD, "#drop")
    assert [place for place in places if not in_view(page, place)] == []
    page.locator(SAMPLES).first.click()
    finished(page)
    wait_until(lambda: in_view(page, PICTURES))


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_prompt_generate_and_result_are_in_view_on_a_phone(sampled, visit, locale):
    page = visit(sampled, width=390, height=844, folded=True, locale=locale)
    assert [place for place in ("#prompt", "#generate", "#examples") if not in_view(page, place)] == []
    page.locator(SAMPLES).first.click()
    finished(page)
    page.locator(PICTURES).wait_for()
    wait_until(lambda: all(in_view(page, place) for place in ("#prompt", "#generate", "#status", PICTURES)))
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_shape_is_chosen_with_one_click_and_marked(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    page.locator("#shape-1-1[aria-pressed=true]").wait_for()
    expect(page.locator("#width")).to_be_hidden()
    page.locator("#shape-2-3").click()
    page.locator("#shape-2-3[aria-pressed=true]").wait_for()
    expect(page.locator("#shapes [aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#size-fold .now")).to_have_text("256 × 384", use_inner_text=True)
    page.locator("#generate").click()
    finished(page)
    assert [(each.width, each.height) for each in pipeline.requests] == [(256, 384)]


def test_the_folded_seed_unfolds_when_a_link_sets_it(sampled, visit):
    page = visit(sampled, folded=True)
    assert not is_open(page, SEED_FOLD)
    expect(page.locator("#seed")).to_be_hidden()
    page = visit(f"{sampled}?prompt=a%20cat&seed=7", folded=True)
    page.locator("#seed").wait_for()
    assert seed_shown(page) == 7
    assert is_open(page, SEED_FOLD)
    assert not is_open(page, NEGATIVE_FOLD)
    page = visit(f"{sampled}?negative_prompt=dogs&width=384&height=512", folded=True)
    page.locator("#negative-prompt").wait_for()
    expect(page.locator("#negative-prompt textarea")).to_have_value("dogs")
    assert is_open(page, NEGATIVE_FOLD)
    assert not is_open(page, SEED_FOLD)


def test_a_picture_dropped_anywhere_on_the_page_is_read(sampled, visit):
    request = fake_context().limits.request({"prompt": "a kept cat", "negative_prompt": "dogs", "seed": 5})
    written = BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG", pnginfo=build_png_info(request, "arithmetic"))
    page = visit(sampled, folded=True)
    page.evaluate(DROP_JS, [b64encode(written.getvalue()).decode(), "#examples"])
    page.locator("#came", has_text="Settings from a picture").wait_for()
    page.locator("#negative-prompt").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a kept cat")
    expect(page.locator("#negative-prompt textarea")).to_have_value("dogs")
    assert (is_open(page, SEED_FOLD), seed_shown(page)) == (True, 5)


def test_the_title_of_the_browser_tab_shows_progress(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    assert page.title() == "Würstchen"
    pipeline.hold(0, "decoder", 1)
    page.locator("#generate").click()
    page.wait_for_function("/^[1-9][0-9]? % · Würstchen$/.test(document.title)")
    pipeline.release()
    finished(page)
    page.wait_for_function("document.title === 'Würstchen'")


def test_a_finished_picture_checks_the_title_of_a_tab_in_the_background(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    pipeline.hold(0, "decoder", 1)
    page.locator("#generate").click()
    page.wait_for_function("document.title.includes('%')")
    pipeline.release()
    page.wait_for_function("document.title === '✓ Würstchen'")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: false });"
        " document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert page.title() == "Würstchen"


def test_the_list_of_keys_opens_and_closes_by_keyboard(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    say(page, "a cat")
    keys = page.get_by_role("dialog", name="Keys")
    page.locator("#keys").wait_for(state="attached")
    page.keyboard.press("Control+/")
    keys.wait_for()
    expect(keys).to_contain_text("Alt + 1 to 5")
    page.keyboard.press("Control+Enter")  # what is behind the list does not answer
    page.keyboard.press("Escape")
    keys.wait_for(state="hidden")
    page.locator("#keys").wait_for(state="attached")
    page.keyboard.press("Control+/")
    page.locator("#keys").wait_for(state="attached")
    page.keyboard.press("Control+/")
    keys.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.closest('#prompt') !== null")
    assert pipeline.requests == []
    page.get_by_role("button", name="Keys").first.click()
    keys.wait_for()
    page.get_by_role("button", name="Close").click()
    keys.wait_for(state="hidden")


def test_escape_closes_the_list_of_keys_and_stops_nothing(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    pipeline.hold(0, "prior", 1)
    page.locator("#generate").click()
    page.locator("#stop:enabled").wait_for()
    page.locator("#keys").wait_for(state="attached")
    page.keyboard.press("Control+/")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    pipeline.release()
    finished(page)
    assert pipeline.cancelled == 0


def test_alt_and_a_digit_choose_a_tab(visit, tmp_path):
    with serve_page(replace(fake_context(), history=HistoryStore(tmp_path))) as address:
        page = visit(address, folded=True)
        for digit, name in ((2, "Compare"), (4, "How it works"), (3, "History"), (1, "Draw")):
            page.keyboard.press(f"Alt+{digit}")
            page.get_by_role("tab", name=name, selected=True).wait_for()
        say(page, "")
        page.locator("#prompt textarea").press_sequentially("2 cats and 3 dogs")
        page.keyboard.press("Alt+5")  # there is no such tab
        expect(page.locator("#prompt textarea")).to_have_value("2 cats and 3 dogs")
        expect(page.get_by_role("tab", name="Draw", selected=True)).to_be_visible()


def test_what_runs_here_is_copied_without_prompts_and_paths(visit):
    runtime = {"Device": "no device", "torch": "2.99.0"}
    with serve_page(replace(fake_context(), runtime=runtime)) as address:
        page = visit(address, folded=True, permissions=["clipboard-read", "clipboard-write"], locale="de-DE")
        say(page, "mysecret")
        page.get_by_role("button", name="Kopieren, was hier läuft").click()
        page.get_by_role("button", name="Kopiert").wait_for()
        *lines, browser, end = page.evaluate("navigator.clipboard.readText()").split("\n")
        assert (lines, end) == (["Device: no device", "torch: 2.99.0"], "")
        assert browser.startswith("Browser: Mozilla/")


def test_the_first_screen_is_german_for_a_german_browser(sampled, visit):
    page = visit(sampled, folded=True, locale="de-DE")
    page.locator("#examples", has_text="Wähle ein Beispiel").wait_for()
    expect(page.locator(SEED_FOLD)).to_have_text("Seed", use_inner_text=True)
    expect(page.locator(NEGATIVE_FOLD)).to_have_text("Negativer Prompt, Gewichtung", use_inner_text=True)
    expect(page.get_by_role("button", name="Genaue Größe")).to_be_visible()
    page.locator("#keys").wait_for(state="attached")
    page.keyboard.press("Control+/")
    assert "Strg + Eingabe" in page.get_by_role("dialog", name="Tasten").inner_text()
    assert "__i18n__" not in page.locator("body").inner_text()


def test_the_keyboard_alone_unfolds_the_seed_and_sets_it(sampled, pipeline, visit):
    page = visit(sampled, folded=True)
    page.locator(SEED_FOLD).focus()
    page.keyboard.press("Enter")
    page.locator("#new-seed input").focus()
    page.keyboard.press("Space")
    page.locator("#seed input").fill("9")
    forget(page)
    page.keyboard.press("Control+Enter")
    finished(page)
    assert [each.seed for each in pipeline.requests] == [9]
    assert json.loads(page.evaluate("sessionStorage.getItem('wuerst-draft')"))[1]["seed"] == 9
