"""The History tab in a browser, over a fake pipeline."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.test_page import draw, wait_for_pictures
from tests.e2e.test_restore import drawn_as
from tests.fakes.history import write_album
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import fake_context
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.images.metadata import read_image_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture
def keeping(pipeline, root):
    """The address of a page that keeps its pictures in `root`."""
    with serve_page(replace(fake_context(pipeline), history=HistoryStore(root))) as address:
        yield address


def shown(page):
    """The number of pictures in the history's gallery."""
    return page.locator("#history-gallery .thumbnail-lg").count()


def test_a_search_waits_for_the_refresh_before_it(keeping, visit, monkeypatch):
    page = visit(keeping)
    for prompt in ("a red apple", "a green pear"):
        draw(page, prompt)
    search = page.locator("#history-search textarea, #history-search input").first
    page.get_by_role("tab", name="History").click()
    wait_until(lambda: shown(page) == 2)
    search.fill("apple")
    wait_until(lambda: shown(page) == 1)
    page.get_by_role("tab", name="Draw").click()
    draw(page, "a blue car")
    refresh, released = HistoryStore.refresh, threading.Event()

    def held_refresh(self):
        released.wait(240)
        return refresh(self)

    monkeypatch.setattr(HistoryStore, "refresh", held_refresh)
    page.get_by_role("tab", name="History").click()
    with page.expect_response("**/queue/join*"):
        search.fill("")  # queued behind the refresh
    released.set()
    wait_until(lambda: shown(page) == 3)


def test_a_saved_image_is_found_marked_reused_and_deleted(keeping, pipeline, root, visit):
    page = visit(keeping)
    for prompt in ("a red apple", "a green pear", "a Würstchen"):
        draw(page, prompt)
    assert len(list(root.rglob("*.png"))) == 3
    page.get_by_role("tab", name="History").click()
    page.locator("#history-said", has_text="1 to 3 of 3 pictures").wait_for()
    wait_until(lambda: shown(page) == 3)
    page.locator("#history-search textarea, #history-search input").first.fill("wurst")
    wait_until(lambda: shown(page) == 1)
    page.locator("#history-gallery .thumbnail-lg").click()
    page.locator("#history-details", has_text="a Würstchen").wait_for()
    page.locator("#history-mark").click()
    wait_until(lambda: list(root.rglob("*.favourite")) != [])
    page.locator("#history-mark", has_text="Not a favourite").wait_for()

    page.locator("#history-search textarea, #history-search input").first.fill("")
    wait_until(lambda: shown(page) == 3)
    page.locator("#history-favourites input").check()
    wait_until(lambda: shown(page) == 1)
    page.locator("#history-gallery .thumbnail-lg").click()
    page.locator("#history-use").click()
    page.locator("#generate").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("a Würstchen")
    assert drawn_as(page, pipeline) == pipeline.requests[2]

    page.get_by_role("tab", name="History").click()
    page.locator("#history-gallery .preview").wait_for(state="detached")  # nothing is chosen any more
    page.locator("#history-favourites input").uncheck()
    wait_until(lambda: shown(page) == 4)
    page.locator("#history-gallery .thumbnail-lg").last.click()
    page.locator("#history-details", has_text="a red apple").wait_for()
    page.locator("#history-delete").dblclick(delay=200)
    page.wait_for_timeout(500)
    assert len(list(root.rglob("*.png"))) == 4
    if not page.locator("#history-keep").is_visible():
        page.locator("#history-delete").click()
    page.locator("#history-keep").wait_for()
    page.locator("#history-delete", has_text="permanently").click()
    wait_until(lambda: shown(page) == 3)
    assert sorted(read_image_settings(path).values["prompt"] for path in root.rglob("*.png")) == [
        "a Würstchen",
        "a Würstchen",
        "a green pear",
    ]


def test_the_history_has_pages_and_on_a_phone_nothing_scrolls_sideways(keeping, root, visit):
    write_album(root, [f"a cat {k} {'W' * 60}" for k in range(30)])
    page = visit(keeping, 390, 844, has_touch=True)
    page.get_by_role("tab", name="History").click()
    wait_until(lambda: shown(page) == 24)
    page.locator("#history-older").click()
    wait_until(lambda: shown(page) == 6)
    expect(page.locator("#history-older")).to_be_disabled()
    page.locator("#history-gallery .thumbnail-lg").first.click()
    page.locator("#history-use").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_unusable_history_folder_loses_no_image(keeping, root, visit):
    root.write_text("a file in its place")
    page = visit(keeping)
    draw(page, "a cat")
    wait_for_pictures(page, 1)
    page.locator("#recipe", has_text="Not in the history").wait_for()
    page.get_by_role("tab", name="History").click()
    page.locator("#history-said .trouble").wait_for()
    expect(page.locator("#history-said")).to_contain_text("choose another")
    root.unlink()
    page.get_by_role("tab", name="Draw").click()
    draw(page, "a dog")
    page.get_by_role("tab", name="History").click()
    wait_until(lambda: shown(page) == 1)


def test_without_a_history_there_is_no_tab(instant_page, visit):
    page = visit(instant_page)
    draw(page, "a cat")
    expect(page.get_by_role("tab", name="History")).to_have_count(0)
