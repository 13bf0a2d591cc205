"""Going on from a picture in a browser, over a fake pipeline."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.test_page import PICTURES, draw, finished, forget, say
from tests.e2e.test_restore import downloaded, drop
from tests.fakes.server import wait_until
from tests.fakes.web import EMBEDDINGS
from wuerst_demo.redraw_mask import mask_of_cells
from wuerst_demo.variation import Variation

pytestmark = pytest.mark.slow


def set_level(page, level):
    number = page.locator("#variation-level input[type=number]")
    number.fill(str(level))
    number.press("Tab")


def press(page, pipeline, button):
    """The request that a button leads to."""
    before = len(pipeline.requests)
    forget(page)
    page.locator(button).click()
    wait_until(lambda: len(pipeline.requests) > before)
    finished(page)
    return pipeline.requests[-1]


def test_a_picture_is_varied_and_the_next_starts_afresh(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    first = pipeline.requests[-1]
    set_level(page, 0.25)
    varied = press(page, pipeline, "#vary")
    assert varied.variation == Variation(EMBEDDINGS, 0.25, first.seed)
    assert (varied.prompt, varied.images) == (first.prompt, first.images)
    page.locator("#source-note", has_text="25 % away").wait_for()
    again = press(page, pipeline, "#generate")
    assert again.variation == varied.variation
    page.locator("#source-clear").click()
    page.locator("#source-note").wait_for(state="hidden")
    assert press(page, pipeline, "#generate").variation is None


def test_a_picture_is_varied_and_one_goes_back(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    seed = pipeline.requests[-1].seed
    varied = press(page, pipeline, "#vary")
    page.locator("#recipe", has_text=str(varied.seed)).wait_for()
    page.locator("#neighbor-sheet nav button").click()
    page.locator("#recipe", has_text=str(seed)).wait_for()
    page.locator("#neighbor-sheet nav").wait_for(state="hidden")
    expect(page.locator(PICTURES)).to_have_count(1)
    assert len(pipeline.requests) == 2


def explore(page, pipeline, number):
    """The request for the neighbours of a neighbour, counted from 1."""
    before = len(pipeline.requests)
    forget(page)
    page.locator(f"#neighbor-sheet [data-image='{number - 1}']").click()
    return neighbours(page, pipeline, before)


def neighbours(page, pipeline, before):
    """The request for neighbours; the status of the last one has been forgotten."""
    wait_until(lambda: len(pipeline.requests) > before)
    finished(page)
    page.locator("#neighbor-sheet .cells button").nth(8).wait_for()
    return pipeline.requests[-1]


def middle(page):
    return page.locator("#neighbor-sheet .middle img").get_attribute("src")


def test_neighbours_are_explored_three_clicks_deep(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    first = pipeline.requests[-1]
    forget(page)
    page.locator("#neighbors").click()
    requests, middles = [neighbours(page, pipeline, 1)], [middle(page)]
    for number in (5, 1):
        chosen = page.locator(f"#neighbor-sheet [data-image='{number - 1}'] img").get_attribute("src")
        requests.append(explore(page, pipeline, number))
        middles.append(middle(page))
        assert middles[-1] == chosen
        page.locator("#recipe", has_text=str(requests[-2].image(number - 1).seed)).wait_for()
    assert {each.images for each in requests} == {8}
    assert {each.variation for each in requests} == {Variation(EMBEDDINGS, 0.4, first.seed)}
    expect(page.locator("#images input[type=number]")).to_have_value("1")  # as it was set
    # The way back: the second sheet, from there another neighbour, and the picture of the beginning.
    page.locator("#neighbor-sheet nav button").nth(2).click()
    wait_until(lambda: middle(page) == middles[1])
    expect(page.locator("#neighbor-sheet .cells button")).to_have_count(9)
    assert len(pipeline.requests) == 4
    explore(page, pipeline, 8)
    expect(page.locator("#neighbor-sheet nav button")).to_have_count(3)
    page.locator("#neighbor-sheet nav button").first.click()
    page.locator("#neighbor-sheet .cells").wait_for(state="hidden")
    page.locator(PICTURES).first.wait_for()
    page.locator("#recipe", has_text=str(first.seed)).wait_for()


def test_neighbours_are_explored_with_the_keyboard_alone(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    forget(page)
    page.locator("#neighbors").focus()
    page.keyboard.press("Enter")
    neighbours(page, pipeline, 1)
    wait_until(lambda: page.evaluate("document.activeElement.closest('li')?.className") == "middle")
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "ArrowLeft"):  # the edges hold
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.image") == "0"
    forget(page)
    page.keyboard.press("Enter")
    neighbours(page, pipeline, 2)
    wait_until(lambda: page.evaluate("document.activeElement.closest('li')?.className") == "middle")
    page.keyboard.press("Shift+Tab")  # out of the cells that come before it
    for _ in range(5):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.dataset.back") == "1"
    page.keyboard.press("Enter")
    page.locator("#neighbor-sheet nav button").nth(1).wait_for(state="hidden")
    expect(page.locator("#neighbor-sheet .cells button")).to_have_count(9)


def test_a_neighbour_is_chosen_before_all_are_drawn(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    pipeline.hold(2, "decoder", 1)
    page.locator("#neighbors").click()
    page.locator("#neighbor-sheet [data-image='1']").click()
    wait_until(lambda: len(pipeline.requests) == 3)
    pipeline.release()
    neighbours(page, pipeline, 2)
    assert pipeline.cancelled == 1
    page.locator("#recipe", has_text=str(pipeline.requests[1].image(1).seed)).wait_for()


def test_the_sheet_comes_back_after_a_refresh_in_the_middle(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    pipeline.hold(3, "prior", 1)
    page.locator("#neighbors").click()
    page.locator("#neighbor-sheet [data-image='2']").wait_for()
    before = middle(page)
    page.reload()
    page.locator("#neighbor-sheet [data-image='2']").wait_for()
    assert middle(page) == before
    expect(page.locator("#prompt textarea")).to_have_value("a red apple")


def test_the_sheet_is_used_on_a_phone_and_in_german(address, pipeline, visit):
    page = visit(address, width=390, height=844, locale="de-DE", has_touch=True)
    draw(page, "a red apple")
    forget(page)
    page.get_by_role("button", name="8 Nachbarn").tap()
    neighbours(page, pipeline, 1)
    forget(page)
    page.get_by_role("button", name="Nachbar 6: in die Mitte nehmen").tap()
    neighbours(page, pipeline, 2)
    expect(page.get_by_role("navigation", name="Der Weg zurück").get_by_role("button")).to_have_count(2)
    boxes = [each.bounding_box() for each in page.locator("#neighbor-sheet .cells li").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert len({round(box["y"]) for box in boxes}) == len({round(box["x"]) for box in boxes}) == 3
    page.get_by_role("button", name="Groß").tap()
    page.locator(PICTURES).first.wait_for()
    expect(page.locator(PICTURES)).to_have_count(9)
    page.locator("#neighbor-sheet .cells").wait_for(state="hidden")


def test_new_details_are_drawn_at_level_zero(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    set_level(page, 0)
    assert press(page, pipeline, "#vary").variation == Variation(EMBEDDINGS, 0.0, None)
    page.locator("#source-note", has_text="new details").wait_for()


def test_a_variation_comes_back_after_a_refresh(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    varied = press(page, pipeline, "#vary")
    page.reload()
    page.locator("#source-note", has_text="40 % away").wait_for()
    assert press(page, pipeline, "#generate").variation == varied.variation


def test_a_dropped_picture_is_varied(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    first = pipeline.requests[-1]
    data = downloaded(page)
    other = visit(address)
    drop(other, data)
    other.locator("#came", has_text="Settings from a picture by wuerst_demo").wait_for()
    assert press(other, pipeline, "#vary-dropped").variation == Variation(EMBEDDINGS, 0.4, first.seed)


def cell(page, column, row):
    return page.locator("#region [role=gridcell]").nth(6 * (row - 1) + column - 1)


def test_a_painted_region_is_redrawn_with_the_prompt_above(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    first = pipeline.requests[-1]
    say(page, "a green pear")
    page.locator("#redraw").click()
    cell(page, 2, 2).hover()
    page.mouse.down()
    for column, row in ((3, 2), (3, 3)):
        cell(page, column, row).hover()
    page.mouse.up()
    page.locator("#region .redraw").click()
    wait_until(lambda: len(pipeline.requests) == 2)
    assert pipeline.requests[-1].variation == Variation(EMBEDDINGS, 1.0, first.seed, mask_of_cells("2-3,2 3,3", (6, 6)))
    assert pipeline.requests[-1].prompt == "a green pear"
    page.locator("#source-note", has_text="Redraws a region").wait_for()
    page.locator("#region").wait_for(state="hidden")
    finished(page)
    page.locator("#neighbor-sheet nav button").click()  # back to the picture
    page.locator("#recipe", has_text="a red apple").wait_for()


def test_a_region_is_painted_with_the_keyboard_alone_on_a_phone_in_german(address, pipeline, visit):
    page = visit(address, width=390, height=844, locale="de-DE")
    draw(page, "a red apple")
    page.get_by_role("button", name="Einen Bereich neu zeichnen").press("Enter")
    page.locator("#region [role=gridcell]:focus").wait_for()
    for key in ("ArrowLeft", "ArrowDown", "Space", "Shift+ArrowRight", "End", "Space", "Space"):
        page.keyboard.press(key)
    expect(page.locator("#region [role=gridcell]:focus")).to_have_attribute("aria-label", "Spalte 6, Zeile 2")
    expect(page.locator("#region [aria-selected=true]")).to_have_count(2)
    box = page.locator("#region [role=grid]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_until(lambda: len(pipeline.requests) == 2)
    assert pipeline.requests[-1].variation.mask == mask_of_cells("1-2,2", (6, 6))


def test_a_region_that_covers_nothing_says_so_and_draws_nothing(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    page.locator("#redraw").click()
    page.locator("#region .redraw").click()
    page.locator("#came", has_text="The mask covers nothing").wait_for()
    page.locator("#region .close").click()
    page.locator("#region").wait_for(state="hidden")
    assert len(pipeline.requests) == 1
    assert press(page, pipeline, "#vary").variation.mask is None
