"""What a visitor finds who went away in the middle, on the engine of many people."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.e2e.opening import opened
from tests.e2e.test_compare import CELLS, at_compare, choose, decoded, finished
from tests.fakes import FakeCascade
from tests.ui.fakes import studio
from tests.ui.test_runs import Held
from wuerst_demo.engine.local import Local

pytestmark = pytest.mark.slow
PICTURES = "#gallery .thumbnail-lg img"


@pytest.fixture(scope="module")
def held():
    return Held()


@pytest.fixture(scope="module")
def address(held):
    with (
        Local(FakeCascade(between=held), rows_at_once=1, grace=60) as engine,
        opened(replace(studio(), engine=engine)) as address,
    ):
        yield address
        held.go_on()


def begin(page, prompt):
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#images input[type=number]").fill("2")
    page.locator("#generate").click()
    page.locator(".tile").first.wait_for()


def test_a_refresh_in_the_middle_finds_the_drawing_and_its_pictures_and_another_one_still_does(address, held, visit):
    page = visit(address)
    held.hold()
    begin(page, "a cat by the sea")
    page.reload()
    page.locator(".tile").first.wait_for()
    assert page.locator("#prompt textarea").input_value() == "a cat by the sea"
    page.locator("#stop:enabled").wait_for()
    held.go_on()
    page.locator("#status .done").wait_for()
    assert page.locator(PICTURES).count() == 2
    page.reload()
    page.locator("#status .done").wait_for()
    assert page.locator(PICTURES).count() == 2
    assert page.locator(PICTURES).first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def let_in_late(page):
    """Loads the page anew, and holds back what it asks first: what is going on there. Gives these requests, that of
    the drawing tab and that of the comparing one."""
    held = []

    def pass_on(route):
        said = route.request.post_data_json["data"]
        named = len(said) in (2, 3) and isinstance(said[1], str)
        asks = named and not any(len(said) == k for k, _ in held)
        return held.append((len(said), route)) if asks else route.continue_()

    page.route("**/queue/join*", pass_on)
    page.reload()
    page.locator("#summary .count").wait_for()
    for _ in range(600):  # they are sent once the page has found its name
        if len(held) < 2:
            page.wait_for_timeout(100)
    assert sorted(k for k, _ in held) == [2, 3]
    return [route for _, route in held]


def test_who_draws_before_the_page_has_been_let_in_finds_the_drawing_after_a_refresh(address, held, visit):
    page = visit(address)
    let_in_late(page)
    held.hold()
    begin(page, "a cat on the moon")
    page.unroute("**/queue/join*")
    page.reload()
    page.locator(".tile").first.wait_for()
    assert page.locator("#prompt textarea").input_value() == "a cat on the moon"
    page.locator("#stop:enabled").click()
    page.locator("#status .stopped").wait_for()
    held.go_on()


def test_a_page_that_is_let_in_late_leaves_the_drawing_that_was_begun_there_alone(address, held, visit):
    page = visit(f"{address}?prompt=a%20fox&seed=7")
    waiting = let_in_late(page)
    held.hold()
    begin(page, "a cat on the moon")
    for late in waiting:
        late.continue_()
    page.locator("#came", has_text="Settings from the link").wait_for()
    page.wait_for_timeout(500)
    assert page.locator("#prompt textarea").input_value() == "a cat on the moon"
    assert page.locator("#stop").is_enabled()
    assert not page.locator("#generate").is_enabled()
    assert page.locator("#status .drawing, #status .waiting").count()
    held.go_on()
    page.locator("#status .done").wait_for()
    assert page.locator(PICTURES).count() == 2


def test_a_page_that_is_let_in_late_leaves_the_comparison_that_was_begun_there_alone(address, held, visit):
    page = visit(address)
    waiting = let_in_late(page)
    held.hold()
    at_compare(page, "a {cat|dog}")
    choose(page, "across", "Prompt variants")
    page.locator("#compare-go").click()
    page.locator("#compare-stop:enabled").wait_for()
    for late in waiting:
        late.continue_()
    page.wait_for_timeout(1000)
    assert page.locator("#compare-stop").is_enabled()
    assert not page.locator("#compare-go").is_enabled()
    held.go_on()
    finished(page)


def duplicated(page, *scripts):
    """A tab with the name of this one, as a browser duplicates it; these scripts run in it before the page's."""
    name = page.evaluate("sessionStorage.getItem('wuerst-tab')")
    other = page.context.new_page()
    other.add_init_script(f"sessionStorage.getItem('wuerst-tab') || sessionStorage.setItem('wuerst-tab', '{name}')")
    for script in scripts:
        other.add_init_script(script)
    return other, name


