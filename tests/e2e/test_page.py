"""The Generate tab in a browser, over a fake pipeline."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Event
from urllib.request import urlopen

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.fakes import server
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import fake_context
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.events import Done
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware import backpressure

pytestmark = pytest.mark.slow

PICTURES = "#gallery .thumbnail-lg img"


def say(page, prompt):
    page.locator("#prompt textarea").fill(prompt)


def draw(page, prompt):
    """Generates, and waits for the end."""
    say(page, prompt)
    forget(page)
    page.locator("#generate").click()
    finished(page)


def forget(page):
    """Removes the last status from the page, so that it is not taken for the next one."""
    page.evaluate("document.querySelector('#status .state').className = 'state'")


def finished(page):
    page.locator("#status .done .status-text").wait_for()
    page.locator("#generate:enabled").wait_for()


def wait_for_pictures(page, count):
    """The gallery may show the pictures a moment after the status that tells of them."""
    wait_until(lambda: page.locator(PICTURES).count() == count)


def status(page):
    return page.locator("#status .status-text").inner_text()


def seed_shown(page):
    field = page.locator("#seed input")
    wait_until(field.input_value)  # it may come after the status
    return int(field.input_value())


def test_a_generated_image_is_shown_with_its_seed_and_settings(instant_page, visit):
    page = visit(instant_page)
    draw(page, "a red apple")
    wait_for_pictures(page, 1)
    assert page.locator(PICTURES).evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    seed = seed_shown(page)
    expect(page.locator("#gallery .caption-label")).to_have_text(f"Seed {seed}", use_inner_text=True)
    expect(page.locator("#recipe")).to_contain_text("a red apple")
    expect(page.locator("#recipe")).to_contain_text(str(seed))
    assert re.fullmatch(r"1 picture in \d+\.\d s", status(page))


def test_another_prompt_gives_another_image(instant_page, visit):
    page = visit(instant_page)
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("5")
    sources = []
    for prompt in ("a red apple", "a green pear"):
        draw(page, prompt)
        wait_for_pictures(page, 1)
        wait_until(lambda: page.locator(PICTURES).get_attribute("src") not in sources)  # not the last one any more
        sources.append(page.locator(PICTURES).get_attribute("src"))
    assert urlopen(sources[0]).read() != urlopen(sources[1]).read()


def test_the_seed_is_new_each_time_until_it_is_kept(instant_page, visit):
    page = visit(instant_page)
    expect(page.locator("#seed input")).to_have_value("")
    draw(page, "a cat")
    first = seed_shown(page)
    draw(page, "a cat")
    second = seed_shown(page)
    assert first != second
    page.locator("#new-seed input").uncheck()
    draw(page, "a cat")
    assert seed_shown(page) == second


def test_progress_names_stage_step_and_image(address, pipeline, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    stops = [(0, "prior", "Prior [01] of 12"), (0, "decoder", "Decoder 1 of 6"), (1, "prior", "Prior [01] of 12")]
    shares = []
    for image, stage, said in stops:
        pipeline.hold(image, stage, 2)
        if not shares:
            page.locator("#generate").click()
        page.locator("#status .status-text", has_text=re.compile(f"^{said}, picture {image + 1} of 2$")).wait_for()
        shares.append(int(page.get_by_role("progressbar").get_attribute("aria-valuenow")))
    pipeline.release()
    assert shares == sorted(set(shares))
    finished(page)


def test_stop_keeps_finished_images(address, pipeline, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("4")
    pipeline.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).wait_for()
    page.locator("#stop").click()
    page.locator("#status .status-text", has_text="The finished picture is kept").wait_for()
    pipeline.release()
    wait_until(lambda: pipeline.running == 0)
    assert pipeline.cancelled == 1
    page.wait_for_timeout(1000)  # long enough for another image, if one were still being generated
    expect(page.locator(PICTURES)).to_have_count(1)
    assert "kept" in status(page)
    draw(page, "a dog")
    assert "4 pictures" in status(page)


def test_closing_the_page_stops_the_generation(address, pipeline, visit):
    page = visit(address)
    pipeline.pause = 0.05
    page.locator("#images input[type=number]").fill("8")
    page.locator("#generate").click()
    wait_until(lambda: pipeline.running == 1)
    # Gradio notices those who go by the streams that the page holds open; seen progress means that they are open
    page.locator("#status .status-text", has_text="Prior").wait_for()
    page.close()
    pipeline.pause = 2  # without Stop it would take five minutes
    wait_until(lambda: pipeline.running == 0)
    assert pipeline.cancelled == 1


def test_two_clients_generate_at_once_without_seeing_each_other(address, pipeline, visit):
    one, other = visit(address), visit(address)
    pipeline.hold(0, "decoder", 1)
    for page, prompt in ((one, "a fox of one"), (other, "the others owl")):
        say(page, prompt)
        page.locator("#generate").click()
    wait_until(lambda: pipeline.running == 2)
    pipeline.release()
    for page in (one, other):
        finished(page)
        wait_for_pictures(page, 1)
    expect(one.locator("#recipe")).to_contain_text("a fox of one")
    expect(other.locator("#recipe")).to_contain_text("the others owl")
    assert "the others owl" not in one.content()
    assert "a fox of one" not in other.content()
    assert visit(address).locator(PICTURES).count() == 0


def test_stop_affects_only_the_own_generation(address, pipeline, visit):
    one, other = visit(address), visit(address)
    pipeline.hold(0, "decoder", 1)
    for page in (one, other):
        page.locator("#generate").click()
    wait_until(lambda: pipeline.running == 2)
    one.locator("#stop").click()
    one.locator("#status .status-text", has_text="Stopped").wait_for()
    pipeline.release()
    finished(other)
    assert pipeline.cancelled == 1
    assert "Stopped" in status(one)


def test_an_invalid_size_gets_a_message_and_the_next_request_works(instant_page, visit):
    page = visit(instant_page)
    draw(page, "a cat")
    page.locator("#width input[type=number]").fill("300")
    page.locator("#generate").click()
    page.locator("#status .rejected").wait_for()
    assert "the nearest are 256 and 384" in status(page)
    expect(page.locator(PICTURES), "what was drawn before is still there").to_have_count(1)
    page.locator("#width input[type=number]").fill("384")
    draw(page, "a cat")
    width = "image => image.decode().then(() => image.naturalWidth)"
    wait_until(lambda: page.locator(PICTURES).evaluate(width) == 384)  # the picture before had 256


def test_an_invalid_seed_gets_a_message(instant_page, visit):
    page = visit(instant_page)
    page.locator("#new-seed input").uncheck()
    for seed in ("-2", "1099511627776", "1.5"):
        page.locator("#seed input").fill(seed)
        forget(page)  # or the last rejection is taken for this one
        page.locator("#generate").click()
        page.locator("#status .rejected").wait_for()
        page.locator("#generate:enabled").wait_for()
        assert status(page).startswith("Seed")
    page.locator("#seed input").fill("7")
    draw(page, "a cat")
    assert seed_shown(page) == 7


@pytest.mark.parametrize(
    ("prompt", "state", "said"),
    [
        ("break", "failed", "An internal error occurred"),
        ("refuse", "rejected", "The fake engine refuses this"),
    ],
)
def test_every_failure_ends_in_a_message_and_the_next_request_works(instant_page, visit, prompt, state, said):
    page = visit(instant_page)
    say(page, prompt)
    page.locator("#generate").click()
    page.locator(f"#status .{state}").wait_for()
    assert said in status(page)
    assert "/secret/path" not in page.content()
    assert "Traceback" not in page.content()
    draw(page, "a cat")
    wait_for_pictures(page, 1)


def test_a_download_is_a_png_that_carries_its_request(instant_page, visit):
    page = visit(instant_page)
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
    found = read_image_settings(BytesIO(by_list))
    assert found.values["prompt"] == "ein Würstchen, \N{GRINNING FACE}"
    assert found.values["seed"] == seed + 1
    assert found.checkpoint == "arithmetic"
    with Image.open(BytesIO(by_list)) as image:
        assert image.format == "PNG"


def test_fast_typing_asks_for_few_reports_and_ends_with_that_of_the_whole_text(instant_page, visit):
    page, asked = visit(instant_page), []
    config = page.evaluate("window.gradio_config")
    (summary,) = [each["id"] for each in config["components"] if each["props"].get("elem_id") == "summary"]
    (report,) = [each["id"] for each in config["dependencies"] if each["backend_fn"] and summary in each["outputs"]]
    page.on("request", lambda request: asked.append(1) if f'"fn_index":{report},' in (request.post_data or "") else 0)
    started = time.monotonic()
    page.locator("#prompt textarea").fill("")
    page.locator("#prompt textarea").press_sequentially("one two three four five six seven eight", delay=60)
    expect(page.locator("#summary")).to_contain_text("10 of 77 tokens")
    page.wait_for_timeout(500)  # for one that comes late
    assert 2 <= len(asked) <= 3 + (time.monotonic() - started) / 0.4


def test_weighted_words_are_labelled_and_tokens_are_counted(instant_page, visit):
    page = visit(instant_page)
    say(page, "a RED apple -dull")
    page.locator("#spans .highlighted").first.wait_for()
    marked = page.locator("#spans .highlighted").all_inner_texts()
    assert [" ".join(text.split()) for text in marked] == ["RED × 1.5", "-dull × 0.5"]
    expect(page.locator("#summary")).to_contain_text("6 of 77 tokens")
    page.locator("#weighting input").uncheck()
    page.locator("#spans").wait_for(state="hidden")


def test_a_prompt_that_cannot_be_parsed_is_reported_below_it(instant_page, visit):
    page = visit(instant_page)
    say(page, "syntax")
    page.locator("#summary .rejected").wait_for()
    expect(page.locator("#summary")).to_contain_text("switch weighting off")


def test_markup_in_a_prompt_is_text(instant_page, visit):
    page = visit(instant_page)
    evil = '<img src=x onerror="window.hurt=1"><b>bold</b> LOUD ' + "word " * 90
    draw(page, evil)
    page.locator("#spans .highlighted").first.wait_for()
    expect(page.locator("#recipe")).to_contain_text("<img")
    expect(page.locator("#recipe img, #recipe :not(mark) > b, #summary img, #spans img")).to_have_count(0)
    assert page.evaluate("window.hurt") is None


def test_an_example_fills_in_the_prompt(instant_page, visit):
    page = visit(instant_page)
    page.get_by_role("button", name="a red apple on a table").click()
    expect(page.locator("#prompt textarea")).to_have_value("a red apple on a table")


def test_everything_works_without_a_mouse(instant_page, visit):
    page = visit(instant_page)
    wait_until(lambda: page.evaluate("document.activeElement.tagName") == "TEXTAREA")
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
    assert read_image_settings(Path(download.value.path())).values["prompt"] == "a cat"


def test_escape_stops_unless_it_closes_an_open_image(address, pipeline, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    pipeline.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).click()
    page.locator("#gallery .preview").wait_for()
    page.keyboard.press("Escape")
    page.locator("#gallery .preview").wait_for(state="detached")
    page.locator("#stop:enabled").wait_for()
    page.keyboard.press("Escape")
    page.locator("#status .status-text", has_text="Stopped").wait_for()
    pipeline.release()
    wait_until(lambda: pipeline.cancelled == 1)


def test_a_lost_answer_leaves_no_button_disabled(address, visit, monkeypatch):
    seen = Event()

    def fails(page, session):
        seen.wait(240)  # until the page has been looked at
        raise gr.Error("Nobody reads.", print_exception=False)

    page = visit(address)
    with monkeypatch.context() as broken:
        broken.setattr(backpressure, "_wait_until_read", fails)
        page.locator("#generate").click()
        page.locator("#generate:disabled").wait_for()
        seen.set()
        page.locator("#generate:enabled").wait_for()
        expect(page.locator("#stop")).to_be_disabled()
    draw(page, "a red apple")


def test_a_click_between_the_last_answer_and_the_end_of_its_event_counts(pipeline, visit, monkeypatch):
    """Gradio ignores a click between the last answer of an event and its end."""
    drawn, ended = Event(), Event()

    def run(request, session):
        for event in pipeline.run(request, session):
            if isinstance(event, Done):
                drawn.set()
            yield event

    def hold_end(page, session):
        if drawn.is_set():
            ended.wait(240)

    with (
        monkeypatch.context() as slow,
        serve_page(replace(fake_context(), engine=GeneratorEngine(run))) as address,
    ):
        slow.setattr(backpressure, "_wait_until_read", hold_end)
        page = visit(address)
        page.locator("#generate").click()
        page.locator("#status .done").wait_for()
        disabled = page.locator("#generate").is_disabled()
        page.locator("#vary").click()
        page.locator("#source-note", has_text="40 % away").wait_for()  # it presses Generate with these settings
        ended.set()
        assert disabled
        wait_until(lambda: len(pipeline.requests) == 2)
        assert pipeline.requests[1].variation.level == 0.4
        finished(page)
        draw(page, "a red apple")
    assert len(pipeline.requests) == 3


def test_a_variation_during_a_generation_changes_nothing(address, pipeline, visit):
    page = visit(address)
    page.locator("#images input[type=number]").fill("2")
    say(page, "a red apple")
    pipeline.hold(1, "prior", 2)
    page.locator("#generate").click()
    page.locator(PICTURES).wait_for()
    page.locator("#another").wait_for()
    say(page, "a green pear")
    expect(page.locator("#another")).to_be_disabled()
    page.locator("#another").click(force=True)
    page.wait_for_timeout(500)
    expect(page.locator("#prompt textarea")).to_have_value("a green pear")
    pipeline.release()
    finished(page)
    assert len(pipeline.requests) == 1
    page.locator("#another").click()
    wait_until(lambda: len(pipeline.requests) == 2)
    assert pipeline.requests[1].prompt == "a red apple"


def test_a_new_generation_closes_an_open_image_and_keeps_the_focus(address, pipeline, visit):
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


def test_escape_closes_an_open_list_without_stopping(address, pipeline, visit):
    page = visit(address)
    pipeline.hold(0, "prior", 2)
    page.locator("#generate").click()
    page.locator("#stop:enabled").wait_for()
    page.locator("#style input").click()
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("listbox").wait_for(state="hidden")
    pipeline.release()
    page.locator("#status .done").wait_for()


def test_on_a_phone_nothing_scrolls_sideways_and_targets_are_large(instant_page, visit):
    page = visit(instant_page, 390, 844, has_touch=True)
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


def test_the_image_is_above_the_settings_on_a_phone_and_beside_them_when_wide(instant_page, visit):
    def boxes(page):
        return [page.locator(f"#{name}").bounding_box() for name in ("ask", "pictures", "settings")]

    ask, pictures, settings = boxes(visit(instant_page, 390, 844))
    assert ask["y"] < pictures["y"] < settings["y"]
    ask, pictures, settings = boxes(visit(instant_page))
    assert pictures["x"] > ask["x"] + ask["width"]
    assert abs(pictures["y"] - ask["y"]) < 5
    assert settings["x"] == ask["x"]


def test_light_and_dark_follow_the_system(instant_page, visit):
    def brightness(page):
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert brightness(visit(instant_page, color_scheme="light")) > 600
    assert brightness(visit(instant_page, color_scheme="dark")) < 150


def test_the_page_requests_only_its_own_server(instant_page, browser):
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(instant_page)
    page.locator("#summary .count").wait_for()
    draw(page, "a RED apple")
    page.locator(PICTURES).click()
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    page.locator("footer button").first.click()  # the documentation for programs
    page.get_by_text("MCP documentation").wait_for()
    page.wait_for_timeout(500)
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith((instant_page, "data:", "blob:"))] == []
    context.close()


def test_the_browser_console_reports_no_errors(instant_page, browser):
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    reported = []
    page.on("console", lambda message: message.type == "error" and reported.append(message.text))
    page.on("pageerror", lambda error: reported.append(str(error)))
    page.goto(instant_page)
    page.locator("#summary .count").wait_for()
    draw(page, "a RED apple")
    assert reported == []
    context.close()


def log_in(context, address, password="secret"):
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.locator("input[type=password]").wait_for()
    page.locator("input:not([type=password])").first.fill("me")
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Login").click()
    return page


def test_clients_that_share_a_password_see_nothing_of_each_other(pipeline, browser):
    with serve_page(fake_context(pipeline), Settings(auth="me:secret")) as address:
        people = [browser.new_context(), browser.new_context()]
        wrong = log_in(people[0], address, "guess")
        wrong.get_by_text("Incorrect").wait_for()
        assert wrong.locator("#generate").count() == 0
        one, other = (log_in(each, address) for each in people)
        for page, prompt in ((one, "a fox of one"), (other, "the others owl")):
            page.locator("#summary .count").wait_for()
            draw(page, prompt)
        picture = one.locator(PICTURES).first.get_attribute("src")
        assert server.get(picture).status_code == 401, "who has not logged in sees no picture"
        for page, theirs in ((one, "the others owl"), (other, "a fox of one")):
            page.reload()
            page.locator("#status .done").wait_for()
            wait_for_pictures(page, 1)
            assert theirs not in page.content()
            expect(page.get_by_role("tab", name="History")).to_have_count(0)
        for each in people:
            each.close()
