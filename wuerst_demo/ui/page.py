"""The page: its head, its tabs, its endpoint for programs, and how many may use it at once.

Each tab is a module of its own; the drawing tab is `desk` (layout), `answers` (handlers) and `wiring`. Nothing of a
visitor stays on the server but the files that the visitor's page shows.

Does not know the engine or the checkpoint: they come as a `Studio`.
"""

from __future__ import annotations

import gradio as gr

from wuerst_demo.ui import compare, desk, explain, history, languages, show, wiring
from wuerst_demo.ui.endpoint import expose
from wuerst_demo.ui.gate import refuse_downloads
from wuerst_demo.ui.listening import heed
from wuerst_demo.ui.studio import Studio

AT_ONCE = 32
"""Drawings that may be open at the same time. The engine's own line is longer than that of most hours, and says where
one stands in it; Gradio's, behind it, says nothing."""
IN_LINE = 64
"""Drawings that may wait for one of those to end. Whoever comes after them is told to come back."""


def build(studio: Studio) -> gr.Blocks:
    """The page over one studio, ready to be launched (see `serve`)."""
    page: gr.Blocks
    with gr.Blocks(title="Würstchen", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(show.header(studio), elem_id="header")
        with gr.Tabs(elem_id="tabs") as tabs:
            drawing = desk.lay(studio)
            compare.add(page, studio, drawing)
            history.lay(studio, drawing, tabs)
            explain.add(studio, drawing)
            # Further tabs stand here, each made and wired by one call that takes the studio and this desk.
        running = gr.HTML(elem_id="running")
        page.load(lambda: show.footer(studio), None, running, **wiring.OWN)
        wiring.wire(page, studio, drawing)
        expose(page, studio, concurrency_id=wiring.DRAWING)
    languages.speak(page)
    heed(page)
    refuse_downloads()
    page.queue(api_open=False, max_size=IN_LINE, default_concurrency_limit=AT_ONCE)
    return page
