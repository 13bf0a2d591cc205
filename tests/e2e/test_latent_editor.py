"""Playing with a picture's composition in a browser, over a fake pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import EMBEDDINGS, FakeStageEngine, fake_context
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.request import Limits
from wuerst_demo.variation import decode_image_embeddings

pytestmark = pytest.mark.slow

Z = decode_image_embeddings(EMBEDDINGS).astype(np.float32)
LIMIT = round(float(np.percentile(np.abs(Z), 98)), 3)


@pytest.fixture
def staged(pipeline):
    """The address of a page whose engine keeps stages."""
    with serve_page(replace(fake_context(), engine=FakeStageEngine(pipeline))) as address:
        yield address


def open_editor(page, tab="How it works"):
    """Draws a picture and unfolds the editor of its composition."""
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#generate").click()
    page.locator("#status .done .status-text").wait_for()
    page.get_by_role("tab", name=tab).click()
    page.locator(".latent-editor summary").click()
    decoded(page)


def decoded(page):
    for which in ("original", "changed"):
        page.locator(f".editing .{which} img[src]").wait_for()


def change(page, pipeline, action):
    """The composition that the page has decoded after an action, and whether the picture is another one."""
    image = page.locator(".editing .changed img")
    before, count = image.get_attribute("src"), len(pipeline.requests)
    action()
    wait_until(lambda: len(pipeline.requests) > count)
    page.wait_for_function("before => document.querySelector('.changed img').src !== before", arg=before)
    variation = pipeline.requests[-1].variation
    assert (variation.level, variation.details_seed) == (0, pipeline.requests[0].seed)
    return decode_image_embeddings(variation.image_embeddings).astype(np.float32)


def press(page, pipeline, edit):
    return change(page, pipeline, page.locator(f"[data-edit={edit}]").click)


def same(one, other):
    return np.allclose(one, other, atol=2e-3)


def test_a_map_of_z_is_painted_and_the_picture_changes(staged, pipeline, visit):
    page = visit(staged)
    open_editor(page)
    assert pipeline.requests[-1].variation.image_embeddings == EMBEDDINGS
    originally = page.locator(".editing .original img").get_attribute("src")
    page.locator(".maps label").nth(4).click()
    canvas = page.locator(".painting canvas")
    box = canvas.bounding_box()
    z = change(page, pipeline, lambda: canvas.click(position={"x": box["width"] * 2.5 / 6, "y": box["height"] / 12}))
    expected = Z.copy()
    expected[4, 0, 2] = LIMIT
    assert same(z, expected)
    expect(page.locator("#latent-cell")).to_have_text(f"Row 1, column 3: {LIMIT:.1f}", use_inner_text=True)
    expect(page.locator(".editing .original img")).to_have_attribute("src", originally)
    assert page.locator(".editing .changed img").get_attribute("src") != originally


def test_maps_are_swapped_blurred_scaled_zeroed_and_restored_with_the_keyboard_alone(staged, pipeline, visit):
    page = visit(staged)
    page.locator("#prompt textarea").press_sequentially("a cat")
    page.keyboard.press("Control+Enter")
    page.locator("#status .done .status-text").wait_for()
    page.keyboard.press("Alt+3")
    page.locator(".latent-editor summary").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.latent-editor summary')"):
            break
    page.keyboard.press("Enter")
    decoded(page)
    page.keyboard.press("Tab")
    for _ in range(2):
        page.keyboard.press("ArrowRight")  # to the third map
    page.keyboard.press("Tab")
    expected, keys = Z.copy(), page.keyboard
    keys.press("ArrowDown")
    keys.press("ArrowRight")
    expected[2, 1, 1] = LIMIT
    assert same(change(page, pipeline, lambda: keys.press("Space")), expected)
    keys.press("Tab")
    keys.press("Home")  # the lowest value
    keys.press("Tab")
    padded = np.pad(expected[2], 1, mode="edge")
    expected[2] = sum(padded[y : y + 6, x : x + 6] for y in range(3) for x in range(3)) / 9
    assert same(change(page, pipeline, lambda: keys.press("Enter")), expected)  # blurred
    for factor in (0, 2, 0.5, -1):
        if factor == 2:  # of a map that is not empty
            keys.press("Shift+Tab")
            keys.press("Shift+Tab")
            keys.press("Shift+Tab")
            keys.press("Shift+Tab")
            keys.press("ArrowRight")
            for _ in range(4):
                keys.press("Tab")
        keys.press("Tab")
        expected[2 if factor == 0 else 3] *= factor
        assert same(change(page, pipeline, lambda: keys.press("Enter")), expected)
    keys.press("Tab")
    keys.press("End")  # the last map
    keys.press("Tab")
    expected[[3, 15]] = expected[[15, 3]]
    assert same(change(page, pipeline, lambda: keys.press("Enter")), expected)
    keys.press("Tab")
    expected[[3, 15]] = expected[[15, 3]]
    assert same(change(page, pipeline, lambda: keys.press("Enter")), expected)  # undone
    keys.press("Tab")
    assert same(change(page, pipeline, lambda: keys.press("Enter")), Z)


def test_an_edited_composition_outlasts_a_refresh_and_its_picture_is_redrawn_from_its_file(
    staged, pipeline, visit, tmp_path
):
    page = visit(staged)
    open_editor(page)
    page.locator(".maps label").nth(7).click()
    edited = press(page, pipeline, "zero")
    page.reload()
    page.get_by_role("tab", name="How it works").click()
    decoded(page)
    expect(page.locator(".maps input").nth(7)).to_be_checked()
    assert same(press(page, pipeline, "negate"), edited * np.where(np.arange(16) == 7, -1, 1)[:, None, None])
    page.locator("[data-edit=keep]").click()
    page.locator("#source-note", has_text="as it was changed").wait_for()
    page.locator("#files a").first.wait_for()
    request = pipeline.requests[-1]
    assert same(decode_image_embeddings(request.variation.image_embeddings), edited)
    assert request.prior_steps == 12  # not the few of a live picture
    with page.expect_download() as download:
        page.locator("#files a").first.click()
    download.value.save_as(tmp_path / "kept.png")
    values, rejected = read_image_settings(tmp_path / "kept.png").fit(Limits())
    assert Limits().request(values) == request
    assert rejected == ()


def test_the_editor_works_on_a_phone_and_painting_does_not_scroll(staged, pipeline, visit):
    page = visit(staged, width=390, height=844, has_touch=True)
    open_editor(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    canvas = page.locator(".painting canvas")
    canvas.scroll_into_view_if_needed()
    assert page.locator(".editing .changed img").evaluate("image => image.getBoundingClientRect().top") >= 0
    place = page.evaluate("scrollY")
    z = change(page, pipeline, canvas.tap)
    assert page.evaluate("scrollY") == place
    assert (z != Z).sum() == 1


def test_the_editor_is_german_in_a_german_browser(staged, pipeline, visit):
    page = visit(staged, locale="de-DE")
    open_editor(page, "Wie es geht")
    page.locator(".maps label").nth(1).click()
    press(page, pipeline, "zero")
    low = page.locator(".maps input").nth(1).get_attribute("aria-label")
    assert low == "Karte 2, von 0.0 bis 0.0"
    text = page.locator(".latent-editor").inner_text()
    for word in ("Mit z spielen", "Weichzeichnen", "Vertauschen", "Zeile 1, Spalte 1: 0.0", "Live, 1.00 s", "Geändert"):
        assert word in text


def test_a_picture_that_cannot_be_decoded_says_why_and_the_next_change_is_drawn(staged, pipeline, visit):
    """The engine rejects it, as the pipeline does with values that are not finite."""
    page = visit(staged)
    open_editor(page)
    run = pipeline.run
    pipeline.run = lambda request, session: run(replace(request, prompt="refuse"), session)
    page.locator("[data-edit=zero]").click()
    page.locator(".editing .note", has_text="The fake engine refuses this").wait_for()
    pipeline.run = run
    z = press(page, pipeline, "negate")
    assert same(z[0], 0 * Z[0])
    expect(page.locator(".editing .note")).to_have_text("", use_inner_text=True)
