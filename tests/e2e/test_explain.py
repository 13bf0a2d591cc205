"""The "How it works" tab in a browser, over a fake pipeline."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import opened_field
from tests.e2e.test_page import seed_shown
from tests.fakes.server import serve_page
from tests.fakes.web import FakePipeline, FakeStageEngine, fake_context
from wuerst_demo.web.explain.runner import ExplanationRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def staged():
    """The address of a page whose engine keeps stages."""
    with serve_page(replace(fake_context(), engine=FakeStageEngine(FakePipeline()))) as address:
        yield address


def drawn(page, pictures=1):
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#images input[type=number]").fill(str(pictures))
    page.locator("#generate").click()
    page.locator("#status .done .status-text").wait_for()


def told(page):
    page.locator("#explain-status .done .status-text").wait_for()
    page.locator("#account .stage img").first.wait_for()


def moved(page, place):
    page.locator("#account .scrub input").evaluate(
        "(range, place) => { range.value = place; range.dispatchEvent(new Event('input', {bubbles: true})); }", place
    )


def test_the_stages_of_a_new_image_are_shown_step_by_step(staged, visit):
    page = visit(staged)
    page.get_by_role("tab", name="How it works").click()
    page.locator("#explain-status", has_text="No picture yet").wait_for()
    expect(page.locator("#explain-go")).to_be_disabled()
    page.get_by_role("tab", name="Draw").click()
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    account = page.locator("#account")
    for said in ("6 × 6 × 16 = 576 numbers", "64 × 64 × 4 = 16,384 numbers", "42.7 times smaller on each side"):
        assert said in account.inner_text()
    sizes = "all => Promise.all(all.map(i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])))"
    assert account.locator(".stage img").evaluate_all(sizes) == [[12 * 6, 6], [12 * 27, 27], [6 * 64, 64], [256, 256]]
    pictures = [account.locator(f".{stage} img").first for stage in ("prior", "decoder", "vqgan")]
    assert all(each.is_visible() for each in pictures)
    moved(page, 4)
    expect(account.locator(".scrub output")).to_have_text("Prior, step 5 of 12", use_inner_text=True)
    assert [each.is_visible() for each in pictures] == [True, False, False]
    frame, strip = account.locator(".prior .strip").first.bounding_box(), pictures[0].bounding_box()
    assert round((frame["x"] - strip["x"]) / frame["width"]) == 4
    moved(page, 12)
    expect(account.locator(".scrub output")).to_have_text("Decoder, step 1 of 6", use_inner_text=True)
    assert [each.is_visible() for each in pictures] == [True, True, False]


def test_the_chosen_image_is_explained_and_keys_move_the_steps(staged, visit):
    page = visit(staged, width=390, height=844)
    drawn(page, 2)
    seed = seed_shown(page)
    page.get_by_role("tab", name="How it works").click()
    page.locator("#account .of", has_text=f"a cat, seed {seed}").wait_for()  # the first one, as soon as the tab is open
    page.locator("#explain-which input").click()
    page.get_by_role("option").nth(1).click()
    page.evaluate("document.querySelector('#explain-status .state').className = 'state'")  # of the first one
    page.locator("#explain-go").click()
    page.locator("#account .of", has_text=f"a cat, seed {seed + 1}").wait_for()
    told(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    range_ = page.locator("#account .scrub input")
    range_.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#account .scrub output")).to_have_text("Decoder, step 6 of 6", use_inner_text=True)
    expect(range_).to_have_attribute("aria-valuetext", "Decoder, step 6 of 6")
    page.locator("#account .play").click()
    page.locator("#account .scrub output", has_text="VQGAN").wait_for()


def test_the_slider_starts_at_the_end_of_every_report(staged, visit):
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
    expect(page.locator("#account .scrub output")).to_have_text("VQGAN: the finished picture", use_inner_text=True)
    assert page.locator("#account .scrub input").evaluate("range => range.value === range.max")


def test_the_time_slider_is_dragged_and_moved_with_keys_through_all_three_stages(staged, visit):
    page = visit(staged)
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    output, slider = page.locator("#account .scrub output"), page.locator("#account .scrub input")
    slider.press("Home")
    expect(output).to_have_text("Prior, step 1 of 12", use_inner_text=True)
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(output).to_have_text("Decoder, step 1 of 6", use_inner_text=True)
    page.keyboard.press("End")
    expect(output).to_have_text("VQGAN: the finished picture", use_inner_text=True)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(output).to_have_text("Prior, step 10 of 12", use_inner_text=True)


def test_the_report_is_still_there_after_a_refresh(staged, visit):
    page = visit(staged)
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    before = page.locator("#account .of").inner_text()
    page.reload()
    page.get_by_role("tab", name="How it works").click()
    told(page)
    expect(page.locator("#account .of")).to_have_text(before, use_inner_text=True)
    expect(page.locator("#explain-go")).to_be_enabled()
    expect(page.locator("#explain-stop")).to_be_disabled()


def test_a_question_of_each_stage_unfolds_its_answer_with_the_keyboard(staged, visit):
    page = visit(staged)
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    questions = page.locator("#account .question")
    expect(questions).to_have_count(3)
    for k in range(3):
        answer = questions.nth(k).locator("p")
        expect(answer).to_be_hidden()
        questions.nth(k).locator("summary").press("Enter")
        assert len(answer.inner_text()) > 100


def test_a_sheet_of_the_own_picture_is_drawn_in_place_and_leaves_the_settings_alone(staged, visit):
    page = visit(staged)
    drawn(page)
    seed = seed_shown(page)
    page.locator("#prompt textarea").fill("a dog")
    page.get_by_role("tab", name="How it works").click()
    told(page)
    page.get_by_role("button", name="Guidance and steps").click()
    page.locator("#guidance-go").click()
    page.locator("#guidance-status .done").wait_for()
    expect(page.locator("#guidance-board img")).to_have_count(16)
    assert page.locator("#guidance-board thead").inner_text().split()[-4:] == ["1", "2", "4", "8"]
    shared = page.locator("#guidance-board .shared").inner_text()
    assert "a cat" in shared
    assert f"Seed {seed}" in shared
    page.get_by_role("tab", name="Draw").click()
    expect(page.locator("#prompt textarea")).to_have_value("a dog")
    expect(page.locator("#new-seed input")).to_be_checked()
    page.reload()
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#guidance-board img")).to_have_count(16)


def test_two_prompts_are_seen_side_by_side_and_are_still_there_after_a_refresh(staged, visit):
    page = visit(staged, width=390, height=844)
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    page.get_by_role("button", name="Change one word").click()
    prompt = page.locator("#words-prompt textarea")
    expect(prompt).to_have_value("a cat")
    page.locator("#words-go").click()
    page.locator("#words-status .rejected .status-text", has_text="Both prompts are the same").wait_for()
    prompt.fill("a dog")
    prompt.press("Enter")
    page.locator("#words-report .pair mark", has_text="dog").wait_for()
    page.locator("#words-status .done").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    slider = page.locator("#words-report .scrub input")
    slider.press("Home")
    output = page.locator("#words-report .scrub output")
    assert output.inner_text().startswith("Prior, step 1 of 12: ")
    expect(slider).to_have_attribute("aria-valuetext", output.inner_text())
    page.reload()
    page.get_by_role("tab", name="How it works").click()
    page.locator("#words-report .pair mark", has_text="dog").wait_for()
    expect(prompt).to_have_value("a dog")


def test_what_is_typed_before_an_explanation_has_ended_stays(staged, visit, monkeypatch):
    follow, typed = ExplanationRun.follow, threading.Event()

    def end_late(run):
        yield from follow(run)
        typed.wait(240)

    monkeypatch.setattr(ExplanationRun, "follow", end_late)
    page = visit(staged)
    drawn(page)
    page.get_by_role("tab", name="How it works").click()
    told(page)
    page.get_by_role("button", name="Change one word").click()
    prompt = opened_field(page, "#words-prompt textarea")
    expect(prompt).to_have_value("a cat")
    prompt.fill("a dog")
    with page.expect_event("requestfinished", lambda request: "queue/data" in request.url):
        typed.set()
    page.wait_for_timeout(100)  # what has arrived is shown
    expect(prompt).to_have_value("a dog")
