"""Handlers of the Compare tab: user input in, updates of the tab's components out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from wuerst_demo.messages import message
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.axes import PROMPT_AXIS, default_values, list_axes, max_values_chars, values_help
from wuerst_demo.web.compare.layout import CompareTab, values_box
from wuerst_demo.web.compare.renderer import ComparisonRenderer
from wuerst_demo.web.compare.runner import ComparisonRequest, validate_comparison
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.i18n.translate import browser_text, translate
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.progress import count_text, duration_text
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.view import ErrorCatcher, error_message


def read_comparison_request(inputs: Mapping[str, object]) -> ComparisonRequest:
    """The comparison in the Generate tab's values by field name and this tab's `CompareTab.fields`."""
    values = dict(inputs)
    across, down = (
        (axis := str(values.pop(name) or ""), str(values.pop(f"{name}_values") or "")[: max_values_chars(axis) + 1])
        for name in ("across", "down")
    )
    values["prompt"] = values.pop("variants")
    return ComparisonRequest(values, across, down)


@dataclass(frozen=True)
class CompareHandlers:
    """The handlers that need the checkpoint, the engine or the tab's components."""

    context: WebContext
    tab: CompareTab
    sessions: ComparisonSessions

    @property
    def _renderer(self) -> ComparisonRenderer:
        return ComparisonRenderer(self.context, self.tab)

    def compare(self, request: gr.Request, owner: object, tab_name: object, **inputs: object) -> Iterator[Updates]:
        """Compares. `inputs` are the controls of the Generate tab and `CompareTab.fields`."""
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        asked = read_comparison_request(inputs)
        yield from self._renderer.render_views(self.sessions.compare(client, asked, page, client_address(request)))

    def load_page(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the comparison of its tab."""
        run = self.sessions.find(ClientTab.from_browser(owner, tab_name), request.session_hash or "")
        if run is None:
            yield {self.tab.start: gr.skip()}  # an answer without updates would empty all outputs
            return
        fields = self.tab.fill(run.request, self.context.limits)
        for updates in self._renderer.render_views(run.follow(), reattached=True):
            yield updates | fields
            fields = {}

    async def estimate(self, request: gr.Request, **inputs: object) -> str:
        """The number of images and their duration, or why a comparison would be rejected."""
        with ErrorCatcher() as caught:
            read = partial(validate_comparison, self.context, read_comparison_request(inputs))
            grid = await self.context.prompt_reads.run(client_address(request), read)
            pictures, seconds = count_text(len(grid.cells)), grid.estimate_seconds(self.context.engine.estimate)
            if seconds is None:
                return translate(message("{pictures}; the first one shows how long it takes", pictures=pictures))
            return translate(message("{pictures}, {time}", pictures=pictures, time=duration_text(seconds)))
        assert caught.error is not None
        return f'<span class="rejected">{escape(translate(error_message(caught.error)))}</span>'


def axis_values_js(limits: Limits) -> str:
    """The script that fits an axis' values field to the chosen setting: default values and help."""
    updates: dict[str, dict[str, Any]] = {
        name: {
            "__type__": "update",
            "value": default_values(limits, name),
            "info": browser_text(values_help(limits, name)),
            "visible": True,
            **values_box(name),
        }
        for name in list_axes(limits)
        if name != PROMPT_AXIS
    }
    hidden = {"__type__": "update", "visible": False}
    return f"(name) => ({json.dumps(updates)}[name] ?? {json.dumps(hidden)})"
