"""What helps a visitor to ask, on a page that draws with arithmetic and knows few words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.e2e.opening import opened
from tests.e2e.test_page import draw, say, seed_shown, settled
from tests.ui.fakes import studio

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(browser):
    small = replace(studio(), knows=("cat", "fox", "a", "red", "in", "the", "snow", "at", "night"), things=2)
    with opened(small) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(address)
        page.locator("#summary .count").wait_for()
        yield page
        context.close()


def prompt(page):
    return page.locator("#prompt textarea").input_value()


def value(page, name):
    return page.locator(f"#{name} input").first.input_value()


def test_a_word_that_the_checkpoint_has_never_seen_is_named_with_one_that_it_knows(page):
    say(page, "a red anthropomorphic cats")
    page.locator("#summary .new").wait_for()
    said = page.locator("#summary .new").inner_text()
    assert "anthropomorphic" in said
    assert "cats" in said
    assert "2 things, such as cat, fox" in said
    say(page, "a red cat")
    page.locator("#summary .new").wait_for(state="detached")


def test_ctrl_and_the_arrows_weigh_the_word_at_the_cursor_and_undo_knows_of_it(page):
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


def test_ctrl_and_the_arrows_weigh_all_selected_words_and_leave_the_rest_alone(page):
    say(page, "a red cat")
    field = page.locator("#prompt textarea")
    field.evaluate("field => field.setSelectionRange(2, 9)")
    field.press("Control+ArrowUp")
    field.press("Control+ArrowUp")
    assert prompt(page) == "a (red cat)1.2"
    for _ in range(30):
        field.press("Control+ArrowUp")
    assert prompt(page) == "a (red cat)2"


def test_a_surprise_and_a_style_become_words_of_the_prompt(page):
    page.locator("#surprise").click()
    settled(lambda: prompt(page) in studio().examples)
    say(page, "a red cat")
    page.locator("#style input").click()
    page.get_by_role("option", name="At night: at night").click()
    settled(lambda: prompt(page) == "a red cat at night")
    settled(lambda: page.get_by_role("option").count() == 0)  # the list fades out


def test_shapes_set_the_exact_sizes_and_swap_turns_them(page):
    page.locator("#shape-3-2").click()
    settled(lambda: (value(page, "width"), value(page, "height")) == ("384", "256"))
    page.locator("#swap").click()
    settled(lambda: (value(page, "width"), value(page, "height")) == ("256", "384"))
    page.locator("#shape-1-1").click()
    settled(lambda: (value(page, "width"), value(page, "height")) == ("256", "256"))


def test_a_seed_is_thrown_held_and_found_again(page):
    page.locator("#dice").click()
    settled(lambda: not page.locator("#new-seed input").is_checked())
    thrown = seed_shown(page)
    draw(page, "a cat")
    assert seed_shown(page) == thrown
    page.locator("#seed input").fill("3")
    page.locator("#new-seed input").check()
    page.locator("#reuse").click()
    settled(lambda: seed_shown(page) == thrown)
    settled(lambda: not page.locator("#new-seed input").is_checked())


def test_steps_and_guidance_are_folded_away_and_their_defaults_one_click_off(page):
    assert page.locator("#prior-steps").count() == 0 or not page.locator("#prior-steps").is_visible()
    page.locator("#more > button").click()
    page.locator("#prior-steps input[type=number]").fill("30")
    page.get_by_label("linear").check()
    page.locator("#defaults").click()
    settled(lambda: value(page, "prior-steps") == "12")
    settled(lambda: page.get_by_label("two-part").is_checked())
