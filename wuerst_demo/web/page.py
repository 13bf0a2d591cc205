"""The page: header, tabs, foot, the web API's endpoint, and how many clients it serves at once.

Each tab is a package of its own, with layout, handlers and events.
"""

from __future__ import annotations

import gradio as gr

from wuerst_demo.web.api_endpoint import add_generate_endpoint
from wuerst_demo.web.compare import events as compare_events
from wuerst_demo.web.compare.layout import CompareTab
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.explain import events as explain_events
from wuerst_demo.web.explain.layout import ExplainTab
from wuerst_demo.web.footer import render_footer, server_facts
from wuerst_demo.web.generate import events as generate_events
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.history import events as history_events
from wuerst_demo.web.history.layout import HistoryTab
from wuerst_demo.web.i18n.translate import localize_page
from wuerst_demo.web.live.service import LiveService
from wuerst_demo.web.middleware.backpressure import apply_backpressure
from wuerst_demo.web.middleware.event_queue import share_event_queue
from wuerst_demo.web.middleware.gradio_patches import patch_gradio
from wuerst_demo.web.middleware.request_limits import disable_url_downloads
from wuerst_demo.web.shared import html
from wuerst_demo.web.shared.event_options import PRIVATE_EVENT
from wuerst_demo.web.shared.static_files import read_static

MAX_OPEN_GENERATIONS = 64
"""Generations that Gradio runs at the same time: as many as the engine's queue, behind it, takes images. That one has
shares for addresses and reports positions and waiting times; Gradio's, in front of it, does neither for what runs."""
MAX_QUEUED_EVENTS = 64
"""Events that may wait for one of those to end; Gradio rejects further ones."""


def build_page(context: WebContext, live: LiveService | None = None) -> gr.Blocks:
    """The page, ready to be launched (see `server.serve`) with the routes of `live`; without it, nothing is live."""
    page: gr.Blocks
    with gr.Blocks(title="Würstchen", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(html.page_header(context), elem_id="header")
        with gr.Tabs(elem_id="tabs") as tabs:
            generate_tab = GenerateTab(context, live is not None)
            compare_tab = CompareTab(context.limits)
            history_tab = HistoryTab() if context.history else None
            explain_tab = ExplainTab()
        footer = gr.HTML(elem_id="running", js_on_load=read_static("footer.js"))
        page.load(lambda: render_footer(server_facts(context)), None, footer, **PRIVATE_EVENT)
        generate_events.connect_events(page, context, generate_tab, live.pictures if live else None)
        compare_events.connect_events(page, context, compare_tab, generate_tab)
        if context.history and history_tab:
            history_events.connect_events(context.history, context.limits, history_tab, generate_tab, tabs)
        explain_events.connect_events(page, context, explain_tab, generate_tab, tabs, live is not None)
        add_generate_endpoint(page, context, concurrency_id=generate_events.GENERATE_CONCURRENCY_ID)
    localize_page(page)
    apply_backpressure(page)
    disable_url_downloads()
    patch_gradio()
    page.queue(api_open=False, max_size=MAX_QUEUED_EVENTS, default_concurrency_limit=MAX_OPEN_GENERATIONS)
    share_event_queue(page, MAX_QUEUED_EVENTS)
    return page
