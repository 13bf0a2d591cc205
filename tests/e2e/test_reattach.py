"""Reloaded, duplicated and disconnected pages re-attach to their jobs, on the real engine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.test_compare import CELLS, at_compare, choose, decoded, finished
from tests.e2e.test_page import PICTURES, forget, seed_shown, wait_for_pictures
from tests.fakes.cascade import FakeCascade
from tests.fakes.server import serve_page
from tests.fakes.web import StepGate, fake_context
from wuerst_demo.engine.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gate():
    return StepGate()


@pytest.fixture(scope="module")
def address(gate):
    with (
        Engine(FakeCascade(between=gate), max_batch_size=1, grace_s=600) as engine,
        serve_page(replace(fake_context(), engine=engine)) as address,
    ):
        yield address
        gate.release()


@pytest.fixture(autouse=True)
def released(gate):
    """No test finds the gate held by one before it."""
    yield
    gate.release()


def begin(page, prompt):
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#images input[type=number]").fill("2")
    forget(page)
    page.locator("#generate").click()
    page.locator("#status .running, #status .waiting").first.wait_for()
    page.locator(".tile").first.wait_for()


def test_a_reload_reattaches_to_the_generation_and_so_does_the_next(address, gate, visit):
    page = visit(address)
    gate.hold()
    begin(page, "a cat by the sea")
    page.reload()
    page.locator(".tile").first.wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a cat by the sea")
    page.locator("#stop:enabled").wait_for()
    gate.release()
    page.locator("#status .done").wait_for()
    wait_for_pictures(page, 2)
    page.reload()
    page.locator("#status .done").wait_for()
    wait_for_pictures(page, 2)
    assert page.locator(PICTURES).first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def hold_load_events(page):
    """Reloads the page and holds the two events that re-attach to a generation and a comparison.

    Returns their routes, to be continued.
    """
    held = []

    def hold(route):
        data = route.request.post_data_json["data"]
        attaches = len(data) == 2 and isinstance(data[1], str)
        return held.append(route) if attaches and len(held) < 2 else route.continue_()

    page.route("**/queue/join*", hold)
    page.reload()
    page.locator("#summary .count").wait_for()
    for _ in range(600):  # they are sent once the browser has found the tab's name
        if len(held) < 2:
            page.wait_for_timeout(100)
    assert len(held) == 2
    return held


def test_a_generation_started_before_the_load_event_is_found_after_a_reload(address, gate, visit):
    page = visit(address)
    hold_load_events(page)
    gate.hold()
    begin(page, "a cat on the moon")
    page.unroute("**/queue/join*")
    page.reload()
    page.locator(".tile").first.wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a cat on the moon")
    page.locator("#stop:enabled").click()
    page.locator("#status .stopped").wait_for()
    gate.release()


def test_a_late_load_event_leaves_a_new_generation_alone(address, gate, visit):
    page = visit(f"{address}?prompt=a%20fox&seed=7")
    waiting = hold_load_events(page)
    gate.hold()
    begin(page, "a cat on the moon")
    for late in waiting:
        late.continue_()
    page.wait_for_timeout(500)
    expect(page.locator("#prompt textarea")).to_have_value("a cat on the moon")
    expect(page.locator("#stop")).to_be_enabled()
    expect(page.locator("#generate")).to_be_disabled()
    assert page.locator("#status .running, #status .waiting").count()
    gate.release()
    page.locator("#status .done").wait_for()
    wait_for_pictures(page, 2)


def test_a_late_load_event_leaves_a_new_comparison_alone(address, gate, visit):
    page = visit(address)
    waiting = hold_load_events(page)
    gate.hold()
    at_compare(page, "a {cat|dog}")
    choose(page, "across", "Prompt variants")
    page.locator("#compare-go").click()
    page.locator("#compare-stop:enabled").wait_for()
    for late in waiting:
        late.continue_()
    page.wait_for_timeout(500)
    expect(page.locator("#compare-stop")).to_be_enabled()
    expect(page.locator("#compare-go")).to_be_disabled()
    gate.release()
    finished(page)


def duplicate_tab(page, *scripts):
    """A tab with the name of this one, as a browser duplicates it; these scripts run in it before the page's."""
    name = page.evaluate("sessionStorage.getItem('wuerst-tab')")
    other = page.context.new_page()
    other.add_init_script(f"sessionStorage.getItem('wuerst-tab') || sessionStorage.setItem('wuerst-tab', '{name}')")
    for script in scripts:
        other.add_init_script(script)
    return other, name


