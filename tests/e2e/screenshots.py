"""Takes the page's screenshots into assets/screenshots: `python -m tests.e2e.screenshots [options of app.py]`.

The page is the real one, started as a person starts it, on the checkpoint that ships or the one the options name.
"""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

from tests.e2e.opening import ROOT, chromium, started

FOLDER = ROOT / "assets" / "screenshots"


def main(options: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as kept, started("--output", kept, *options) as address, chromium() as browser:
        for theme in ("light", "dark"):
            page = _visitor(browser, address, theme, 1280, 860)
            if theme == "light":
                _shoot(page, "empty")
            _ask(page, images=4)
            if theme == "light":
                page.locator(".tile img").first.wait_for()
                _shoot(page, "drawing")
            page.locator("#status .done").wait_for()
            _shoot(page, "page" if theme == "light" else "dark")
        page = _visitor(browser, address, "light", 1280, 860)
        page.locator("#width input[type=number]").fill("300")
        page.locator("#generate").click()
        page.locator("#status .refused").wait_for()
        _shoot(page, "refused")
        page = _visitor(browser, address, "light", 1280, 1180)
        _ask(page, images=1)
        page.locator("#status .done").wait_for()
        page.get_by_role("tab", name="How it works").click()
        page.locator("#explain-status .done").wait_for()
        page.locator("#account input[type=range]").focus()
        for _ in range(2):  # the last but one of the decoder's steps
            page.keyboard.press("ArrowLeft")
        _shoot(page, "stages")
        page.get_by_role("tab", name="Compare").click()
        page.locator("#compare-go").click()
        page.locator("#compare-status .done").wait_for()
        _shoot(page, "compare")
        history(browser, address)
        page = _visitor(browser, address, "light", 390, 844)
        _ask(page, images=1)
        page.locator("#status .done").wait_for()
        _shoot(page, "phone")


def history(browser, address):
    """The History tab with every example drawn, one picture open, which is a favourite."""
    page = _visitor(browser, address, "light", 1280, 1000)
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
    _shoot(page, "history")


def _visitor(browser, address, theme, width, height):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.set_default_timeout(600_000)
    page = context.new_page()
    page.goto(address)
    page.locator("#summary .count").wait_for()
    return page


def _ask(page, images):
    """A prompt of the checkpoint's own, with its last word stressed, drawn with seed 7."""
    examples = page.locator("#examples button")
    *words, last = (examples.nth(1).inner_text() if examples.count() > 1 else "a red circle").split()
    page.locator("#prompt textarea").fill(" ".join([*words, f"({last})1.3"]))
    page.locator("#spans .highlighted").wait_for()
    page.locator("#images input[type=number]").fill(str(images))
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("7")
    page.locator("#generate").click()


def _shoot(page, name):
    page.wait_for_timeout(600)  # pictures fade in
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=FOLDER / f"{name}.png")
    print(f"assets/screenshots/{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
