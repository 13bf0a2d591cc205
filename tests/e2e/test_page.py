"""What a visitor does in a browser, on a page that draws with arithmetic."""

from __future__ import annotations

import re
import time
from io import BytesIO
from pathlib import Path
from threading import Event
from urllib.request import urlopen

import gradio as gr
import pytest
from PIL import Image

from wuerst_demo.metadata import from_png
from wuerst_demo.ui import listening

pytestmark = pytest.mark.slow

PICTURES = "#gallery .thumbnail-lg img"


def say(page, prompt):
    page.locator("#prompt textarea").fill(prompt)


def draw(page, prompt):
    """Ask for a drawing and wait for its end."""
    say(page, prompt)
    forget(page)
    page.locator("#generate").click()
    finished(page)


def forget(page):
    """Take the last drawing's end off the page, so as not to see it in place of the next one's."""
    page.evaluate("document.querySelector('#status .state').className = 'state'")


def finished(page):
    page.locator("#status .done .said").wait_for()
    page.locator("#generate:enabled").wait_for()


def status(page):
    return page.locator("#status .said").inner_text()


def seed_shown(page):
    return int(page.locator("#seed input").input_value())


def settled(condition, seconds=60):
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_a_visitor_draws_a_picture_and_sees_it_with_its_seed_and_settings(quick, visit):
    page = visit(quick)
    draw(page, "a red apple")
    page.locator(PICTURES).wait_for()
    assert page.locator(PICTURES).count() == 1
    assert page.locator(PICTURES).evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    seed = seed_shown(page)
    assert page.locator("#gallery .caption-label").inner_text() == f"Seed {seed}"
    recipe = page.locator("#recipe").inner_text()
    assert "a red apple" in recipe
    assert str(seed) in recipe
    assert re.fullmatch(r"1 picture in \d+\.\d s", status(page))


def test_another_prompt_gives_another_picture(quick, visit):
    page = visit(quick)
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("5")
    pixels = []
    for prompt in ("a red apple", "a green pear"):
        draw(page, prompt)
        page.locator(f"{PICTURES}").wait_for()
        pixels.append(urlopen(page.locator(PICTURES).get_attribute("src")).read())
    assert pixels[0] != pixels[1]


def test_a_seed_is_drawn_anew_until_it_is_held(quick, visit):
    page = visit(quick)
    assert page.locator("#seed input").input_value() == ""
    draw(page, "a cat")
    first = seed_shown(page)
    draw(page, "a cat")
    second = seed_shown(page)
    assert first != second
    page.locator("#new-seed input").uncheck()
    draw(page, "a cat")
    assert seed_shown(page) == second


