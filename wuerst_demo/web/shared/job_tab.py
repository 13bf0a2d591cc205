"""What the tabs have in common whose buttons start and stop a job: the state of these buttons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from wuerst_demo.web.shared.event_options import IDENTIFY_CLIENT_JS, IMMEDIATE_EVENT, PRIVATE_EVENT, Updates
from wuerst_demo.web.shared.sessions import ClientTab, SessionStore
from wuerst_demo.web.shared.static_files import read_static


def create_status_line(value: str, elem_id: str) -> gr.HTML:
    """The status line of a tab, whose progress the title of the browser's tab shows, too."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="status-line", js_on_load=read_static("title.js"))


class JobTab:
    """A tab with a button that starts a job and one that stops it."""

    start: gr.Button
    stop: gr.Button

    @property
    def buttons(self) -> list[Component]:
        """The buttons that a running job disables or enables, `stop` the last."""
        return [self.start, self.stop]

    def update_buttons(self, running: bool, enable: bool = True) -> Updates:
        """`enable`: whether the buttons that start a job are enabled when none is running (see `enable_after`)."""
        *others, stop = self.buttons
        starting = gr.Button(interactive=enable and not running)
        return dict.fromkeys(others, starting) | {stop: gr.Button(interactive=running)}

    def enable_after(self, *events: Any) -> None:
        """Enables the buttons that start a job at the end of an event, unless another job is running: Gradio ignores
        a click that comes between an event's last answer and its end."""
        *others, stop = self.buttons
        enabled = json.dumps([{"__type__": "update", "interactive": True}] * len(others))
        js = f"() => (document.getElementById('{stop.elem_id}')?.disabled === false ? [] : {enabled})"
        for event in events:
            event.then(None, None, others, js=js, **PRIVATE_EVENT)

    def connect_stop(self, sessions: SessionStore[Any], client_inputs: Iterable[Block]) -> None:
        """Lets `stop` cancel the job that `sessions` has for the browser tab that `client_inputs` identify."""
        self.stop.click(
            lambda owner, tab: sessions.stop(ClientTab.from_browser(owner, tab)),
            [*client_inputs],
            None,
            js=IDENTIFY_CLIENT_JS,
            **IMMEDIATE_EVENT,
        )

    def reset_buttons_after(self, *events: Any) -> None:
        """A failure of an event on its way to the browser leaves no button disabled."""
        for event in events:
            event.failure(lambda: self.update_buttons(running=False), None, self.buttons, **IMMEDIATE_EVENT)
