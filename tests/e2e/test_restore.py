"""Settings restored from dropped image files and links, in a browser, over a fake pipeline."""

from __future__ import annotations

import json
import re
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect

from tests.e2e.browser import unfold
from tests.e2e.test_page import draw, finished, forget, seed_shown
from tests.fakes import server
from tests.fakes.server import wait_until
from tests.fakes.web import LIMITS
from wuerst_demo.images.metadata import build_png_info
from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES
from wuerst_demo.web.shared.share_link import encode_link

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
    "sampler": "ddim",
    "guidance_from": 0.2,
    "guidance_to": 0.65,
}


def file(data: bytes, name="picture.png"):
    return {"name": name, "mimeType": "image/png", "buffer": data}


def png(pnginfo=None):
    written = BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG", pnginfo=pnginfo)
    return written.getvalue()


def drop(page, data):
    page.locator("#drop input[type=file]").set_input_files(file(data))


def downloaded(page, link=0):
    """The content of a file offered for download, counted from 0, or from -1 at the end."""
    with page.expect_download() as download:
        page.locator("#files a").nth(link).click()
    return Path(download.value.path()).read_bytes()


def came(page):
    return page.locator("#came").inner_text()


def drawn_as(page, pipeline):
    """The request that Generate submits with the present settings."""
    before = len(pipeline.requests)
    forget(page)
    page.locator("#generate").click()
    wait_until(lambda: len(pipeline.requests) > before)
    finished(page)
    return pipeline.requests[-1]


def test_a_dropped_image_restores_its_settings_exactly(address, pipeline, visit):
    page = visit(address)
    request = LIMITS.request(ASKED)
    drop(page, png(build_png_info(request, "cocktail")))
    page.locator("#came", has_text="Settings from a picture by wuerst_demo").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value(request.prompt)
    assert drawn_as(page, pipeline) == request
    assert page.evaluate("window.hurt") is None


def test_an_image_dropped_on_its_own_page_stays_downloadable(instant_page, visit):
    page = visit(instant_page)
    draw(page, "a red apple")
    link = page.locator("#files a").first
    with page.expect_download() as download:
        link.click()
    data = Path(download.value.path()).read_bytes()
    page.locator("#drop input[type=file]").set_input_files(file(data, download.value.suggested_filename))
    page.locator("#came", has_text="Settings from a picture").wait_for()
    assert server.get(link.get_attribute("href")).content == data


def test_a_dropped_file_is_deleted_at_once(address, visit):
    page = visit(address)
    with page.expect_response(re.compile(r"/upload(\?|$)")) as uploaded:
        drop(page, png())
    page.locator("#came p, #came li").first.wait_for()
    (path,) = uploaded.value.json()
    assert not Path(path).exists()


def test_a_downloaded_image_can_be_generated_again(instant_page, visit):
    page = visit(instant_page)
    draw(page, "a red apple")
    seed = seed_shown(page)
    data = downloaded(page)
    other = visit(instant_page)
    drop(other, data)
    other.locator("#came", has_text="Settings from a picture").wait_for()
    draw(other, other.locator("#prompt textarea").input_value())
    assert seed_shown(other) == seed
    assert downloaded(other) == data


def test_an_image_can_be_dropped_anywhere_on_the_page(address, pipeline, visit):
    page = visit(address)
    page.get_by_role("tab", name="Compare").click()
    request = LIMITS.request(ASKED)
    dropped = page.evaluate_handle(
        """bytes => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}));
            return dropped;
        }""",
        list(png(build_png_info(request))),
    )
    page.dispatch_event("#header", "drop", {"dataTransfer": dropped})
    page.locator("#came", has_text="Settings from a picture").wait_for()
    assert drawn_as(page, pipeline) == request


