"""Morphing two pictures in a browser, over a fake pipeline."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from playwright.sync_api import expect

from tests.e2e.test_page import draw, finished
from tests.e2e.test_restore import downloaded, drop
from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import EMBEDDINGS, LIMITS, StepGate, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.images.files import save_animation
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.request import morph
from wuerst_demo.variation import Variation

pytestmark = pytest.mark.slow

STRIP = "#gallery .thumbnail-lg"


@pytest.fixture
def keeping(pipeline, tmp_path):
    """The address of a page with a history."""
    with serve_page(replace(fake_context(pipeline), history=HistoryStore(tmp_path / "outputs"))) as address:
        yield address


def open_history(page, number):
    """Opens a picture of the history, counted from the newest."""
    page.get_by_role("tab", name="History").click()
    page.locator("#history-gallery .thumbnail-lg").nth(number).click()
    page.locator("#history-morph").wait_for()


def morphed(page, pipeline, requests, frames=8):
    """The request, once the strip and the animation are shown."""
    wait_until(lambda: len(pipeline.requests) == requests)
    page.locator(STRIP).nth(frames).wait_for()
    finished(page)
    return pipeline.requests[-1]


def test_two_pictures_of_the_history_are_morphed(keeping, pipeline, visit):
    page = visit(keeping)
    for prompt in ("a red apple", "a green pear"):
        draw(page, prompt)
    apple, pear = pipeline.requests
    open_history(page, 1)
    page.locator("#history-morph").click()
    page.locator("#history-said", has_text="Now open the other picture").wait_for()
    page.locator("#history-morph", has_text="Morph to this").wait_for()
    page.locator("#history-gallery button[aria-label='Close']").first.click()
    open_history(page, 0)
    page.locator("#history-morph").click()
    request = morphed(page, pipeline, 3)
    assert (request.image(0), request.image(7)) == (apple, pear)
    expect(page.locator("#prompt")).to_be_visible()  # the Draw tab is open
    expect(page.locator("#gallery img[src$='.webp']")).to_have_count(1)
    page.get_by_role("tab", name="History").click()  # the ends were there before
    wait_until(lambda: page.locator("#history-gallery .thumbnail-lg").count() == 8)


def test_a_picture_of_the_history_is_varied(keeping, pipeline, visit):
    page = visit(keeping)
    draw(page, "a red apple")
    seed = pipeline.requests[-1].seed
    open_history(page, 0)
    page.locator("#history-vary").click()
    wait_until(lambda: len(pipeline.requests) == 2)
    assert pipeline.requests[-1].variation == Variation(EMBEDDINGS, 0.4, seed)
    page.locator("#source-note", has_text="40 % away").wait_for()


def test_a_deleted_source_is_one_sentence_and_the_next_one_works(keeping, pipeline, visit, tmp_path):
    page = visit(keeping)
    draw(page, "a red apple")
    open_history(page, 0)
    for file in (tmp_path / "outputs").rglob("*.png"):
        file.unlink()
    for button in ("#history-morph", "#history-vary"):
        page.locator(button).click()
        page.locator("#history-said", has_text="no longer in the folder").wait_for()
    page.get_by_role("tab", name="Draw").click()
    page.locator("#morph-to").click()  # the page still has its own copy
    page.locator("#morph-note", has_text="a red apple").wait_for()
    assert len(pipeline.requests) == 1


def test_the_selected_picture_is_morphed_to_a_later_one_with_the_keyboard(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    page.locator("#morph-to").focus()
    page.keyboard.press("Enter")
    page.locator("#morph-note", has_text="a red apple").wait_for()
    page.reload()
    page.locator("#morph-note", has_text="a red apple").wait_for()
    page.locator("#morph-to", has_text="Morph to this").wait_for()
    page.locator("#generate:enabled").wait_for()
    frames = page.locator("#morph-frames input[type=number]")
    frames.fill("4")
    frames.press("Tab")
    draw(page, "a green pear")
    page.locator("#morph-to").focus()
    page.keyboard.press("Enter")
    request = morphed(page, pipeline, 3, frames=4)
    assert [request.image(k).prompt for k in (0, 3)] == ["a red apple", "a green pear"]
    page.locator("#morphing").wait_for(state="hidden")
    page.locator("#source-note", has_text="in 4 frames").wait_for()
    # Who types another prompt wants another picture.
    draw(page, "a blue plum")
    assert pipeline.requests[-1].morph is None
    page.locator("#source-note").wait_for(state="hidden")


def test_a_first_picture_is_forgotten_on_request(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    page.locator("#morph-to").click()
    page.locator("#morph-cancel").click()
    page.locator("#morphing").wait_for(state="hidden")
    page.locator("#morph-to", has_text="Morph to…").wait_for()
    assert len(pipeline.requests) == 1


def test_an_animation_that_is_dropped_brings_the_morph_back(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    page.locator("#morph-to").click()
    page.locator("#morphing").wait_for()
    page.locator("#morph-to").click()
    request = morphed(page, pipeline, 2)
    data = downloaded(page, -1)
    assert "morph" in read_image_settings(BytesIO(data)).values
    other = visit(address)
    drop(other, data)
    other.locator("#source-note", has_text="Morph between two pictures in 8 frames").wait_for()
    other.locator("#generate").click()
    assert morphed(other, pipeline, 3) == request


def test_a_dropped_picture_is_morphed(address, pipeline, visit):
    page = visit(address)
    draw(page, "a red apple")
    first = pipeline.requests[-1]
    drop(page, downloaded(page))
    page.locator("#morph-dropped").click()
    page.locator("#morph-note", has_text="a red apple").wait_for()
    draw(page, "a green pear")
    page.locator("#morph-to").click()
    assert morphed(page, pipeline, 3).image(0) == first


def test_a_morph_goes_on_after_a_refresh_in_the_middle_and_can_be_stopped(visit, tmp_path):
    first, last = (LIMITS.request({"prompt": "a red apple", "seed": seed}) for seed in (7, 9))
    request = LIMITS.request(morph((first.to_dict(), EMBEDDINGS), (last.to_dict(), EMBEDDINGS), 5))
    path = save_animation([painted(first), painted(last)], request, tmp_path)
    gate = StepGate()
    with (
        Engine(FakeCascade(between=gate), grace_s=600) as engine,
        serve_page(replace(fake_context(), engine=engine)) as address,
    ):
        page = visit(address)
        drop(page, path.read_bytes())
        page.locator("#source-note", has_text="Morph between two pictures in 5 frames").wait_for()
        gate.hold()
        page.locator("#generate").click()
        page.locator(".tile").nth(4).wait_for()
        page.reload()
        page.locator(".tile").nth(4).wait_for()
        page.locator("#source-note", has_text="Morph between two pictures in 5 frames").wait_for()
        gate.release()
        page.locator("#status .done").wait_for()
        page.locator(STRIP).nth(5).wait_for()
        page.reload()
        page.locator(STRIP).nth(5).wait_for()
        gate.hold()
        page.locator("#generate").click()
        page.locator(".tile").nth(4).wait_for()
        page.locator("#stop").click()
        page.locator("#status .stopped").wait_for()
        gate.release()


def test_two_pictures_are_morphed_on_a_phone_in_german(address, pipeline, visit):
    page = visit(address, width=390, height=844, locale="de-DE")
    page.locator("#prompt textarea").fill("ein Apfel")
    page.locator("#generate").click()
    finished(page)
    page.locator(STRIP).first.wait_for()
    page.locator("#morph-to", has_text="Übergang zu…").click()
    page.locator("#morph-note", has_text="Übergang von Seed").wait_for()
    page.locator("#morph-to", has_text="Übergang hierher").click()
    page.locator("#source-note", has_text="Übergang zwischen zwei Bildern in 8").wait_for()
    morphed(page, pipeline, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
