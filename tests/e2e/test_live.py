"""Live pictures in a browser: what follows the keyboard, what ends it, and what is kept."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from urllib.request import urlopen

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.test_page import PICTURES, finished, forget, wait_for_pictures
from tests.fakes.cascade import FakeCascade
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import LIMITS, FakePipeline, StepGate, expected_image, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.images.metadata import read_image_settings

pytestmark = pytest.mark.slow

LIVE_STEPS = 8
"""Prior steps of a live picture on a fake page; a finished one has 12."""


def turn_on(page, prompt="a red fox"):
    """Types a prompt, turns the switch on, and waits for the first picture."""
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#live input").check()
    page.locator("#live-view img[src]").wait_for()


def type_on(page, text):
    page.locator("#prompt textarea").press_sequentially(text, delay=20)


def insert(page, text):
    """Types at once: on a busy machine there may be a pause between two keys, which has the text so far drawn."""
    page.locator("#prompt textarea").focus()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text)


def shown(page, prompt):
    """Waits until the live picture is that of a prompt."""
    page.locator(f'#live-view img[alt="{prompt}"]').wait_for()


def full_quality(page):
    page.locator("#live-view figcaption", has_text="Full quality").wait_for()


def drawn(pipeline, steps):
    return [request.prompt for request in pipeline.requests if request.prior_steps == steps]


def test_typing_shows_a_picture_that_follows_word_by_word_with_one_seed(address, pipeline, visit):
    page = visit(address)
    turn_on(page)
    first = page.locator("#live-view img").get_attribute("src")
    type_on(page, " in the snow")
    shown(page, "a red fox in the snow")
    assert page.locator("#live-view img").get_attribute("src") != first
    full_quality(page)
    prompts = drawn(pipeline, LIVE_STEPS)
    assert prompts[0] == "a red fox"
    assert prompts[-1] == "a red fox in the snow"
    assert all("a red fox in the snow".startswith(prompt) for prompt in prompts)
    assert prompts == sorted(prompts, key=len)
    assert drawn(pipeline, 12)[-1] == "a red fox in the snow"
    assert {request.seed for request in pipeline.requests} == {int(page.locator("#seed input").input_value())}
    expect(page.locator("#new-seed input")).not_to_be_checked()


def test_the_old_picture_stays_until_the_new_one_is_there_and_only_the_newest_text_is_drawn(address, pipeline, visit):
    page = visit(address)
    turn_on(page, "a red fox ")
    full_quality(page)
    before = page.locator("#live-view img").get_attribute("src")
    pipeline.hold(0, "decoder", 1)
    insert(page, "one ")
    wait_until(lambda: pipeline.running == 1)
    insert(page, "two three four ")
    page.wait_for_timeout(500)
    assert pipeline.running == 1, "nothing queues behind itself"
    expect(page.locator("#live-view img")).to_have_attribute("src", before)
    pipeline.release()
    shown(page, "a red fox one two three four ")
    assert drawn(pipeline, LIVE_STEPS)[1:] == ["a red fox one ", "a red fox one two three four "]


def test_two_hundred_keys_a_second_are_drawn_at_their_end(address, pipeline, visit):
    page = visit(address)
    turn_on(page)
    page.evaluate(
        """async () => {
            const field = document.querySelector("#prompt textarea");
            for (let key = 0; key < 200; key++) {
                field.value = `a fox ${"x ".repeat(key)}`;
                field.dispatchEvent(new InputEvent("input", {bubbles: true, inputType: "insertText", data: " "}));
                await new Promise((on) => setTimeout(on, 5));
            }
        }"""
    )
    page.locator("#live-view figcaption", has_text="Full quality").wait_for()
    page.wait_for_function("document.querySelector('#live-view img').alt.length > 380")
    wait_until(lambda: pipeline.running == 0)


def test_a_broken_expression_keeps_the_last_picture_and_says_what_is_wrong(address, pipeline, visit):
    page = visit(address)
    turn_on(page, "a red fox ")
    full_quality(page)
    before = page.locator("#live-view img").get_attribute("src")
    insert(page, "refuse-syntax ")  # which the fakes cannot read
    page.locator("#live-view .live-note", has_text="refuses this").wait_for()
    page.locator("#summary .rejected", has_text="brackets cannot be read").wait_for()
    expect(page.locator("#live-view img")).to_have_attribute("src", before)
    page.locator("#prompt textarea").fill("a blue fox")
    shown(page, "a blue fox")
    expect(page.locator("#live-view .live-note")).to_have_text("", use_inner_text=True)


def test_settings_are_followed_as_the_text_is(address, pipeline, visit):
    page = visit(address)
    turn_on(page)
    page.locator("#width input[type=number]").fill("384")
    page.locator("#width input[type=number]").blur()
    page.wait_for_function("document.querySelector('#live-view img').naturalWidth === 384")
    page.locator("#surprise").click()
    page.locator('#live-view img:not([alt="a red fox"])').wait_for()


def test_the_switch_turned_off_in_the_middle_leaves_nothing_running(visit):
    gate = StepGate()
    with Engine(FakeCascade(between=gate)) as engine, serve_page(replace(fake_context(), engine=engine)) as address:
        page = visit(address)
        seed_before = page.locator("#new-seed input").is_checked()
        turn_on(page)
        full_quality(page)
        gate.hold()
        type_on(page, " in ")
        wait_until(lambda: engine.request_count == 1)
        page.locator("#live input").uncheck()
        page.wait_for_timeout(300)
        gate.release()
        wait_until(lambda: engine.request_count == 0)
        steps = gate.steps
        type_on(page, "the snow ")
        page.wait_for_timeout(1500)
        assert gate.steps == steps
        expect(page.locator("#new-seed input")).to_be_checked(checked=seed_before)
        page.locator("#live input").check()
        shown(page, "a red fox in the snow ")


def test_a_kept_picture_is_among_the_pictures_and_redraws_itself(address, pipeline, visit):
    page = visit(address)
    pipeline.pause = 0.001
    turn_on(page)
    page.locator("#keep").click()
    page.locator("#gallery .gallery-item").wait_for()
    expect(page.locator("#status .status-text")).to_have_text("Kept among the pictures.")
    with urlopen(page.locator(PICTURES).get_attribute("src")) as answer:
        file = BytesIO(answer.read())
    kept = LIMITS.request(read_image_settings(file).fit(LIMITS)[0])
    assert kept in pipeline.requests
    assert Image.open(file).tobytes() == expected_image(kept).tobytes()
    full_quality(page)
    type_on(page, " asleep ")
    shown(page, "a red fox asleep ")
    page.locator("#keep").click()
    page.locator("#gallery .gallery-item").nth(1).wait_for()
    expect(page.locator("#recipe")).to_contain_text("a red fox asleep")
    page.reload()
    page.locator("#gallery .gallery-item").nth(1).wait_for()


def test_generate_ends_it_at_full_quality_with_the_same_seed(address, pipeline, visit):
    page = visit(address)
    turn_on(page)
    forget(page)
    page.locator("#generate").click()
    finished(page)
    expect(page.locator("#live-view img[src]")).to_have_count(0)
    wait_for_pictures(page, 1)
    last = pipeline.requests[-1]
    assert (last.prompt, last.prior_steps, last.sampler) == ("a red fox", 12, "ddpm")
    assert last.seed == pipeline.requests[0].seed
    page.wait_for_timeout(1500)
    assert pipeline.requests[-1] == last, "until something changes"
    type_on(page, " at night ")
    shown(page, "a red fox at night ")


def test_the_keyboard_alone_turns_it_on_draws_keeps_and_generates(address, pipeline, visit):
    page = visit(address)
    page.locator("#prompt textarea").focus()
    page.keyboard.type("a red fox ")
    page.locator("#live input").focus()
    page.keyboard.press("Space")
    shown(page, "a red fox ")
    page.locator("#prompt textarea").focus()
    page.keyboard.type("asleep ")
    shown(page, "a red fox asleep ")
    page.locator("#keep").focus()
    page.keyboard.press("Enter")
    page.locator("#status .done", has_text="Kept").wait_for()
    page.locator("#gallery .gallery-item").wait_for()
    page.keyboard.press("Control+Enter")
    page.locator("#status .done", has_text="1 picture in").wait_for()
    assert pipeline.requests[-1].prior_steps == 12


def test_on_a_phone_the_picture_is_above_the_prompt_and_nothing_overflows(address, visit):
    page = visit(address, width=390, height=844)
    turn_on(page)
    picture, prompt = (page.locator(each).bounding_box() for each in ("#live-view img", "#prompt"))
    assert picture["y"] + picture["height"] <= prompt["y"]
    assert prompt["y"] + prompt["height"] <= 844 - 100
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_german_browser_gets_german_captions_and_notes(address, visit):
    page = visit(address, locale="de-DE")
    turn_on(page)
    page.locator("#live-view figcaption", has_text="Volle Qualität").wait_for()
    expect(page.locator("#actions")).to_contain_text("Das Bild folgt dem, was du tippst")
    page.locator("#keep", has_text="Dieses Bild behalten").click()
    page.locator("#status .done", has_text="Bei den Bildern behalten.").wait_for()
    assert "__i18n__" not in page.locator("#live-box").evaluate("box => box.outerHTML")


def test_two_typists_share_the_engine_and_see_their_own_pictures(visit):
    gate = StepGate()
    cascade = FakeCascade(between=gate)
    with Engine(cascade) as engine, serve_page(replace(fake_context(), engine=engine)) as address:
        one, other = visit(address), visit(address)
        turn_on(one, "a fox of one")
        turn_on(other, "an owl of the other")
        gate.hold()
        type_on(one, " asleep ")
        type_on(other, " awake ")
        wait_until(lambda: engine.request_count == 2)
        gate.release()
        shown(one, "a fox of one asleep ")
        shown(other, "an owl of the other awake ")
    seeds = {int(page.locator("#seed input").input_value()) for page in (one, other)}
    assert any({seed for seed, *_ in batch} == seeds for batch in cascade.steps), "they shared a step"


def test_a_lost_connection_is_reported_and_drawing_goes_on_when_it_is_back(address, pipeline, visit):
    page = visit(address)
    turn_on(page)
    page.context.set_offline(True)
    type_on(page, " in the snow ")
    page.locator("#live-view .live-note", has_text="No answer from the server").wait_for()
    page.context.set_offline(False)
    shown(page, "a red fox in the snow ")  # though Gradio loads the page anew
    expect(page.locator("#live input")).to_be_checked()
    expect(page.locator("#live-view .live-note")).to_have_text("", use_inner_text=True)


def test_a_refresh_leaves_the_switch_and_new_seeds_as_they_were(address, visit):
    page = visit(address)
    page.locator("#new-seed input").check()
    turn_on(page)
    page.reload()
    page.locator("#live input:checked").wait_for()
    shown(page, "a red fox")
    page.locator("#live input").uncheck()
    page.reload()
    page.locator("#summary .count").wait_for()
    page.wait_for_timeout(1000)
    expect(page.locator("#live input")).not_to_be_checked()
    expect(page.locator("#new-seed input")).to_be_checked()


def test_live_gives_way_to_others_and_says_so(visit):
    pipeline = StepGate()
    with Engine(FakeCascade(between=pipeline)) as engine, serve_page(replace(fake_context(), engine=engine)) as address:
        typist, other = visit(address), visit(address)
        turn_on(typist)
        full_quality(typist)
        pipeline.hold_before = pipeline.steps + 1
        other.locator("#generate").click()
        wait_until(lambda: engine.stage_counts.total() == 1)
        typist.locator("#width input[type=number]").fill("384")  # which cannot share a step with the other
        typist.locator("#width input[type=number]").blur()
        wait_until(lambda: engine.request_count >= 2)
        typist.wait_for_timeout(1100)
        pipeline.release()
        typist.locator("#live-view .live-note", has_text=re.compile("Others are waiting")).wait_for()
        finished(other)
        typist.wait_for_function("document.querySelector('#live-view img').naturalWidth === 384 / 8")
        expect(typist.locator("#live-view .live-note")).to_have_text("", use_inner_text=True)


def test_a_page_without_live_pictures_has_no_switch():
    from wuerst_demo.web.page import build_page

    ids = {getattr(each, "elem_id", None) for each in build_page(fake_context(FakePipeline())).blocks.values()}
    assert "generate" in ids
    assert not ids & {"live", "live-view", "keep"}
