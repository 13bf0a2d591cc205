"""Buttons that follow a job."""

import gradio as gr
import pytest

from wuerst_demo.web.shared.job_tab import JobTab
from wuerst_demo.web.shared.sessions import ClientTab, SessionStore

OWNER = "a secret of the browser"


class Tab(JobTab):
    def __init__(self):
        self.start, self.stop = gr.Button("Start"), gr.Button("Stop", elem_id="halt")
        self.client = gr.Textbox(), gr.Textbox()


class Stopped(SessionStore):
    def __init__(self):
        super().__init__()
        self.clients = []

    def stop(self, client):
        self.clients.append(client)


@pytest.mark.parametrize("running", [False, True])
def test_a_running_job_disables_start_and_enables_stop(running):
    tab = Tab()
    updates = tab.update_buttons(running)
    assert (updates[tab.start].interactive, updates[tab.stop].interactive) == (not running, running)


def test_start_is_enabled_in_the_browser_at_the_end_of_an_event():
    with gr.Blocks() as page:
        tab = Tab()
        tab.enable_after(tab.start.click(lambda: None, None, None))
    started, enabled = page.fns.values()
    assert tab.update_buttons(running=False, enable=False)[tab.start].interactive is False
    assert (enabled.trigger_after, enabled.outputs) == (started._id, [tab.start])
    assert '[{"__type__": "update", "interactive": true}]' in enabled.js
    assert "getElementById('halt')" in enabled.js


def test_the_stop_button_stops_the_job_of_its_browser_tab():
    with gr.Blocks() as page:
        tab, sessions = Tab(), Stopped()
        tab.connect_stop(sessions, tab.client)
    (event,) = page.fns.values()
    event.fn(OWNER, "left")
    assert sessions.clients == [ClientTab(OWNER, "left")]
    assert event.targets == [(tab.stop._id, "click")]


def test_an_event_that_fails_resets_the_buttons():
    with gr.Blocks() as page:
        tab = Tab()
        tab.reset_buttons_after(tab.start.click(lambda: None, None, None))
    _, reset = page.fns.values()
    updates = reset.fn()
    assert (updates[tab.start].interactive, updates[tab.stop].interactive) == (True, False)
    assert reset.outputs == [tab.start, tab.stop]
