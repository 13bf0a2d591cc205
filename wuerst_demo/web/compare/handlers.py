"""Handlers of the Compare tab: user input in, updates of the tab's components out."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, cast

import gradio as gr

from wuerst_demo.errors import WuerstError
from wuerst_demo.messages import message
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.axes import PROMPT_AXIS, default_values, list_axes, max_values_chars, values_help
from wuerst_demo.web.compare.contact_sheet import save_contact_sheet
from wuerst_demo.web.compare.layout import CompareTab, values_box
from wuerst_demo.web.compare.runner import ComparisonRequest, ComparisonView, validate_comparison
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.compare.table import render_table
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.i18n.translate import browser_text, translate
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import status_line
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

    def compare(self, request: gr.Request, owner: object, tab_name: object, **inputs: object) -> Iterator[Updates]:
        """Compares. `inputs` are the controls of the Generate tab and `CompareTab.fields`."""
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        asked = read_comparison_request(inputs)
        yield from self._render_views(self.sessions.compare(client, asked, page, client_address(request)))

    def load_page(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the comparison of its tab."""
        run = self.sessions.find(ClientTab.from_browser(owner, tab_name), request.session_hash or "")
        if run is None:
            yield {self.tab.start: gr.skip()}  # an answer without updates would empty all outputs
            return
        fields = self.tab.fill(run.request, self.context.limits)
        for updates in self._render_views(run.follow(), reattached=True):
            yield updates | fields
            fields = {}

    def _render_views(self, views: Iterator[ComparisonView], reattached: bool = False) -> Iterator[Updates]:
        tab, served = self.tab, dict[int, Path]()
        results: object = None
        with closing(cast("Generator[ComparisonView]", views)):
            for view in views:
                updates: Updates = {tab.status: status_line(view.state, view.message, view.fraction)}
                updates |= tab.update_buttons(running=not view.over, enable=reattached)
                if view.grid is not None:
                    if results is None:
                        updates[tab.contact_sheet] = gr.DownloadButton(interactive=False)
                    if view.results != results:
                        results = view.results
                        updates[tab.table] = self._render_served_table(view, served)
                if view.over:
                    updates |= self.update_contact_sheet(view)
                yield updates

    def _render_served_table(self, view: ComparisonView, served: dict[int, Path]) -> Any:
        """The table over the copies of its files that the page serves; `served` keeps their paths, by cell number."""
        for number, path in view.files.items():
            if number not in served or not served[number].is_file():
                served[number] = Path(self.tab.table.move_resource_to_block_cache(path) or "")
        results = tuple(replace(result, path=served.get(number)) for number, result in enumerate(view.results))
        return render_table(replace(view, results=results), self.context.limits)

    def update_contact_sheet(self, view: ComparisonView) -> Updates:
        """Updates that offer the contact sheet of the finished cells; none without one.

        It is made once, from the comparison's own files and next to them: those that the page serves expire.
        """
        if view.grid is None or not view.files:
            return {}
        folder = next(iter(view.files.values())).parent / f"sheet of {len(view.files)}"
        try:
            path = next(folder.glob("comparison-*.png"), None)
            path = path or save_contact_sheet(
                view.grid, view.files, folder, self.context.limits, self.context.save_image
            )
        except FileNotFoundError:  # the comparison and its files have been deleted meanwhile
            return {}
        except WuerstError as error:
            return {self.tab.status: status_line("rejected", error.message)}
        return {self.tab.contact_sheet: gr.DownloadButton(value=path, interactive=True)}

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
