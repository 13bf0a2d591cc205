"""What a visitor does with settings and pictures that come back: a dropped PNG, a link, the history."""

from __future__ import annotations

import json
import re
import time
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.e2e import web
from tests.e2e.opening import opened
from tests.e2e.test_page import PICTURES, draw, seed_shown, settled
from tests.history.fakes import album
from tests.ui.fakes import LIMITS, studio
from wuerst_demo.history.history import History
from wuerst_demo.metadata import from_png, to_png_text
from wuerst_demo.settings import Settings
from wuerst_demo.ui.links import link

pytestmark = pytest.mark.slow

ASKED = {
    "prompt": 'ein "Würstchen",\n  <b>fett</b>  \N{GRINNING FACE}',
    "negative_prompt": "dog, (wolf)1.2",
    "weighting": False,
    "width": 384,
    "height": 512,
    "images": 2,
    "seed": 4294967295,
    "prior_steps": 7,
    "prior_schedule": "linear",
    "prior_guidance": 3.3,
    "decoder_steps": 5,
    "decoder_guidance": 1.5,
}


def file(data: bytes, name="picture.png"):
    return {"name": name, "mimeType": "image/png", "buffer": data}


def png(pnginfo=None):
    written = BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG", pnginfo=pnginfo)
    return written.getvalue()


def drop(page, data):
    page.locator("#drop input[type=file]").set_input_files(file(data))


def came(page):
    return page.locator("#came").inner_text()


def drawn_as(page, painter):
    """The request that the page asks for when it is told to draw as it stands."""
    before = len(painter.asked)
    page.locator("#generate").click()
    settled(lambda: len(painter.asked) > before)
    page.locator("#status .done").wait_for()
    return painter.asked[-1]


def test_a_dropped_picture_brings_its_settings_back_character_by_character(address, painter, visit):
    page = visit(address)
    request = LIMITS.request(ASKED)
    drop(page, png(to_png_text(request, "cocktail")))
    page.locator("#came", has_text="Settings from a picture by wuerst_demo").wait_for()
    assert page.locator("#prompt textarea").input_value() == request.prompt
    assert drawn_as(page, painter) == request
    assert page.evaluate("window.hurt") is None


def test_a_picture_that_is_dropped_on_its_own_page_stays_to_be_downloaded(quick, visit):
    page = visit(quick)
    draw(page, "a red apple")
    link = page.locator("#files a").first
    with page.expect_download() as download:
        link.click()
    data = Path(download.value.path()).read_bytes()
    page.locator("#drop input[type=file]").set_input_files(file(data, download.value.suggested_filename))
    page.locator("#came", has_text="Settings from a picture").wait_for()
    assert web.get(link.get_attribute("href")).content == data


def test_a_dropped_file_is_gone_at_once(address, visit):
    page = visit(address)
    with page.expect_response(re.compile(r"/upload(\?|$)")) as uploaded:
        drop(page, png())
    page.locator("#came p, #came li").first.wait_for()
    (path,) = uploaded.value.json()
    assert not Path(path).exists()


def test_a_picture_that_was_just_downloaded_draws_itself_again(quick, visit):
    page = visit(quick)
    draw(page, "a red apple")
    seed = seed_shown(page)
    with page.expect_download() as download:
        page.locator("#files a").first.click()
    data = Path(download.value.path()).read_bytes()
    other = visit(quick)
    drop(other, data)
    other.locator("#came", has_text="Settings from a picture").wait_for()
    draw(other, other.locator("#prompt textarea").input_value())
    assert seed_shown(other) == seed
    with other.expect_download() as download:
        other.locator("#files a").first.click()
    assert Path(download.value.path()).read_bytes() == data


def test_a_picture_may_be_dropped_anywhere_on_the_page(address, painter, visit):
    page = visit(address)
    page.get_by_role("tab", name="Compare").click()
    request = LIMITS.request(ASKED)
    dropped = page.evaluate_handle(
        """bytes => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}));
            return dropped;
        }""",
        list(png(to_png_text(request))),
    )
    page.dispatch_event("#header", "drop", {"dataTransfer": dropped})
    page.locator("#came", has_text="Settings from a picture").wait_for()
    assert drawn_as(page, painter) == request


