"""Going on from a picture on the Generate tab: how far, from which one, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from wuerst_demo.messages import message
from wuerst_demo.variation import vary
from wuerst_demo.web.generate.morph import describe_morph
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.generation import FinishedImage, selected_image
from wuerst_demo.web.shared.request_controls import RequestControls
from wuerst_demo.web.shared.static_files import read_static

DEFAULT_LEVEL = 0.4
GENERATE_VARIATION_JS = "(source) => { if (source) window.wuerstGenerate(); }"
"""Generates as soon as that is possible, if there is a variation or a morph in the controls (see hold_clicks.js)."""
CANNOT_VARY_MESSAGE = "This picture's composition is not known here, so it cannot be varied; generate it again first."


class VariationControls:
    """Buttons under the selected image, and the variation that the next request goes on from.

    Created in the current Gradio context: `build_buttons` under the images, `build_source` beside the prompt.
    """

    def build_buttons(self) -> None:
        with gr.Row(elem_id="varying") as self.buttons:
            self.level = gr.Slider(
                0,
                1,
                value=DEFAULT_LEVEL,
                step=0.05,
                label="Variation",
                info="How far to leave the picture: 0 keeps it and draws new details, 1 starts anew.",
                elem_id="variation-level",
                min_width=260,
            )
            self.vary = gr.Button("Vary", size="sm", elem_id="vary", min_width=80)
            self.neighbors = gr.Button("8 neighbours", size="sm", elem_id="neighbors", min_width=80)
            self.open_region = gr.Button("Redraw a region", size="sm", elem_id="redraw", min_width=100)
        self.region = gr.HTML(elem_id="region", js_on_load=read_static("region.js"))
        """The editor of a region of the selected image; "" while it is closed."""

    def build_source(self, controls: RequestControls) -> None:
        with gr.Row(elem_id="source", visible=False) as self.source:
            self.note = gr.HTML(elem_id="source-note")
            self.clear = gr.Button("Start afresh", size="sm", elem_id="source-clear", scale=0, min_width=110)
        self.vary_dropped = gr.Button("Vary the dropped picture", size="sm", elem_id="vary-dropped", visible=False)
        self.dropped = gr.State(None)
        """`ParsedSettings` of the file that was dropped last, if it carries a composition."""
        self.value = gr.JSON(visible=False, elem_id="variation")
        """The variation as JSON holds it, or None."""
        controls.made["variation"] = self.value


def varied_values(images: Sequence[FinishedImage], position: object, level: object) -> dict[str, Any] | None:
    """Values of a request that varies the image at `position`; None where its composition is not known."""
    image = selected_image(images, position)
    if not image.image_embeddings:
        return None
    return vary(image.request.to_dict(), image.image_embeddings, parse_level(level))


def parse_level(level: object) -> float:
    """The slider's value, or the default in place of what is none."""
    return float(level) if isinstance(level, int | float) and 0 <= level <= 1 else DEFAULT_LEVEL


def show_source(variation: object, morph: object) -> tuple[Any, str]:
    """Updates of `source` and `note` for the variation or the morph that the next request goes on from."""
    given = variation if isinstance(variation, Mapping) else {}
    level = given.get("level")
    if isinstance(morph, Mapping):
        text = describe_morph(morph)
    elif not given:
        return gr.Row(visible=False), ""
    elif given.get("mask"):
        text = message("Redraws a region of a picture.")
    elif level == 0 and given.get("details_seed") is None:
        text = message("Goes on from a picture: its composition, new details.")
    elif level == 0:
        text = message("Goes on from a picture: its composition, as it was changed, and its details.")
    else:
        text = message("Goes on from a picture, {percent} % away.", percent=round(100 * parse_level(level)))
    return gr.Row(visible=True), f"<p>{escape(translate(text))}</p>"