def test_an_unusable_file_gets_a_message_and_the_next_one_works(instant_page, visit):
    bomb = bytearray(png())
    bomb[16:24] = (20_000).to_bytes(4) * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    page = visit(instant_page)
    for data, says in (
        (b"PK\x03\x04" + b"\0" * 1000, "not a PNG"),
        (bytes(bomb), "20000 x 20000 pixels"),
        (png(), "contains no settings"),
    ):
        drop(page, data)
        page.locator("#came", has_text=says).wait_for()
        expect(page.locator("#came li")).to_have_count(1)
    drop(page, png(build_png_info(LIMITS.request({"prompt": "a cat"}))))
    page.locator("#came", has_text="Settings from a picture").wait_for()
    draw(page, "a cat")


FOREIGN = Path(__file__).parents[1] / "fixtures" / "foreign_images"


def padded(data, kind):
    """An image file of MAX_UPLOAD_BYTES whose pixels take all but the first part of it."""
    missing = MAX_UPLOAD_BYTES - len(data)
    if kind == "png":
        end = data.index(b"IEND") - 4
        idat = b"IDAT" + bytes(missing - 12)
        return data[:end] + (missing - 12).to_bytes(4) + idat + zlib.crc32(idat).to_bytes(4) + data[end:]
    if kind == "webp":
        return data + b"JUNK" + (missing - 8).to_bytes(4, "little") + bytes(missing - 8)
    return data + bytes(missing)


@pytest.mark.parametrize(("name", "kind"), [("a1111.jpg", "jpg"), ("a1111.webp", "webp"), ("a1111_plain.png", "png")])
def test_an_image_of_64_mib_restores_its_settings_and_a_larger_one_gets_a_sentence(
    visit, instant_page, tmp_path, name, kind
):
    page = visit(instant_page)
    large, path = padded((FOREIGN / name).read_bytes(), kind), tmp_path / f"large.{kind}"
    assert len(large) == MAX_UPLOAD_BYTES
    for data, says in (
        (large + b"\0", "The file is larger than 64 MiB"),
        (large, "Settings from a picture by another program"),
    ):
        path.write_bytes(data)
        page.locator("#drop input[type=file]").set_input_files(path)
        page.locator("#came", has_text=says).wait_for()
        assert page.locator(".toast-body").count() == 0
    assert page.locator("#prompt textarea").input_value().startswith("a red barn")
    assert seed_shown(page) == 1234567


def test_a_file_that_is_too_large_is_named_wherever_it_is_dropped(visit, instant_page):
    page = visit(instant_page, locale="de-DE")
    page.get_by_role("tab", name="Vergleichen").click()
    for target in ("#header", "#drop button"):
        dropped = page.evaluate_handle(
            """size => {
                const dropped = new DataTransfer();
                dropped.items.add(new File([new Uint8Array(size)], "a.png", {type: "image/png"}));
                return dropped;
            }""",
            MAX_UPLOAD_BYTES + 1,
        )
        page.dispatch_event(target, "drop", {"dataTransfer": dropped})
        page.locator("#came", has_text="Die Datei ist größer als 64 MiB").wait_for()
        drop(page, png(build_png_info(LIMITS.request({"prompt": "a cat"}))))
        page.locator("#came", has_text="Einstellungen").wait_for()


def test_another_programs_image_restores_what_is_valid_and_notes_the_rest(address, pipeline, visit):
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
    request = drawn_as(page, pipeline)
    assert (request.prompt, request.seed, request.prior_steps) == ("<i>a cat</i>", 5, 9)


def test_a_link_restores_a_request(address, pipeline, visit):
    request = LIMITS.request(ASKED)
    page = visit(address + encode_link(request, LIMITS))
    page.locator("#came", has_text="Settings from the link.").wait_for()
    assert drawn_as(page, pipeline) == request