def test_what_is_dropped_and_cannot_be_used_gets_a_sentence_and_the_next_file_works(quick, visit):
    bomb = bytearray(png())
    bomb[16:24] = (20_000).to_bytes(4) * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    page = visit(quick)
    for data, says in (
        (b"PK\x03\x04" + b"\0" * 1000, "not a PNG"),
        (bytes(bomb), "20000 x 20000 pixels"),
        (png(), "carries no settings"),
    ):
        drop(page, data)
        page.locator("#came", has_text=says).wait_for()
        assert page.locator("#came li").count() == 1
    drop(page, png(to_png_text(LIMITS.request({"prompt": "a cat"}))))
    page.locator("#came", has_text="Settings from a picture").wait_for()
    draw(page, "a cat")


def test_another_programs_picture_gives_what_is_understood_and_says_what_is_not(address, painter, visit):
    page = visit(address)
    graph = {
        "1": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 9, "sampler_name": "x", "positive": ["2", 0]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "<i>a cat</i>"}},
    }
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    drop(page, png(info))
    page.locator("#came", has_text="sampler_name").wait_for()
    assert "ComfyUI" in came(page)
    request = drawn_as(page, painter)
    assert (request.prompt, request.seed, request.prior_steps) == ("<i>a cat</i>", 5, 9)


def test_a_link_brings_a_request_back(address, painter, visit):
    request = LIMITS.request(ASKED)
    page = visit(address + link(request, LIMITS))
    page.locator("#came", has_text="Settings from the link.").wait_for()
    assert drawn_as(page, painter) == request


def test_a_link_that_is_partly_wrong_gives_what_is_right_and_names_the_rest(quick, visit):
    evil = "%3Cimg%20src%3Dx%20onerror%3D%22window.hurt%3D1%22%3E"
    page = visit(f"{quick}?prompt={evil}&seed=-1&width=300&height=384&{evil}=1&prior_steps=")
    page.locator("#came", has_text="Settings from the link.").wait_for()
    assert page.locator("#came li").count() == 4
    for said in ("Seed is -1", "Width is 300", "There is no setting", "Prior steps must be"):
        assert said in came(page)
    assert page.locator("#prompt textarea").input_value().startswith("<img")
    assert page.locator("#height input[type=number]").input_value() == "384"
    assert page.locator("#seed input").input_value() == ""
    assert page.evaluate("window.hurt") is None
    assert page.locator("#came img").count() == 0


# --------------------------------------------------------------------------------------------------------- history