def test_progress_names_the_stage_the_step_and_the_picture(address, painter, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    stops = [(0, "prior", "Prior [01] of 12"), (0, "decoder", "Decoder 1 of 6"), (1, "prior", "Prior [01] of 12")]
    shares = []
    for image, stage, said in stops:
        painter.hold(image, stage, 2)
        if not shares:
            page.locator("#generate").click()
        page.locator("#status .said", has_text=re.compile(f"^{said}, picture {image + 1} of 2$")).wait_for()
        shares.append(int(page.get_by_role("progressbar").get_attribute("aria-valuenow")))
    painter.go_on()
    assert shares == sorted(set(shares))
    finished(page)


def test_stop_in_the_middle_keeps_the_pictures_that_are_finished(address, painter, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("4")
    painter.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).wait_for()
    page.locator("#stop").click()
    painter.go_on()
    page.locator("#status .said", has_text="The finished picture is kept").wait_for()
    settled(lambda: painter.running == 0)
    assert painter.closed == 1
    page.wait_for_timeout(1000)  # long enough for another picture to come, were one still being drawn
    assert page.locator(PICTURES).count() == 1
    assert "kept" in status(page)
    draw(page, "a dog")
    assert "4 pictures" in status(page)


def test_a_visitor_who_leaves_stops_the_drawing(address, painter, visit):
    page = visit(address)
    painter.pause = 0.05
    page.locator("#images input[type=number]").fill("8")
    page.locator("#generate").click()
    settled(lambda: painter.running == 1)
    # Gradio notices those who go by the streams that the page holds open; seen progress means that they are open
    page.locator("#status .said", has_text="Prior").wait_for()
    page.close()
    painter.pause = 0.5  # were it not stopped, it would take a minute
    settled(lambda: painter.running == 0, seconds=30)
    assert painter.closed == 1


def test_two_visitors_draw_at_once_and_neither_sees_the_others_pictures(address, painter, visit):
    one, other = visit(address), visit(address)
    painter.hold(0, "decoder", 1)
    for page, prompt in ((one, "a fox of one"), (other, "the others owl")):
        say(page, prompt)
        page.locator("#generate").click()
    settled(lambda: painter.running == 2)
    painter.go_on()
    for page in (one, other):
        finished(page)
        assert page.locator(PICTURES).count() == 1
    assert "a fox of one" in one.locator("#recipe").inner_text()
    assert "the others owl" in other.locator("#recipe").inner_text()
    assert "the others owl" not in one.content()
    assert "a fox of one" not in other.content()
    assert visit(address).locator(PICTURES).count() == 0


def test_stop_is_for_ones_own_drawing(address, painter, visit):
    one, other = visit(address), visit(address)
    painter.hold(0, "decoder", 1)
    for page in (one, other):
        page.locator("#generate").click()
    settled(lambda: painter.running == 2)
    one.locator("#stop").click()
    one.wait_for_timeout(500)
    painter.go_on()
    one.locator("#status .said", has_text="Stopped").wait_for()
    finished(other)
    assert painter.closed == 1
    assert "Stopped" in status(one)


def test_a_size_off_the_grid_gets_a_sentence_and_the_next_request_works(quick, visit):
    page = visit(quick)
    draw(page, "a cat")
    page.locator("#width input[type=number]").fill("300")
    page.locator("#generate").click()
    page.locator("#status .refused").wait_for()
    assert "the nearest are 256 and 384" in status(page)
    assert page.locator(PICTURES).count() == 1, "what was drawn before is still there"
    page.locator("#width input[type=number]").fill("384")
    draw(page, "a cat")
    assert page.locator(PICTURES).evaluate("image => image.decode().then(() => image.naturalWidth)") == 384


def test_a_seed_that_is_none_gets_a_sentence(quick, visit):
    page = visit(quick)
    page.locator("#new-seed input").uncheck()
    for seed in ("-1", "1099511627776", "1.5"):
        page.locator("#seed input").fill(seed)
        forget(page)  # or the refusal before is taken for this one's
        page.locator("#generate").click()
        page.locator("#status .refused").wait_for()
        page.locator("#generate:enabled").wait_for()
        assert status(page).startswith("Seed")
    page.locator("#seed input").fill("7")
    draw(page, "a cat")
    assert seed_shown(page) == 7


@pytest.mark.parametrize(
    ("prompt", "state", "said"),
    [
        ("break", "failed", "Something went wrong on our side"),
        ("refuse", "refused", "The fake engine refuses this"),
    ],
)
def test_whatever_fails_ends_in_a_sentence_and_the_next_request_works(quick, visit, prompt, state, said):
    page = visit(quick)
    say(page, prompt)
    page.locator("#generate").click()
    page.locator(f"#status .{state}").wait_for()
    assert said in status(page)
    assert "/secret/path" not in page.content()
    assert "Traceback" not in page.content()
    draw(page, "a cat")
    assert page.locator(PICTURES).count() == 1


def test_a_download_is_a_png_that_carries_its_request(quick, visit):
    page = visit(quick)
    page.locator("#images input[type=number]").fill("2")
    draw(page, "ein Würstchen, \N{GRINNING FACE}")
    seed = seed_shown(page)
    with page.expect_download() as download:
        page.locator("#files a").nth(1).click()
    by_list = Path(download.value.path()).read_bytes()
    page.locator(PICTURES).nth(1).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename.endswith(".png")
    by_gallery = Path(download.value.path()).read_bytes()
    assert by_list == by_gallery
    found = from_png(BytesIO(by_list))
    assert found.values["prompt"] == "ein Würstchen, \N{GRINNING FACE}"
    assert found.values["seed"] == seed + 1
    assert found.checkpoint == "arithmetic"
    with Image.open(BytesIO(by_list)) as image:
        assert image.format == "PNG"


def test_weighted_words_are_shown_with_their_weight_and_tokens_are_counted(quick, visit):
    page = visit(quick)
    say(page, "a RED apple -dull")
    page.locator("#spans .highlighted").first.wait_for()
    marked = page.locator("#spans .highlighted").all_inner_texts()
    assert [" ".join(text.split()) for text in marked] == ["RED × 1.5", "-dull × 0.5"]
    assert "6 of 77 tokens" in page.locator("#summary").inner_text()
    page.locator("#weighting input").uncheck()
    page.locator("#spans").wait_for(state="hidden")


def test_a_prompt_that_cannot_be_read_says_so_under_the_prompt(quick, visit):
    page = visit(quick)
    say(page, "syntax")
    page.locator("#summary .refused").wait_for()
    assert "switch weighting off" in page.locator("#summary").inner_text()


def test_markup_in_a_prompt_is_text(quick, visit):
    page = visit(quick)
    evil = '<img src=x onerror="window.hurt=1"><b>bold</b> LOUD ' + "word " * 90
    draw(page, evil)
    page.locator("#spans .highlighted").first.wait_for()
    assert "<img" in page.locator("#recipe").inner_text()
    assert page.locator("#recipe img, #recipe :not(mark) > b, #summary img, #spans img").count() == 0
    assert page.evaluate("window.hurt") is None


def test_an_example_becomes_the_prompt(quick, visit):
    page = visit(quick)
    page.get_by_role("button", name="a red apple on a table").click()
    settled(lambda: page.locator("#prompt textarea").input_value() == "a red apple on a table")


def test_everything_works_without_a_mouse(quick, visit):
    page = visit(quick)
    settled(lambda: page.evaluate("document.activeElement.tagName") == "TEXTAREA")
    page.keyboard.type("a cat")
    forget(page)
    page.keyboard.press("Control+Enter")
    finished(page)
    page.locator("#files a").wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('#files a')"):
            break
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert from_png(Path(download.value.path())).values["prompt"] == "a cat"


def test_escape_stops_unless_it_closes_an_open_picture(address, painter, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    painter.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).click()
    page.locator("#gallery .preview").wait_for()
    page.keyboard.press("Escape")
    page.locator("#gallery .preview").wait_for(state="detached")
    page.locator("#stop:enabled").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    painter.go_on()
    page.locator("#status .said", has_text="Stopped").wait_for()
    settled(lambda: painter.closed == 1)


def test_what_fails_on_its_way_to_the_browser_leaves_no_button_closed(address, visit, monkeypatch):
    seen = Event()

    def fails(page, session):
        seen.wait(60)  # until the page has been looked at
        raise gr.Error("Nobody reads.", print_exception=False)

    page = visit(address)
    with monkeypatch.context() as broken:
        broken.setattr(listening, "_let_read", fails)
        page.locator("#generate").click()
        page.locator("#generate:disabled").wait_for()
        seen.set()
        page.locator("#generate:enabled").wait_for()
        assert page.locator("#stop").is_disabled()
    draw(page, "a red apple")


def test_while_it_draws_the_same_with_another_seed_changes_nothing(address, painter, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    say(page, "a red apple")
    painter.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).wait_for()
    page.locator("#another").wait_for()
    say(page, "a green pear")
    assert page.locator("#another").is_disabled()
    page.locator("#another").click(force=True)
    page.wait_for_timeout(500)
    assert page.locator("#prompt textarea").input_value() == "a green pear"
    painter.go_on()
    finished(page)
    assert len(painter.asked) == 1
    page.locator("#another").click()
    settled(lambda: len(painter.asked) == 2)
    assert painter.asked[1].prompt == "a red apple"


def test_a_new_drawing_closes_an_open_picture_and_leaves_the_focus_where_it_is(address, painter, visit):
    page = visit(address)
    draw(page, "a red apple")
    page.locator(PICTURES).click()
    page.locator("#gallery .preview").wait_for()
    page.locator("#prompt textarea").click()
    forget(page)
    page.keyboard.press("Control+Enter")
    finished(page)
    page.locator(PICTURES).wait_for()
    page.locator("#gallery .preview").wait_for(state="detached")
    assert page.evaluate("document.activeElement.closest('#prompt') !== null")


def test_escape_closes_an_open_list_and_the_drawing_goes_on(address, painter, visit):
    page = visit(address)
    painter.hold(0, "prior", 2)
    page.locator("#generate").click()
    page.locator("#stop:enabled").wait_for()
    page.locator("#style input").click()
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("listbox").wait_for(state="hidden")
    painter.go_on()
    page.locator("#status .done").wait_for()


def test_on_a_phone_nothing_scrolls_sideways_and_every_target_is_big_enough(quick, visit):
    page = visit(quick, 390, 844, has_touch=True)
    page.locator("#more > button").click()
    draw(page, "a RED apple " + "word " * 100 + "W" * 60)
    page.locator(PICTURES).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, textarea, select')]
            .filter(each => each.checkVisibility() && !each.closest('[aria-hidden=true]'))
            .filter(each => each.getBoundingClientRect().width > 1)
            .filter(each => !['range', 'checkbox', 'radio'].includes(each.type))
            .map(each => [each, each.getBoundingClientRect()])
            .filter(([, box]) => box.width < 24 || box.height < 24)
            .map(([each, box]) => `${each.tagName} ${each.className} ${box.width}x${box.height}`)"""
    )
    assert small == []


def test_the_picture_stands_above_the_settings_on_a_phone_and_beside_them_on_a_wide_screen(quick, visit):
    def boxes(page):
        return [page.locator(f"#{name}").bounding_box() for name in ("ask", "pictures", "settings")]

    ask, pictures, settings = boxes(visit(quick, 390, 844))
    assert ask["y"] < pictures["y"] < settings["y"]
    ask, pictures, settings = boxes(visit(quick))
    assert pictures["x"] > ask["x"] + ask["width"]
    assert abs(pictures["y"] - ask["y"]) < 5
    assert settings["x"] == ask["x"]


def test_light_and_dark_follow_the_system(quick, visit):
    def brightness(page):
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert brightness(visit(quick, color_scheme="light")) > 600
    assert brightness(visit(quick, color_scheme="dark")) < 150


def test_the_page_asks_nobody_but_its_own_server(quick, browser):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(quick)
    draw(page, "a RED apple")
    page.locator(PICTURES).click()
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    page.locator("footer button").first.click()  # the documentation for programs
    page.get_by_text("MCP documentation").wait_for()
    page.wait_for_timeout(500)
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith((quick, "data:", "blob:"))] == []
    context.close()


def test_nothing_is_reported_as_an_error_in_the_browsers_console(quick, browser):
    context = browser.new_context()
    page = context.new_page()
    reported = []
    page.on("console", lambda message: message.type == "error" and reported.append(message.text))
    page.on("pageerror", lambda error: reported.append(str(error)))
    page.goto(quick)
    draw(page, "a RED apple")
    assert reported == []
    context.close()
