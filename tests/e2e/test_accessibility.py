"""Accessibility: axe-core on every tab, light and dark, wide and narrow.

Serious and critical faults of ours fail. Those inside of Gradio's own components are listed in `THEIRS`, one by one,
with the reason; each has to be met, so that the list does not outlive them.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.browser import opened_field
from tests.fakes.server import serve_page
from tests.fakes.web import EXAMPLES, FakePipeline, FakeStageEngine, fake_context
from wuerst_demo.history.store import HistoryStore

pytestmark = pytest.mark.slow
GRAVE = ("serious", "critical")
LOOKS = [("light", 1280, 900), ("dark", 1280, 900), ("light", 390, 844), ("dark", 390, 844)]
THEIRS: dict[tuple[str, str], str] = {}
"""(rule, part of the element's HTML) -> why it is accepted."""
SETTLED = """() => !document.getAnimations().some(
    (each) => each instanceof CSSTransition && each.playState === "running"
)"""
"""No colour is on its way to another: a button that fades in has half the contrast halfway."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    kept = HistoryStore(tmp_path_factory.mktemp("outputs"))
    whole = replace(
        fake_context(),
        engine=FakeStageEngine(FakePipeline()),
        history=kept,
        runtime={"Device": "none", "Data type": "float"},
    )
    with serve_page(whole) as address:
        yield address


def grave(page):
    """The grave faults that axe finds on the page once it has settled: (rule, element)."""
    page.wait_for_function(SETTLED)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(fault["id"], node["html"]) for fault in found if fault["impact"] in GRAVE for node in fault["nodes"]]


def ours(faults):
    return [fault for fault in faults if not any(fault[0] == rule and part in fault[1] for rule, part in THEIRS)]


@pytest.mark.parametrize(("scheme", "width", "height"), LOOKS[::3])
def test_axe_finds_no_serious_problem_on_the_ways_from_a_picture(address, visit, scheme, width, height):
    page = visit(address, width=width, height=height, color_scheme=scheme)
    page.locator("#generate").click()
    page.locator("#redraw").click()
    page.locator("#region [role=gridcell]").nth(7).click()
    faults = grave(page)
    page.locator("#neighbors").click()
    page.locator("#neighbor-sheet .cells button").nth(8).wait_for()
    page.locator("#generate:enabled").wait_for()
    faults += grave(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert ours(faults) == []


@pytest.mark.parametrize(("scheme", "width", "height"), LOOKS)
def test_axe_finds_no_serious_problem_on_any_tab(address, visit, scheme, width, height):
    page = visit(address, width=width, height=height, color_scheme=scheme)
    faults = grave(page)
    page.locator("#more button").first.click()
    page.locator("#prompt textarea").fill("a RED apple")
    page.locator("#spans .highlighted").first.wait_for()
    page.locator("#generate").click()
    page.locator("#status .done").wait_for()
    page.locator("#generate:enabled").wait_for()
    faults += grave(page)
    names = [tab.inner_text() for tab in page.get_by_role("tab").all()]
    assert len(names) >= 4
    for name in names[1:]:
        page.get_by_role("tab", name=name, exact=True).click()
        if name == "How it works":
            page.locator("#explain-status .done").wait_for()
            page.locator(".latent-editor summary").click()
            page.get_by_role("button", name="Change one word").click()
            opened_field(page, "#words-prompt textarea").fill("a GREEN pear")
            page.locator("#words-go").click()
            page.locator("#words-report .pair mark").first.wait_for()
            page.get_by_role("button", name="Guidance and steps").click()
            page.locator("#guidance-go").click()
            page.locator("#guidance-status .done").wait_for()
        page.wait_for_timeout(500)  # until the tab's components are rendered
        faults += grave(page)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
    assert ours(faults) == []
    assert all(any(fault[0] == rule and part in fault[1] for fault in faults) for rule, part in THEIRS)


def test_everything_can_be_reached_at_a_zoom_of_400_percent(address, visit):
    """A window of 1280 by 1024 pixels at 400 % has 320 by 256 CSS pixels (WCAG 2.2, 1.4.10)."""
    page = visit(address, width=320, height=256, folded=True)
    page.locator("#prompt textarea").fill("a red apple")
    page.locator("#generate").click()
    page.locator("#status .done").wait_for()
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_states_can_be_told_apart_in_forced_colours(address, visit):
    page = visit(address, folded=True, forced_colors="active")
    page.locator("#shape-1-1[aria-pressed=true]").wait_for()
    looks = [
        page.locator(shape).evaluate("each => getComputedStyle(each).borderColor")
        for shape in ("#shape-1-1", "#shape-2-3")
    ]
    assert looks[0] != looks[1]
    page.locator("#generate").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.locator("#generate").evaluate("each => getComputedStyle(each).outlineStyle") == "solid"


def test_nothing_moves_for_those_who_ask_for_reduced_motion(address, visit):
    page = visit(address, folded=True, reduced_motion="reduce")
    page.locator("#generate").click()
    page.locator("#status .done").wait_for()
    moving = page.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length")
    assert moving == 0


def test_the_accessibility_tree_names_every_control_of_the_first_screen(address, visit):
    page = visit(address, folded=True)
    roles = ("button", "textbox", "slider", "spinbutton", "combobox", "checkbox", "tab")
    nameless = [
        each.evaluate("each => each.outerHTML.slice(0, 200)")
        for role in roles
        for each in page.get_by_role(role, name=re.compile(r"^\s*$")).all()
    ]
    assert nameless == []
    names = page.locator("body").aria_snapshot()
    for told in ("Prompt", "Generate", "Stop", "Exact size 256 × 256", "Seed", "Keys", *EXAMPLES):
        assert told in names
    page.locator("#generate").click()
    page.locator("#status .done").wait_for()
    assert "status" in page.locator("#status").aria_snapshot()
