"""The stream of Gradio's answers, whose end may be on its way when the next event is sent."""

from __future__ import annotations

import pytest

from tests.e2e.test_page import draw, finished, forget

pytestmark = pytest.mark.slow
HOLD_END = """
const send = window.fetch;
window.fetch = async (...request) => {
    const response = await send(...request);
    if (!String(request[0].url).includes("/queue/data")) return response;
    const held = new TransformStream({ transform: async (text, reader) => {
        const end = window.holdsEnd ? text.search(/data: {"msg": ?"close_stream"/) : -1;
        reader.enqueue(text.slice(0, end < 0 ? undefined : end));
        if (end < 0) return;
        window.endHeld = true;
        await new Promise((released) => { window.releaseEnd = released; });
        reader.enqueue(text.slice(end));
    }});
    const decoded = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(held);
    return new Response(decoded.pipeThrough(new TextEncoderStream()), response);
};
"""
"""Holds the end of a stream while `holdsEnd` is set."""


def test_an_event_that_is_sent_while_the_stream_ends_is_answered(instant_page, browser):
    with browser.new_context() as context:
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.add_init_script(HOLD_END)
        page.goto(instant_page)
        page.locator("#summary .count").wait_for()
        page.evaluate("window.holdsEnd = true")
        draw(page, "a cat")
        page.wait_for_function("window.endHeld")
        page.evaluate("window.holdsEnd = false")
        page.locator("#generate:enabled").wait_for()
        forget(page)
        with page.expect_response("**/queue/join*"):
            page.locator("#generate").click()
        page.wait_for_timeout(100)  # the page has seen that its event is waiting
        page.evaluate("window.releaseEnd()")
        finished(page)