def drawn_by(asked, prompt):
    """How many of these requests ask for a drawing of it."""
    return len([each for each in asked if json.loads(each)["data"][2:3] == [prompt]])


UNKNOWN = """
const known = new Promise(resolve => { window.letIn = resolve })
navigator.locks.request = (name, how, then) => known.then(() => then({}))
"""
"""Holds back whether a tab's name is free until `letIn` is called."""


def test_who_presses_twice_while_a_duplicated_tab_finds_its_name_draws_once(address, held, visit):
    other, _ = duplicated(visit(address), UNKNOWN)
    asked = []
    other.on("request", lambda request: asked.append(request.post_data) if "queue/join" in request.url else None)
    other.goto(address)
    other.locator("#summary .count").wait_for()
    other.locator("#prompt textarea").fill("a cat twice")
    for _ in range(2):
        other.locator("#generate").click()
        other.wait_for_timeout(100)
    assert drawn_by(asked, "a cat twice") == 0
    other.evaluate("letIn()")
    other.locator("#status .done").wait_for()
    assert drawn_by(asked, "a cat twice") == 1


def test_what_is_typed_while_the_connection_is_lost_is_there_when_the_page_is_loaded_anew(address, held, visit):
    page = visit(address)
    page.context.set_offline(True)
    page.locator("#prompt textarea").fill("a fox that nobody")
    page.wait_for_timeout(500)
    page.locator("#prompt textarea").press_sequentially(" has heard of")
    page.context.set_offline(False)
    page.goto(f"{address}?view=api")  # as it stands once somebody has looked at how programs call the page
    settled = "document.querySelector('#prompt textarea')?.value === 'a fox that nobody has heard of'"
    page.wait_for_function(settled)


def test_what_was_typed_and_set_and_not_drawn_is_there_after_a_refresh(address, held, visit):
    page = visit(address)
    draw(page, held, "a fox")
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
    assert page.locator("#prompt textarea").input_value() == "a fox that nobody has drawn yet"
    assert page.locator("#negative-prompt textarea").input_value() == "rain"
    assert page.locator("#images input[type=number]").input_value() == "3"
    assert page.locator("#seed input").input_value() == "12"
    assert not page.locator("#new-seed input").is_checked()
    page.goto(f"{address}?prompt=a%20cat")
    page.locator("#came .well").wait_for()
    assert page.locator("#prompt textarea").input_value() == "a cat"


def draw(page, held, prompt):
    held.hold()  # or a fast machine has drawn it before its tile is looked for
    begin(page, prompt)
    held.go_on()
    page.locator("#status .done").wait_for()


def test_a_refresh_leaves_a_new_seed_each_time_as_it_was(address, held, visit):
    page = visit(address)
    for fresh in (False, True):
        page.locator("#new-seed input").set_checked(fresh)
        draw(page, held, "a fox")
        seed = page.locator("#seed input").input_value()
        page.reload()
        page.locator("#status .done").wait_for()
        page.wait_for_timeout(500)
        assert page.locator("#new-seed input").is_checked() == fresh
        assert page.locator("#seed input").input_value() == seed