def count_requests(asked, prompt):
    """How many of these requests generate this prompt."""
    return len([each for each in asked if json.loads(each)["data"][2:3] == [prompt]])


HOLD_TAB_NAME_JS = """
const known = new Promise(resolve => { window.release = resolve })
navigator.locks.request = (name, how, then) => known.then(() => then({}))
"""
"""Holds the answer whether a tab's name is free until `release` is called."""


def test_two_clicks_in_a_duplicated_tab_generate_once(address, gate, visit):
    other, _ = duplicate_tab(visit(address), HOLD_TAB_NAME_JS)
    asked = []
    other.on("request", lambda request: asked.append(request.post_data) if "queue/join" in request.url else None)
    other.goto(address)
    other.locator("#summary .count").wait_for()
    other.locator("#prompt textarea").fill("a cat twice")
    for _ in range(2):
        other.locator("#generate").click()
        other.wait_for_timeout(100)
    assert count_requests(asked, "a cat twice") == 0
    other.evaluate("release()")
    other.locator("#status .done").wait_for()
    assert count_requests(asked, "a cat twice") == 1


def test_text_typed_offline_is_there_after_a_reload(address, gate, visit):
    page = visit(address)
    page.context.set_offline(True)
    page.locator("#prompt textarea").fill("a fox that nobody")
    page.wait_for_timeout(500)
    page.locator("#prompt textarea").press_sequentially(" has heard of")
    page.context.set_offline(False)
    page.goto(f"{address}?view=api")  # as after a look at the API page
    settled = "document.querySelector('#prompt textarea')?.value === 'a fox that nobody has heard of'"
    page.wait_for_function(settled)


def test_unsubmitted_settings_are_there_after_a_reload(address, gate, visit):
    page = visit(address)
    draw(page, gate, "a fox")
    page.locator("#prompt textarea").fill("a fox that nobody has drawn yet")
    page.locator("#negative-prompt textarea").fill("rain")
    page.locator("#images input[type=number]").fill("3")
    page.locator("#images input[type=number]").press("Tab")
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("12")
    page.locator("#seed input").press("Tab")
    kept = "JSON.parse(sessionStorage.getItem('wuerst-draft'))[1]"
    page.wait_for_function(f"{kept}.negative_prompt === 'rain' && {kept}.images === 3 && {kept}.seed === 12")
    page.reload()
    page.locator("#status .done").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a fox that nobody has drawn yet")
    expect(page.locator("#negative-prompt textarea")).to_have_value("rain")
    expect(page.locator("#images input[type=number]")).to_have_value("3")
    expect(page.locator("#seed input")).to_have_value("12")
    expect(page.locator("#new-seed input")).not_to_be_checked()
    page.goto(f"{address}?prompt=a%20cat")
    page.locator("#came .well").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a cat")


def draw(page, gate, prompt):
    gate.hold()  # or a fast machine finishes before its tile is looked for
    begin(page, prompt)
    gate.release()
    page.locator("#status .done").wait_for()


def test_a_reload_keeps_the_new_seed_box(address, gate, visit):
    page = visit(address)
    for fresh in (False, True):
        page.locator("#new-seed input").set_checked(fresh)
        draw(page, gate, "a fox")
        seed = str(seed_shown(page))
        page.reload()
        page.locator("#status .done").wait_for()
        expect(page.locator("#seed input")).to_have_value(seed)
        page.wait_for_timeout(500)
        expect(page.locator("#new-seed input")).to_be_checked(checked=fresh)
        expect(page.locator("#seed input")).to_have_value(seed)


