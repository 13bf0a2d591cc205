"""Screenshots of the real web UI for assets/screenshots: `python -m tests.e2e.screenshots [options of wuerst page]`."""

from __future__ import annotations

import sys
from io import BytesIO
from tempfile import TemporaryDirectory

from PIL import Image

from tests.e2e.browser import ROOT, chromium, start_app, unfold

FOLDER = ROOT / "assets" / "screenshots"
WEBP_QUALITY = 88


def main(options: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, start_app("--output", folder, *options) as address, chromium() as browser:
        for theme in ("light", "dark"):
            page = _open_page(browser, address, theme, 1280, 860)
            if theme == "light":
                _capture(page, "empty")
            _generate(page, images=4)
            page.locator("#status .done").wait_for()
            _capture(page, "page" if theme == "light" else "dark")
        # Enough steps to be seen while it draws.
        page = _open_page(browser, f"{address}?decoder_steps=60", "light", 1280, 860)
        _generate(page, images=4)
        page.locator(".tile img").first.wait_for()
        _capture(page, "drawing")
        page.locator("#status .done").wait_for()
        page = _open_page(browser, address, "light", 1280, 860)
        unfold(page)
        page.locator("#width input[type=number]").fill("300")
        page.locator("#generate").click()
        page.locator("#status .rejected").wait_for()
        _capture(page, "rejected")
        page = _open_page(browser, address, "light", 1280, 1180)
        _generate(page, images=1)
        page.locator("#status .done").wait_for()
        page.get_by_role("tab", name="How it works").click()
        page.locator("#explain-status .done").wait_for()
        page.locator("#account .scrub input").focus()
        for _ in range(2):  # the second last of the decoder's steps
            page.keyboard.press("ArrowLeft")
        _capture(page, "stages")
        _capture_latent_editor(page)
        page.get_by_role("tab", name="Compare").click()
        page.locator("#compare-go").click()
        page.locator("#compare-status .done").wait_for()
        _capture(page, "compare")
        _capture_neighbors(browser, address)
        _capture_history(browser, address)
        page = _open_page(browser, address, "light", 390, 844)
        _generate(page, images=1)
        page.locator("#status .done").wait_for()
        _capture(page, "phone")


def _capture_latent_editor(page):
    """Maps of the prior's result, one of them set to 0, and what the decoder makes of them."""
    page.locator(".latent-editor summary").click()
    changed = page.locator(".editing .changed img[src]")
    changed.wait_for()
    before = changed.get_attribute("src")
    page.locator(".maps label").nth(4).click()
    page.locator("[data-edit=zero]").click()
    page.wait_for_function("before => document.querySelector('.changed img').src !== before", arg=before)
    page.locator(".latent-editor").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.latent-editor').scrollIntoView()")
    _capture(page, "latent-editor")
    page.evaluate("scrollTo(0, 0)")


def _capture_neighbors(browser, address):
    """The 3 x 3 sheet around a picture."""
    page = _open_page(browser, address, "light", 1280, 1180)
    _generate(page, images=1)
    page.locator("#status .done").wait_for()
    page.locator("#neighbors").click()
    page.locator("#neighbor-sheet .cells button").nth(8).wait_for()
    page.locator("#generate:enabled").wait_for()
    page.evaluate("scrollTo(0, 0)")
    _capture(page, "neighbours")


def _capture_history(browser, address):
    """The History tab with images of every example, one of them selected, which is a favourite."""
    page = _open_page(browser, address, "light", 1280, 1000)
    examples = page.locator("#examples button").all_inner_texts()
    for example in examples:
        page.locator("#prompt textarea").fill(example)
        page.locator("#images input[type=number]").fill("2")
        page.evaluate("document.querySelector('#status .state').className = 'state'")
        page.locator("#generate").click()
        page.locator("#status .done").wait_for()
    page.get_by_role("tab", name="History").click()
    page.locator("#history-gallery .thumbnail-lg").nth(3).click()
    page.locator("#history-mark").click()
    page.get_by_text("Not a favourite").wait_for()
    _capture(page, "history")


def _open_page(browser, address, theme, width, height):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.set_default_timeout(600_000)
    page = context.new_page()
    page.goto(address)
    page.locator("#summary .count").wait_for()
    return page


def _generate(page, images):
    """Generates images of an example prompt, with a weight on its last word and seed 7."""
    examples = page.locator("#examples button")
    *words, last = (examples.nth(1).inner_text() if examples.count() > 1 else "a red circle").split()
    page.locator("#prompt textarea").fill(" ".join([*words, f"({last})1.3"]))
    page.locator("#spans .highlighted").wait_for()
    page.locator("#images input[type=number]").fill(str(images))
    unfold(page)
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("7")
    page.locator("#generate").click()


def _capture(page, name):
    page.wait_for_timeout(600)  # images fade in
    page.evaluate("document.activeElement.blur()")
    with Image.open(BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(FOLDER / f"{name}.webp", quality=WEBP_QUALITY, method=6)
    print(f"assets/screenshots/{name}.webp")


if __name__ == "__main__":
    main(sys.argv[1:])
