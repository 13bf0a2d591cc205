"""Other web sites beside the page in a browser, its content security policy, and a proxy in front of it."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.e2e.test_page import PICTURES, draw
from tests.fakes.prefix_proxy import prefix_proxy
from tests.fakes.server import free_port, serve_page
from tests.fakes.web import fake_context
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.settings import Settings

pytestmark = pytest.mark.slow

ATTACK = """async (target) => {
  const got = {};
  for (const [name, path, options] of [
    ["read", "config", {}],
    ["read with cookies", "config", {credentials: "include"}],
    ["call", "gradio_api/call/generate", {method: "POST", body: '{"data": []}',
      headers: {"content-type": "application/json"}}],
    ["assistant", "gradio_api/mcp/", {method: "POST", body: "{}"}],
  ]) got[name] = await fetch(target + path, options).then(async (a) => await a.text(), () => null);
  const form = new FormData();
  form.append("files", new File(["x"], "a.png"));
  for (const [name, path, body] of [["blind upload", "gradio_api/upload", form],
                                    ["blind call", "gradio_api/queue/join", "{}"]])
    await fetch(target + path, {method: "POST", mode: "no-cors", body}).catch(() => null);
  const image = new Image();
  got.image = await new Promise((resolve) => {
    image.onload = () => resolve("shown"); image.onerror = () => resolve(null);
    image.src = target + "favicon.ico";
  });
  const frame = document.createElement("iframe");
  frame.src = target;
  await new Promise((resolve) => { frame.onload = resolve; frame.onerror = resolve; document.body.append(frame); });
  return got;
}"""
WATCH_VIOLATIONS = """window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));"""


def open_page(browser):
    page = browser.new_page()
    page.set_default_timeout(60_000)  # the machine may be busy
    return page


@contextmanager
def other_site():
    """The address of a web site on another port of this machine, with one empty page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever).start()
        yield f"http://{{}}:{site.server_port}/"
        site.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "a.localhost"])
def test_a_page_of_another_site_gets_nothing(browser, instant_page, name):
    port = instant_page.rstrip("/").rpartition(":")[2]
    with other_site() as site:
        page = open_page(browser)
        answers = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(site.format("127.0.0.1"))
        got = page.evaluate(ATTACK, f"http://{name}:{port}/")
        statuses = {answer.status for answer in answers if f":{port}/" in answer.url}
        framed = page.frames[1].evaluate("document.body ? document.body.innerText : ''")
        page.close()
    assert set(got.values()) == {None}
    assert statuses == {403}
    assert "Würstchen" not in framed


def test_a_form_of_another_site_is_rejected(browser, instant_page):
    with other_site() as site:
        page = open_page(browser)
        page.goto(site.format("127.0.0.1"))
        page.evaluate(
            "(action) => {document.body.innerHTML = '<form method=post enctype=text/plain><input name=a></form>';"
            " document.forms[0].action = action}",
            f"{instant_page}gradio_api/queue/join",
        )
        with page.expect_navigation() as gone:
            page.evaluate("document.forms[0].submit()")
        assert gone.value.status == 403
        page.close()


def test_a_link_on_another_site_leads_to_the_page(browser, instant_page):
    with other_site() as site:
        page = open_page(browser)
        page.goto(site.format("127.0.0.1"))
        page.evaluate(
            "(target) => {document.body.innerHTML = `<a href=${target}>page</a>`}", f"{instant_page}?prompt=a+cat"
        )
        page.locator("a").click()
        page.locator("#summary .count").wait_for()
        expect(page.locator("#prompt textarea")).to_have_value("a cat")
        page.close()


def test_every_tab_works_under_the_content_security_policy(browser, pipeline, tmp_path):
    with serve_page(replace(fake_context(pipeline), history=HistoryStore(tmp_path))) as address:
        page = open_page(browser)
        console = []
        page.on("console", lambda message: console.append(message.text))
        page.add_init_script(WATCH_VIOLATIONS)
        page.goto(address)
        page.locator("#summary .count").wait_for()
        draw(page, "a cat")
        page.locator(PICTURES).first.wait_for()
        for tab in ("Compare", "How it works", "History"):
            page.get_by_role("tab", name=tab).click()
            if tab == "Compare":
                page.locator("#compare-go").click()
                page.locator("#compare-status .done").wait_for()
        page.locator("#history-gallery .thumbnail-lg img").first.wait_for()
        violations = page.evaluate("window.violations")
        page.close()
    assert violations == []
    assert [line for line in console if "Content Security Policy" in line or "MIME" in line] == []


@pytest.mark.parametrize("passes_host", [True, False], ids=["host passed on", "host rewritten"])
def test_the_page_works_under_a_path_of_a_proxy(browser, pipeline, passes_host):
    port = free_port()
    root = "/wuerst" if passes_host else f"http://127.0.0.1:{port}/wuerst"
    with (
        serve_page(fake_context(pipeline), Settings(root_path=root)) as address,
        prefix_proxy(port, address, "/wuerst", passes_host) as outside,
    ):
        page = open_page(browser)
        page.goto(f"http://127.0.0.1:{port}/wuerst/")
        page.locator("#summary .count").wait_for()
        draw(page, "a cat")
        page.locator(PICTURES).first.wait_for()
        assert page.locator(PICTURES).first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
        page.close()
    assert set(outside) <= {"/favicon.ico"}  # where browsers look for it by themselves
