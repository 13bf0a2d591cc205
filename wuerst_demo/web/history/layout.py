"""Layout of the History tab: search at the top, a page of images on the left, the selected image on the right."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from wuerst_demo.history.store import MAX_SEARCH_CHARS
from wuerst_demo.web.generate.morph import CHOOSE_LABEL
from wuerst_demo.web.history.state import HistoryState


class HistoryTab:
    """The components of the tab, created in the current Gradio context, which is that of the tabs."""

    def __init__(self) -> None:
        with gr.Tab("History", id="history") as self.container:
            self.state = gr.State(HistoryState())  # inside: between two tabs, Gradio would count it as one
            with gr.Row(elem_id="history-find"):
                self.search = gr.Textbox(
                    label="Search",
                    info="Words of a prompt, or their first letters.",
                    max_length=MAX_SEARCH_CHARS,
                    elem_id="history-search",
                    scale=3,
                )
                self.favourites = gr.Checkbox(label="Favourites only", elem_id="history-favourites", scale=1)
            self.summary = gr.HTML(elem_id="history-said")
            with gr.Row(elem_id="history"):
                with gr.Column(elem_id="history-pictures"):
                    self.gallery = gr.Gallery(
                        label="Saved pictures",
                        show_label=False,
                        object_fit="contain",
                        interactive=False,
                        buttons=["download", "fullscreen"],
                        elem_id="history-gallery",
                    )
                    with gr.Row(elem_id="history-turn"):
                        self.newer = gr.Button("Newer", interactive=False, elem_id="history-newer")
                        self.older = gr.Button("Older", interactive=False, elem_id="history-older")
                with gr.Column(elem_id="history-open"):
                    self.details = gr.HTML(elem_id="history-details")
                    self.use = gr.Button("Use these settings", variant="primary", visible=False, elem_id="history-use")
                    self.vary = gr.Button("Vary", visible=False, elem_id="history-vary")
                    self.morph = gr.Button(CHOOSE_LABEL, visible=False, elem_id="history-morph")
                    self.mark = gr.Button("☆ Favourite", visible=False, elem_id="history-mark")
                    # Cancel stands before Delete, so that the second click of a double one keeps the image.
                    self.keep = gr.Button("Cancel", visible=False, elem_id="history-keep")
                    self.delete = gr.Button("Delete", visible=False, elem_id="history-delete")

    @property
    def state_outputs(self) -> list[Component]:
        """What shows a `HistoryState`."""
        pages: list[Component] = [self.state, self.summary, self.gallery, self.newer, self.older]
        return [*pages, self.details, self.use, self.vary, self.morph, self.mark, self.delete, self.keep]
