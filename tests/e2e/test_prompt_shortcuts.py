"""Shortcuts of the Generate tab in a browser, over a fake pipeline with a small vocabulary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import unfold
from tests.e2e.test_page import draw, say, seed_shown
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import fake_context

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(browser):
    words = ("cat", "fox", "a", "red", "in", "the", "snow", "at", "night")
    small = replace(fake_context(), checkpoint=replace(fake_context().checkpoint, vocabulary=words, object_count=2))
    with serve_page(small) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(address)
        page.locator("#summary .count").wait_for()
        unfold(page)
        yield page
        context.close()


def prompt(page):
    return page.locator("#prompt textarea").input_value()


def value(page, name):
    return page.locator(f"#{name} input").first.input_value()


def test_an_unknown_word_is_shown_with_a_similar_known_one(page):
    say(page, "a red anthropomorphic cats")
    page.locator("#summary .new").wait_for()
    said = page.locator("#summary .new").inner_text()
    assert "anthropomorphic" in said
    assert "cats" in said
    assert "2 things, such as cat, fox" in said
    say(page, "a red cat")
    page.locator("#summary .new").wait_for(state="detached")


def test_ctrl_arrow_keys_weight_the_word_at_the_cursor_with_undo(page):
    say(page, "a red cat")
    field = page.locator("#prompt textarea")
    field.press("End")
    for _ in range(3):
        field.press("Control+ArrowUp")
    assert prompt(page) == "a red (cat)1.3"
    page.locator("#summary .count").wait_for()
    for _ in range(5):
        field.press("Control+ArrowDown")
    assert prompt(page) == "a red (cat)0.8"
    for _ in range(2):
        field.press("Control+ArrowUp")
    assert prompt(page) == "a red cat"
    field.press("Control+z")
    assert prompt(page) == "a red (cat)0.9"


def test_ctrl_arrow_keys_weight_only_the_selected_words(page):
    say(page, "a red cat")
    field = page.locator("#prompt textarea")
    field.evaluate("field => field.setSelectionRange(2, 9)")
    field.press("Control+ArrowUp")
    field.press("Control+ArrowUp")
    assert prompt(page) == "a (red cat)1.2"
    for _ in range(30):
        field.press("Control+ArrowUp")
    assert prompt(page) == "a (red cat)2"


def test_ctrl_arrow_keys_weight_a_selection_across_brackets_and_undo_it(page):
    text = r"(red cat)1.2 and a fox \(small\)"
    say(page, text)
    field = page.locator("#prompt textarea")
    field.press("Home")
    for _ in "(red ":
        field.press("ArrowRight")
    for _ in r"cat)1.2 and a fox \(sm":
        field.press("Shift+ArrowRight")
    weighted = r"(red (cat)1.1)1.2 (and a fox \(small\))1.1"
    field.press("Control+ArrowUp")
    assert prompt(page) == weighted
    field.press("Control+ArrowDown")
    assert prompt(page) == text
    field.press("Control+z")
    assert prompt(page) == weighted
    field.press("Control+z")
    assert prompt(page) == text


def test_surprise_and_style_fill_in_the_prompt(page):
    page.locator("#surprise").click()
    wait_until(lambda: prompt(page) in fake_context().checkpoint.examples)
    say(page, "a red cat")
    page.locator("#style input").click()
    page.get_by_role("option", name="At night: at night").click()
    wait_until(lambda: prompt(page) == "a red cat at night")
    wait_until(lambda: page.get_by_role("option").count() == 0)  # the list fades out


def test_size_presets_set_the_sizes_and_swap_exchanges_them(page):
    page.locator("#shape-3-2").click()
    wait_until(lambda: (value(page, "width"), value(page, "height")) == ("384", "256"))
    page.locator("#swap").click()
    wait_until(lambda: (value(page, "width"), value(page, "height")) == ("256", "384"))
    page.locator("#shape-1-1").click()
    wait_until(lambda: (value(page, "width"), value(page, "height")) == ("256", "256"))


def test_random_seed_and_last_seed_keep_the_seed(page):
    page.locator("#dice").click()
    wait_until(lambda: not page.locator("#new-seed input").is_checked())
    thrown = seed_shown(page)
    draw(page, "a cat")
    assert seed_shown(page) == thrown
    page.locator("#seed input").fill("3")
    page.locator("#new-seed input").check()
    page.locator("#reuse").click()
    wait_until(lambda: seed_shown(page) == thrown)
    wait_until(lambda: not page.locator("#new-seed input").is_checked())


def test_steps_and_guidance_are_collapsed_and_can_be_reset(page):
    expect(page.locator("#prior-steps")).to_be_hidden()
    page.locator("#more > button").click()
    page.locator("#prior-steps input[type=number]").fill("30")
    page.get_by_label("linear").check()
    page.locator("#defaults").click()
    wait_until(lambda: value(page, "prior-steps") == "12")
    wait_until(lambda: page.get_by_label("two-part").is_checked())