def test_a_link_overrides_only_generations_from_before_it_was_opened(address, gate, visit):
    page = visit(address)
    draw(page, gate, "a cat")
    for _ in ("opened", "refreshed"):
        page.goto(f"{address}?prompt=a%20fox&seed=7")
        page.locator("#status .done").wait_for()  # the pictures of the cat are still there
        page.locator("#came", has_text="Settings from the link").wait_for()
        page.wait_for_timeout(500)
        expect(page.locator("#prompt textarea")).to_have_value("a fox")
        expect(page.locator("#seed input")).to_have_value("7")
    draw(page, gate, "a dog")
    for theme in ("", "&__theme=dark"):
        page.goto(f"{address}?prompt=a%20fox&seed=7{theme}")
        page.locator("#status .done").wait_for()
        page.wait_for_timeout(500)
        expect(page.locator("#prompt textarea")).to_have_value("a dog")


def test_a_duplicated_tab_has_a_session_of_its_own(address, gate, visit):
    page = visit(address)
    gate.hold()
    begin(page, "a cat")
    other, name = duplicate_tab(page)
    other.goto(address)
    other.locator("#summary .count").wait_for()
    other.wait_for_function(f"sessionStorage.getItem('wuerst-tab') !== '{name}'")
    other.wait_for_timeout(500)
    expect(other.locator("#prompt textarea")).to_have_value("")
    expect(page.locator("#stop")).to_be_enabled()  # and nobody has taken the first one's drawing
    gate.release()
    page.locator("#status .done").wait_for()
    expect(other.locator(PICTURES)).to_have_count(0)


def test_after_a_reload_the_keyboard_starts_no_second_generation(address, gate, visit):
    page = visit(address)
    gate.hold()
    begin(page, "a cat")
    page.reload()
    page.locator("#stop:enabled").wait_for()
    page.locator("#prompt textarea").press("Shift+Enter")
    page.wait_for_timeout(500)
    expect(page.locator("#stop")).to_be_enabled()
    gate.release()
    page.locator("#status .done").wait_for()
    wait_for_pictures(page, 2)


def test_another_tab_and_another_client_start_with_an_empty_page(address, gate, visit):
    page = visit(address)
    draw(page, gate, "a dog")
    other = page.context.new_page()
    other.goto(address)
    for fresh in (other, visit(address)):
        fresh.locator("#summary .count").wait_for()
        fresh.wait_for_timeout(500)
        expect(fresh.locator(PICTURES)).to_have_count(0)
        expect(fresh.locator("#prompt textarea")).to_have_value("")


def test_stop_after_a_reload_keeps_finished_images(address, gate, visit):
    page = visit(address)
    gate.hold_before = gate.steps + 2 * (12 + 6)  # the last step: one of the two is finished
    begin(page, "an owl")
    page.locator(PICTURES).wait_for()
    page.reload()
    page.locator(PICTURES).wait_for()
    page.locator("#stop").click()
    page.locator("#status .status-text", has_text="The finished picture is kept").wait_for()
    gate.release()
    page.locator("#generate:enabled").wait_for()
    wait_for_pictures(page, 1)


def test_a_reload_reattaches_to_the_comparison_with_its_settings(address, gate, visit):
    page = at_compare(visit(address), "a {cat|dog}")
    choose(page, "across", "Prompt variants")
    choose(page, "down", "Prior steps", "4, 7")
    gate.hold_before = gate.steps + 3 * (4 + 6) + 2  # at least one of them is finished
    page.locator("#compare-go").click()
    page.locator(CELLS).first.wait_for()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    page.locator(CELLS).first.wait_for()
    expect(page.locator("#compare-prompt textarea")).to_have_value("a {cat|dog}")
    expect(page.locator("#down-values textarea, #down-values input")).to_have_value("4, 7")
    expect(page.locator("#across-values textarea, #across-values input")).to_have_count(0)
    gate.release()
    finished(page)
    assert decoded(page) == [32] * 4
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    finished(page)
    assert decoded(page) == [32] * 4
