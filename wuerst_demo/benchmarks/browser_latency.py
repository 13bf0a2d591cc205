"""Waiting times of a user in Chromium: for the page, the report of a prompt, a generated picture, and live pictures."""

import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from wuerst_demo.errors import SettingsError

PROMPT_LENGTHS = (30, 100, 300)
TYPISTS = (1, 4)
TYPING_MS = 5000
_PROMPT = "a small red fox in the deep white snow under a dark sky with stars above the mountains and the sea " * 9
_WORDS = ["a cat", "two dogs", "a lion", "a castle", "three pumpkins", "a robot", "an owl", "a fox"]


def measure_browser(address: str, repeats: int) -> dict[str, float]:
    """Medians in seconds, and live pictures a second. Raises SettingsError without Playwright or Chromium."""
    with _chromium() as browser:
        visits = [_measure_visit(browser, address) for _ in range(repeats)]
        page = _open(browser, address)
        reports = {length: [_measure_report(page, length, k) for k in range(repeats)] for length in PROMPT_LENGTHS}
        pictures = [_measure_generation(page, address, k) for k in range(1 + repeats)][1:]
        page.locator("#live input").check()
        page.locator("#live-view img[src]").wait_for()
        live = [_measure_live(page, address, k) for k in range(1 + repeats)][1:]
        rates = {count: _measure_typists(browser, address, count) for count in TYPISTS}
    facts = {"first visit, s": visits[0], "later first visits, median s": median(visits[1:])}
    for name, summarize in (("median", median), ("longest", max)):
        facts |= {f"report of {length} characters, {name} s": summarize(times) for length, times in reports.items()}
    for name, times in (("click to picture", pictures), ("key press to live picture", live)):
        facts[f"{name}, median s"] = median(whole for whole, _ in times)
        facts[f"{name}, beyond the engine, median s"] = median(beyond for _, beyond in times)
    facts |= {f"live pictures a second, {count} typing at once": rate for count, rate in rates.items()}
    return {name: round(value, 3) for name, value in facts.items()}


@contextmanager
def _chromium() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SettingsError("--browser needs Playwright: pip install playwright.") from error
    if executable is None:
        raise SettingsError("--browser needs Chromium, and there is none: install Debian's chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def _open(browser: Any, address: str) -> Any:
    """A page of a new client that has come to rest."""
    page = browser.new_context().new_page()
    page.goto(address)
    page.locator("#summary .count").wait_for()
    page.wait_for_timeout(1000)
    return page


def _script(name: str) -> str:
    """A function in JavaScript."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _measure_visit(browser: Any, address: str) -> float:
    """Seconds from the address to a page with its prompt report, for a browser without a cache."""
    with browser.new_context() as context:
        page, start = context.new_page(), time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator("#summary .count").wait_for()
        return time.perf_counter() - start


def _measure_report(page: Any, length: int, number: int) -> float:
    """Seconds from a prompt of `length` characters, another for each `number`, to the report under it."""
    script = _script("type_prompt.js")
    page.evaluate(script, f"{number} and {number}" if number % 2 else f"{number}")  # so that the token count changes
    page.wait_for_timeout(400)
    milliseconds: float = page.evaluate(script, _PROMPT[number * 3 :][:length])
    page.wait_for_timeout(400)
    return milliseconds / 1000


def _measure_generation(page: Any, address: str, number: int) -> tuple[float, float]:
    """Seconds from the click to the visible picture of a prompt of its own, and those beyond the engine's steps."""
    page.locator("#prompt textarea").fill(f"a fox in the snow at night, {number}")
    page.wait_for_timeout(1000)
    steps_s = engine_seconds(address)
    seconds: float = page.evaluate(_script("measure_generation.js")) / 1000
    page.wait_for_timeout(1000)
    return seconds, seconds - (engine_seconds(address) - steps_s)


def _measure_live(page: Any, address: str, number: int) -> tuple[float, float]:
    """The same from a key press to the live picture, in the pause before it is finished."""
    steps_s = engine_seconds(address)
    seconds: float = page.evaluate(_script("measure_live.js"), f"a fox in the snow at night, {number} ") / 1000
    beyond_s = seconds - (engine_seconds(address) - steps_s)
    page.wait_for_timeout(2500)  # it is finished
    return seconds, beyond_s


def _measure_typists(browser: Any, address: str, count: int) -> float:
    """Live pictures a second, all together, while so many users type on for TYPING_MS."""
    pages = [_open(browser, address) for _ in range(count)]
    for page in pages:
        page.locator("#prompt textarea").fill(_WORDS[0])
        page.locator("#live input").check()
        page.locator("#live-view img[src]").wait_for()
    script = _script("type_live.js")
    for number, page in enumerate(pages):
        words = [*_WORDS[number:], *_WORDS[:number]]
        page.evaluate(f"(typed) => {{ window.pictures = ({script})(typed); }}", [words, TYPING_MS])  # not awaited
    total = sum(page.evaluate("window.pictures") for page in pages)
    for page in pages:
        page.context.close()
    return float(total) / (TYPING_MS / 1000)


def engine_seconds(address: str) -> float:
    """Seconds of all engine steps so far."""
    with urllib.request.urlopen(f"{address}metrics", timeout=60) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(r"^wuerst_turn_seconds_sum{.*} (\S+)$", text, re.MULTILINE)))