def test_a_partly_wrong_link_restores_the_valid_part(instant_page, visit):
    evil = "%3Cimg%20src%3Dx%20onerror%3D%22window.hurt%3D1%22%3E"
    page = visit(f"{instant_page}?prompt={evil}&seed=-2&width=300&height=384&{evil}=1&prior_steps=")
    page.locator("#came", has_text="Settings from the link.").wait_for()
    expect(page.locator("#came li")).to_have_count(4)
    for said in ("Seed is -2", "Width is 300", "There is no setting", "Prior steps must be"):
        assert said in came(page)
    assert page.locator("#prompt textarea").input_value().startswith("<img")
    expect(page.locator("#height input[type=number]")).to_have_value("384")
    expect(page.locator("#seed input")).to_have_value("")
    assert page.evaluate("window.hurt") is None
    expect(page.locator("#came img")).to_have_count(0)


def hold_settings(page):
    """Holds the event that brings the settings of a page; a list of its route, to be continued."""
    held = []

    def hold(route):
        data = route.request.post_data_json["data"]
        brings = len(data) == 3 and all(isinstance(each, str) for each in data[:2])
        return held.append(route) if brings and not held else route.continue_()

    page.route("**/run/predict*", hold)
    page.route("**/queue/join*", hold)
    return held


def wait_for_held(page, held):
    for _ in range(600):
        if not held:
            page.wait_for_timeout(100)
    assert held


@pytest.fixture
def opened(browser):
    """Opens a page that is not waited for."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(60_000)
        yield context.new_page()


def test_generate_waits_for_the_settings_of_a_link(address, pipeline, opened):
    request = LIMITS.request(ASKED)
    held = hold_settings(opened)
    opened.goto(address + encode_link(request, LIMITS))
    wait_for_held(opened, held)
    opened.locator("#summary .count").wait_for()
    for _ in range(2):
        opened.locator("#generate").click()
    opened.wait_for_timeout(500)
    assert pipeline.requests == []
    held[0].continue_()
    finished(opened)
    assert pipeline.requests == [request]


def test_what_is_typed_before_the_settings_of_a_link_stays(address, pipeline, opened):
    held = hold_settings(opened)
    opened.goto(address + encode_link(LIMITS.request(ASKED), LIMITS))
    wait_for_held(opened, held)
    opened.locator("#prompt textarea").press_sequentially("a fox")
    opened.locator("#images input[type=number]").fill("3")
    opened.locator("#prompt textarea").press("Shift+Enter")
    held[0].continue_()
    opened.locator("#came", has_text="Settings from the link.").wait_for()
    finished(opened)
    assert pipeline.requests == [LIMITS.request({**ASKED, "prompt": "a fox", "images": 3})]
    expect(opened.locator("#prompt textarea")).to_have_value("a fox")


def test_generate_waits_for_the_settings_of_an_earlier_visit(address, pipeline, opened):
    opened.goto(address)
    opened.locator("#summary .count").wait_for()
    opened.locator("#prompt textarea").fill("a red apple")
    unfold(opened)
    opened.locator("#negative-prompt textarea").fill("rain")
    kept = "JSON.parse(sessionStorage.getItem('wuerst-draft'))[1].negative_prompt"
    opened.wait_for_function(f"{kept} === 'rain'")
    held = hold_settings(opened)
    opened.reload()
    wait_for_held(opened, held)
    opened.locator("button.fold").first.wait_for()
    unfold(opened)
    opened.locator("#negative-prompt textarea").fill("snow")
    opened.locator("#generate").click()
    held[0].continue_()
    finished(opened)
    assert [(each.prompt, each.negative_prompt) for each in pipeline.requests] == [("a red apple", "snow")]


def test_generate_works_when_the_settings_of_a_page_fail(address, pipeline, opened):
    held = hold_settings(opened)
    opened.goto(f"{address}?prompt=a%20cat")
    wait_for_held(opened, held)
    opened.locator("#prompt textarea").fill("a fox")
    unfold(opened)
    opened.locator("#new-seed input").uncheck()  # the empty seed is one at random
    opened.locator("#generate").click()
    held[0].fulfill(status=500, json={"error": None})
    finished(opened)
    assert [each.prompt for each in pipeline.requests] == ["a fox"]