def test_a_link_wins_over_what_was_drawn_before_it_was_opened_and_not_over_what_was_drawn_since(address, held, visit):
    page = visit(address)
    draw(page, held, "a cat")
    for _ in ("opened", "refreshed"):
        page.goto(f"{address}?prompt=a%20fox&seed=7")
        page.locator("#status .done").wait_for()  # the pictures of the cat are still there
        page.locator("#came", has_text="Settings from the link").wait_for()
        page.wait_for_timeout(500)
        assert page.locator("#prompt textarea").input_value() == "a fox"
        assert page.locator("#seed input").input_value() == "7"
    draw(page, held, "a dog")
    for theme in ("", "&__theme=dark"):
        page.goto(f"{address}?prompt=a%20fox&seed=7{theme}")
        page.locator("#status .done").wait_for()
        page.wait_for_timeout(500)
        assert page.locator("#prompt textarea").input_value() == "a dog"


def test_a_tab_that_is_duplicated_has_a_seat_of_its_own(address, held, visit):
    page = visit(address)
    held.hold()
    begin(page, "a cat")
    other, name = duplicated(page)
    other.goto(address)
    other.locator("#summary .count").wait_for()
    other.wait_for_function(f"sessionStorage.getItem('wuerst-tab') !== '{name}'")
    other.wait_for_timeout(500)
    assert other.locator("#prompt textarea").input_value() == ""
    assert page.locator("#stop").is_enabled()  # and nobody has taken the first one's drawing
    held.go_on()
    page.locator("#status .done").wait_for()
    assert other.locator(PICTURES).count() == 0


def test_after_a_refresh_the_keyboard_begins_no_second_drawing_over_the_first(address, held, visit):
    page = visit(address)
    held.hold()
    begin(page, "a cat")
    page.reload()
    page.locator("#stop:enabled").wait_for()
    page.locator("#prompt textarea").press("Shift+Enter")
    page.wait_for_timeout(500)
    assert page.locator("#stop").is_enabled()
    held.go_on()
    page.locator("#status .done").wait_for()
    assert page.locator(PICTURES).count() == 2


def test_another_tab_and_another_visitor_begin_with_an_empty_page(address, held, visit):
    page = visit(address)
    draw(page, held, "a dog")
    other = page.context.new_page()
    other.goto(address)
    for fresh in (other, visit(address)):
        fresh.locator("#summary .count").wait_for()
        fresh.wait_for_timeout(500)
        assert fresh.locator(PICTURES).count() == 0
        assert fresh.locator("#prompt textarea").input_value() == ""


def test_stop_after_a_refresh_keeps_what_is_finished(address, held, visit):
    page = visit(address)
    held.before = held.steps + 2 * (12 + 6)  # the last step: one of the two is finished
    begin(page, "an owl")
    page.locator(PICTURES).wait_for()
    page.reload()
    page.locator(PICTURES).wait_for()
    page.locator("#stop").click()
    page.locator("#status .said", has_text="The finished picture is kept").wait_for()
    held.go_on()
    page.locator("#generate:enabled").wait_for()
    assert page.locator(PICTURES).count() == 1


def test_a_refresh_in_the_middle_finds_the_comparison_with_what_was_set_for_it_and_it_goes_on(address, held, visit):
    page = at_compare(visit(address), "a {cat|dog}")
    choose(page, "across", "Prompt variants")
    choose(page, "down", "Prior steps", "4, 7")
    held.before = held.steps + 3 * (4 + 6) + 2  # at least one of them is finished
    page.locator("#compare-go").click()
    page.locator(CELLS).first.wait_for()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    page.locator(CELLS).first.wait_for()
    assert page.locator("#compare-prompt textarea").input_value() == "a {cat|dog}"
    assert page.locator("#down-values textarea, #down-values input").input_value() == "4, 7"
    assert page.locator("#across-values textarea, #across-values input").count() == 0
    held.go_on()
    finished(page)
    assert decoded(page) == [32] * 4
    page.get_by_text("Slide between two pictures").click()
    page.locator("#slider img").nth(1).wait_for()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    finished(page)
    assert decoded(page) == [32] * 4
