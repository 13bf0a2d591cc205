"""Live pictures in a browser: what is rejected, keyboards that compose words, and browsers that keep nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.test_live import LIVE_STEPS, drawn, full_quality, insert, shown, turn_on
from tests.fakes.server import wait_until

pytestmark = pytest.mark.slow


def test_a_mended_text_takes_the_note_away_though_its_picture_is_there_already(address, pipeline, visit):
    page = visit(address)
    turn_on(page, "a red fox ")
    full_quality(page)
    insert(page, "refuse-syntax ")
    page.locator("#live-view .live-note", has_text="refuses this").wait_for()
    page.locator("#prompt textarea").fill("a red fox ")
    expect(page.locator("#live-view .live-note")).to_have_text("", use_inner_text=True)
    shown(page, "a red fox ")


def test_a_keyboard_that_composes_words_is_not_followed_within_them(address, pipeline, visit):
    """Such as a phone's: each key reports the whole word so far."""
    page = visit(address)
    turn_on(page, "a red fox ")
    full_quality(page)
    page.evaluate(
        """async () => {
            const field = document.querySelector("#prompt textarea");
            const insert = (data, inputType, isComposing) => {
                field.value = `a red fox ${data}`;
                field.setSelectionRange(field.value.length, field.value.length);
                field.dispatchEvent(new InputEvent("input", {bubbles: true, inputType, data, isComposing}));
                return new Promise((on) => setTimeout(on, 20));
            };
            for (const length of [1, 2, 3, 4, 5, 6]) {
                await insert("asleep".slice(0, length), "insertCompositionText", true);
            }
            await insert("asleep ", "insertText", false);
        }"""
    )
    shown(page, "a red fox asleep ")
    assert drawn(pipeline, LIVE_STEPS)[-1] == "a red fox asleep "
    assert not set(drawn(pipeline, LIVE_STEPS)) & {f"a red fox {'asleep'[:length]}" for length in range(1, 6)}


def test_a_place_that_another_picture_took_is_taken_again_without_a_note(address, visit):
    """As the editor of z does, which draws for the same tab."""
    page, refused = visit(address), []
    turn_on(page, "a red fox ")
    full_quality(page)

    def refuse(route):
        refused.append(route.request.post_data_json["values"]["prompt"])
        route.fulfill(status=409, json={"detail": "A newer text has taken the place of this one."})

    page.route("**/live", refuse, times=1)
    insert(page, "asleep ")
    wait_until(lambda: page.wait_for_timeout(20) or refused)
    page.wait_for_timeout(200)
    expect(page.locator("#live-view .live-note")).to_have_text("", use_inner_text=True)
    shown(page, "a red fox asleep ")
    assert refused == ["a red fox asleep "]


def test_a_rejected_generation_leaves_the_live_picture_where_it_is(address, visit):
    page = visit(address)
    turn_on(page, "a red fox ")
    full_quality(page)
    insert(page, "refuse-syntax ")
    page.locator("#generate").click()
    page.locator("#status .rejected .status-text").wait_for()
    shown(page, "a red fox ")
    page.locator("#keep").click()
    page.locator("#gallery .gallery-item").wait_for()


def test_new_seeds_are_on_again_in_a_browser_that_keeps_nothing(address, visit):
    forbidden = "Object.defineProperty(window, 'sessionStorage', {get: () => { throw new DOMException('no'); }});"
    page = visit(address, script=forbidden)
    page.locator("#new-seed input").check()
    turn_on(page)
    expect(page.locator("#new-seed input")).not_to_be_checked()
    page.locator("#live input").uncheck()
    expect(page.locator("#new-seed input")).to_be_checked()
