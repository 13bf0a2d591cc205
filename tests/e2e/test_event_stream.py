"""The stream of Gradio's answers, whose end may be on its way when the next event is sent."""

from __future__ import annotations

import pytest

from tests.e2e.test_page import PICTURES, draw, finished, forget

pytestmark = pytest.mark.slow
HOLD_END = """
const send = window.fetch;
window.openStreams = 0;
window.fetch = async (...request) => {
    const response = await send(...request);
    if (!String(request[0].url).includes("/queue/data")) return response;
    window.openStreams++;
    let generated = false;
    const held = new TransformStream({ transform: async (text, reader) => {
        generated ||= window.holdsEnd && text.includes("process_generating");
        const end = text.search(/data: {"msg": ?"close_stream"/);
        if (end < 0) return reader.enqueue(text);
        reader.enqueue(text.slice(0, end));
        if (generated) {
            window.endHeld = true;
            await new Promise((released) => { window.releaseEnd = released; });
        }
        reader.enqueue(text.slice(end));
        window.openStreams--;
    }});
    const decoded = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(held);
    return new Response(decoded.pipeThrough(new TextEncoderStream()), response);
};
"""
"""While `holdsEnd` is set, holds the end of a stream in which something was generated."""
HIDE_TAB = """
let hidden = false;
const send = window.fetch, later = window.setTimeout;
Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
window.setTimeout = (act, ms, ...rest) => later(act, window.hides && !ms ? 1000 : ms, ...rest);
window.fetch = async (...request) => {
    const response = await send(...request);
    if (!String(request[0].url).includes("/queue/data")) return response;
    const watched = new TransformStream({ transform: async (text, reader) => {
        for (const message of text.split(/(?<=\\n\\n)/)) {
            reader.enqueue(message);
            if (!window.hides || hidden || !message.includes("process_generating")) continue;
            await new Promise((on) => later(on, 100)); // the page has set a timer for the message
            hidden = true;
        }
    }});
    const decoded = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(watched);
    return new Response(decoded.pipeThrough(new TextEncoderStream()), response);
};
"""
"""Once `hides` is set, hides the tab after the first answer of the next event: the timers of a hidden tab are late."""


def test_an_event_that_is_sent_while_the_stream_ends_is_answered(instant_page, visit):
    page = visit(instant_page, script=HOLD_END)
    draw(page, "a cat")
    page.wait_for_function("window.openStreams === 0")
    page.evaluate("window.holdsEnd = true")
    draw(page, "a dog")
    page.wait_for_function("window.endHeld")
    page.evaluate("window.holdsEnd = false")
    page.locator("#generate:enabled").wait_for()
    forget(page)
    with page.expect_response("**/queue/join*"):
        page.locator("#generate").click()
    page.wait_for_timeout(100)  # the page has seen that its event is waiting
    page.evaluate("window.releaseEnd()")
    finished(page)


def test_answers_keep_their_order_when_the_tab_is_hidden_between_them(instant_page, visit):
    page = visit(instant_page, script=HIDE_TAB)
    page.evaluate("window.hides = true")
    draw(page, "a cat")
    page.locator(PICTURES).wait_for()
