"""Nobody is shut out: what axe-core finds on every tab, in light and dark, wide and narrow.

Serious and critical faults of ours fail. Those inside of Gradio's own components are listed in `THEIRS`, one by one,
with the reason; each has to be met, so that the list does not outlive them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.opening import opened
from tests.ui.fakes import Painter, Staged, studio
from wuerst_demo.history.history import History

pytestmark = pytest.mark.slow
GRAVE = ("serious", "critical")
LOOKS = [("light", 1280, 900), ("dark", 1280, 900), ("light", 390, 844), ("dark", 390, 844)]
THEIRS = {
    (
        "aria-prohibited-attr",
        'aria-label="Empty value"',
    ): "Gradio's empty gallery labels a plain div; its icon says it too.",
}
"""(rule, part of the element's HTML) -> why it stands."""
SETTLED = """() => !document.getAnimations().some(
    (each) => each instanceof CSSTransition && each.playState === "running"
)"""
"""No colour is on its way to another: a button that fades in has half the contrast halfway."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    kept = History(tmp_path_factory.mktemp("outputs"))
    whole = replace(studio(), engine=Staged(Painter()), history=kept, running={"Device": "none", "Numbers": "float"})
    with opened(whole) as address:
        yield address


def grave(page):
    """The grave faults that axe finds on the page once it has settled: (rule, element)."""
    page.wait_for_function(SETTLED)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(fault["id"], node["html"]) for fault in found if fault["impact"] in GRAVE for node in fault["nodes"]]


def ours(faults):
    return [fault for fault in faults if not any(fault[0] == rule and part in fault[1] for rule, part in THEIRS)]


@pytest.mark.parametrize(("scheme", "width", "height"), LOOKS)
def test_axe_finds_no_grave_fault_of_ours_on_any_tab(address, visit, scheme, width, height):
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
        page.wait_for_timeout(500)  # until the tab's components have been drawn
        faults += grave(page)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
    assert ours(faults) == []
    assert all(any(fault[0] == rule and part in fault[1] for fault in faults) for rule, part in THEIRS)
