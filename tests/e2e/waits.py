"""`python -m tests.e2e.waits [options of app.py]`: what a visitor waits for in a browser, before anything is drawn.

Measures on the page itself: from the address to the page that answers, and from the last letter of a prompt to its
read-out. Prints a table and one last line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from tests.e2e.opening import chromium, started

TIMES = 7
LENGTHS = (30, 100, 300)
WORDS = "a small red fox in the deep white snow under a dark sky with stars above the mountains and the sea "
# Types as a person does who pauses then: one event, and the time until the line under the prompt says something else.
TYPED = """text => new Promise(resolve => {
    const field = document.querySelector('#prompt textarea'), line = document.querySelector('#summary');
    const said = () => line.querySelector('.prose')?.innerText ?? '';
    const before = said(), began = performance.now();
    new MutationObserver((_, seen) => {
        if (!said() || said() === before) return;
        seen.disconnect();
        resolve(performance.now() - began);
    }).observe(line, {childList: true, subtree: true, characterData: true});
    field.value = text;
    field.dispatchEvent(new Event('input', {bubbles: true}));
})"""


def main(options: list[str]) -> None:
    with started(*options) as address, chromium() as browser:
        rendered = [_rendered(browser, address) for _ in range(TIMES)]
        page = browser.new_page()
        page.goto(address)
        page.locator("#summary .count").wait_for()
        page.wait_for_timeout(1000)
        read = {length: [_read(page, length, k) for k in range(TIMES)] for length in LENGTHS}
    rows = {
        "the first visit, until the page answers": rendered[0],
        "another visitor's first, median": statistics.median(rendered[1:]),
        **{f"the read-out of {length} characters, median": statistics.median(read[length]) for length in LENGTHS},
        **{f"the read-out of {length} characters, longest": max(read[length]) for length in LENGTHS},
    }
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.2f} s |")
    print(json.dumps({name: round(seconds, 3) for name, seconds in rows.items()}))


def _rendered(browser, address: str) -> float:
    """Seconds from the address to a page whose read-out is there, for a browser that has never been here."""
    context = browser.new_context()
    page = context.new_page()
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator("#summary .count").wait_for()
    took = time.perf_counter() - began
    context.close()
    return took


def _read(page, length: int, k: int) -> float:
    """Seconds from a prompt of that many characters, another each time, to what stands under it."""
    page.evaluate(TYPED, f"{k} and {k}" if k % 2 else f"{k}")  # few tokens, so that the next count is another one
    page.wait_for_timeout(400)
    took = page.evaluate(TYPED, (WORDS * 9)[k * 3 :][:length])
    page.wait_for_timeout(400)
    return took / 1000


if __name__ == "__main__":
    main(sys.argv[1:])
