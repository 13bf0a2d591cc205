"""What a visitor learns about a picture, in a browser, on a page that draws with arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.e2e.opening import opened
from tests.ui.fakes import Painter, Staged, studio

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def staged():
    """The address of a page whose engine keeps stages."""
    with opened(replace(studio(), engine=Staged(Painter()))) as address:
        yield address


def drawn(page, pictures=1):
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#images input[type=number]").fill(str(pictures))
    page.locator("#generate").click()
    page.locator("#status .done .said").wait_for()


def told(page):
    page.locator("#explain-status .done .said").wait_for()
    page.locator("#account .stage img").first.wait_for()


def moved(page, place):
    page.locator("#account input[type=range]").evaluate(
        "(range, place) => { range.value = place; range.dispatchEvent(new Event('input', {bubbles: true})); }", place
    )


def test_a_visitor_sees_the_stages_of_the_picture_just_drawn_step_by_step(staged, visit):
    page = visit(staged)
    page.get_by_role("tab", name="How it works").click()
    page.locator("#explain-status", has_text="Nothing has been drawn yet").wait_for()
    assert page.locator("#explain-go").is_disabled()
    page.get_by_role("tab", name="Draw").click()
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    account = page.locator("#account")
    for said in ("6 × 6 × 16 = 576 numbers", "64 × 64 × 4 = 16,384 numbers", "42.7 times smaller on each side"):
        assert said in account.inner_text()
    sizes = "all => Promise.all(all.map(i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])))"
    assert account.locator("img").evaluate_all(sizes) == [[12 * 6, 6], [12 * 27, 27], [6 * 64, 64], [256, 256]]
    pictures = [account.locator(f".{stage} img").first for stage in ("prior", "decoder", "vqgan")]
    assert all(each.is_visible() for each in pictures)
    moved(page, 4)
    assert account.locator("output").inner_text() == "Prior, step 5 of 12"
    assert [each.is_visible() for each in pictures] == [True, False, False]
    frame, strip = account.locator(".prior .strip").first.bounding_box(), pictures[0].bounding_box()
    assert round((frame["x"] - strip["x"]) / frame["width"]) == 4
    moved(page, 12)
    assert account.locator("output").inner_text() == "Decoder, step 1 of 6"
    assert [each.is_visible() for each in pictures] == [True, True, False]


def test_of_several_pictures_the_chosen_one_is_explained_and_the_keyboard_moves_the_steps(staged, visit):
    page = visit(staged, width=390, height=844)
    drawn(page, 2)
    seed = int(page.locator("#seed input").input_value())
    page.get_by_role("tab", name="How it works").click()
    page.locator("#account .of", has_text=f"a cat, seed {seed}").wait_for()  # the first one, as soon as the tab is open
    page.locator("#explain-which input").click()
    page.get_by_role("option").nth(1).click()
    page.locator("#explain-go").click()
    page.locator("#account .of", has_text=f"a cat, seed {seed + 1}").wait_for()
    told(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    range_ = page.locator("#account input[type=range]")
    range_.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#account output").inner_text() == "Decoder, step 6 of 6"
    assert range_.get_attribute("aria-valuetext") == "Decoder, step 6 of 6"
    page.locator("#account .play").click()
    page.locator("#account output", has_text="VQGAN").wait_for()


def test_the_slider_stands_at_the_end_of_every_new_account(staged, visit):
    page = visit(staged)
    drawn(page, pictures=2)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    first = page.locator("#account .of").inner_text()
    moved(page, 4)
    page.locator("#explain-which input").click()
    page.get_by_role("option").nth(1).click()
    page.locator("#explain-go").click()
    page.wait_for_function("first => document.querySelector('#account .of').innerText !== first", arg=first)
    page.wait_for_timeout(200)
    assert page.locator("#account output").inner_text() == "VQGAN: the finished picture"
    assert page.locator("#account input[type=range]").evaluate("range => range.value === range.max")
