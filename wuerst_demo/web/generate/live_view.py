"""The place of the live picture on the Generate tab. `static/live.js` fills it in; no handler does."""

from __future__ import annotations

import gradio as gr

from wuerst_demo.web.i18n.translate import browser_text

CONNECTION_LOST_MESSAGE = "No answer from the server; the next attempt is in 2 s."


class LiveView:
    """The picture with its caption, a note on why there is no newer one, and the button that keeps it."""

    def __init__(self) -> None:
        lost = browser_text(CONNECTION_LOST_MESSAGE)
        with gr.Column(elem_id="live-box"):
            self.frame = gr.HTML(
                f'<p class="live-note" role="status" data-lost="{lost}"></p>'
                '<figure><img alt="" decoding="sync"><figcaption></figcaption></figure>',
                elem_id="live-view",
            )
            # The style sheet shows it beside a picture.
            self.keep = gr.Button("Keep this picture", size="sm", elem_id="keep")
        self.picture_id = gr.Textbox(visible=False)
        """Id of the picture that is shown, filled in by the browser."""