@pytest.fixture
def root(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture
def keeping(painter, root):
    """The address of a page that keeps its pictures in `root`."""
    with opened(replace(studio(painter), history=History(root))) as address:
        yield address


def shown(page):
    """Wait for the history's pictures and count them."""
    return page.locator("#history-gallery .thumbnail-lg").count()


def test_a_search_waits_for_the_look_at_the_folder_that_came_before_it(keeping, visit, monkeypatch):
    page = visit(keeping)
    for prompt in ("a red apple", "a green pear"):
        draw(page, prompt)
    search = page.locator("#history-search textarea, #history-search input").first
    page.get_by_role("tab", name="History").click()
    settled(lambda: shown(page) == 2)
    search.fill("apple")
    settled(lambda: shown(page) == 1)
    page.get_by_role("tab", name="Draw").click()
    draw(page, "a blue car")
    look = History.look

    def slow(self):
        time.sleep(2)
        return look(self)

    monkeypatch.setattr(History, "look", slow)
    page.get_by_role("tab", name="History").click()
    search.fill("")
    settled(lambda: shown(page) == 3, 10)


def test_what_was_drawn_is_found_searched_marked_used_again_and_deleted(keeping, painter, root, visit):
    page = visit(keeping)
    for prompt in ("a red apple", "a green pear", "a Würstchen"):
        draw(page, prompt)
    assert len(list(root.rglob("*.png"))) == 3
    page.get_by_role("tab", name="History").click()
    page.locator("#history-said", has_text="1 to 3 of 3 pictures").wait_for()
    settled(lambda: shown(page) == 3)
    page.locator("#history-search textarea, #history-search input").first.fill("wurst")
    settled(lambda: shown(page) == 1)
    page.locator("#history-gallery .thumbnail-lg").click()
    page.locator("#history-details", has_text="a Würstchen").wait_for()
    page.locator("#history-mark").click()
    settled(lambda: list(root.rglob("*.favourite")) != [])
    page.locator("#history-mark", has_text="Not a favourite").wait_for()

    page.locator("#history-search textarea, #history-search input").first.fill("")
    settled(lambda: shown(page) == 3)
    page.locator("#history-favourites input").check()
    settled(lambda: shown(page) == 1)
    page.locator("#history-gallery .thumbnail-lg").click()
    page.locator("#history-use").click()
    page.locator("#generate").wait_for()
    settled(lambda: page.locator("#prompt textarea").input_value() == "a Würstchen")
    assert drawn_as(page, painter) == painter.asked[2]

    page.get_by_role("tab", name="History").click()
    page.locator("#history-gallery .preview").wait_for(state="detached")  # nothing is chosen any more
    page.locator("#history-favourites input").uncheck()
    settled(lambda: shown(page) == 4)
    page.locator("#history-gallery .thumbnail-lg").last.click()
    page.locator("#history-details", has_text="a red apple").wait_for()
    page.locator("#history-delete").dblclick(delay=200)
    page.wait_for_timeout(500)
    assert len(list(root.rglob("*.png"))) == 4
    if not page.locator("#history-keep").is_visible():
        page.locator("#history-delete").click()
    page.locator("#history-keep").wait_for()
    page.locator("#history-delete", has_text="for good").click()
    settled(lambda: shown(page) == 3)
    assert sorted(from_png(path).values["prompt"] for path in root.rglob("*.png")) == [
        "a Würstchen",
        "a Würstchen",
        "a green pear",
    ]


def test_a_history_is_paged_and_on_a_phone_nothing_scrolls_sideways(keeping, root, visit):
    album(root, [f"a cat {k} {'W' * 60}" for k in range(30)])
    page = visit(keeping, 390, 844, has_touch=True)
    page.get_by_role("tab", name="History").click()
    settled(lambda: shown(page) == 24)
    page.locator("#history-older").click()
    settled(lambda: shown(page) == 6)
    assert page.locator("#history-older").is_disabled()
    page.locator("#history-gallery .thumbnail-lg").first.click()
    page.locator("#history-use").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_folder_that_takes_no_pictures_costs_no_drawing(keeping, root, visit):
    root.write_text("a file in its place")
    page = visit(keeping)
    draw(page, "a cat")
    assert page.locator(PICTURES).count() == 1
    assert "Not in the history" in page.locator("#recipe").inner_text()
    page.get_by_role("tab", name="History").click()
    page.locator("#history-said .trouble").wait_for()
    assert "choose another" in page.locator("#history-said").inner_text()
    root.unlink()
    page.get_by_role("tab", name="Draw").click()
    draw(page, "a dog")
    page.get_by_role("tab", name="History").click()
    settled(lambda: shown(page) == 1)


def test_where_nothing_is_kept_there_is_no_history(quick, visit):
    page = visit(quick)
    draw(page, "a cat")
    assert page.get_by_role("tab", name="History").count() == 0


def log_in(context, address, password="secret"):
    page = context.new_page()
    page.goto(address)
    page.locator("input[type=password]").wait_for()
    page.locator("input:not([type=password])").first.fill("me")
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Login").click()
    return page


def test_several_people_behind_one_password_see_nothing_of_each_other(painter, browser):
    with opened(studio(painter), Settings(auth="me:secret")) as address:
        people = [browser.new_context(), browser.new_context()]
        wrong = log_in(people[0], address, "guess")
        wrong.get_by_text("Incorrect").wait_for()
        assert wrong.locator("#generate").count() == 0
        one, other = (log_in(each, address) for each in people)
        for page, prompt in ((one, "a fox of one"), (other, "the others owl")):
            page.locator("#summary .count").wait_for()
            draw(page, prompt)
        picture = one.locator(PICTURES).first.get_attribute("src")
        assert web.get(picture).status_code == 401, "who has not logged in sees no picture"
        for page, theirs in ((one, "the others owl"), (other, "a fox of one")):
            page.reload()
            page.locator("#status .done").wait_for()
            assert page.locator(PICTURES).count() == 1
            assert theirs not in page.content()
            assert page.get_by_role("tab", name="History").count() == 0
        for each in people:
            each.close()
