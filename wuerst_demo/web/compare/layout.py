"""Layout of the Compare tab: two axes on the left, the table and the image slider on the right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.messages import message
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.axes import (
    MAX_CELLS,
    PROMPT_AXIS,
    PROMPTS_AXIS,
    default_values,
    list_axes,
    max_values_chars,
    values_help,
)
from wuerst_demo.web.compare.runner import ComparisonRequest
from wuerst_demo.web.compare.section import ComparisonSection
from wuerst_demo.web.i18n.translate import browser_text, translate
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import initial_status

INTRO = message(
    "Vary one or two settings and see the pictures side by side. All other settings are those of the Draw tab. A"
    " comparison has at most {most} pictures.",
    most=MAX_CELLS,
)
IDLE_STATUS = "Choose what to vary, then press Compare."
# Without an example: Gradio cannot translate a text with braces in it.
PROMPT_VARIANTS_HELP = "For prompt variants: write them in braces, with a bar between them."
NO_IMAGES = "Generate or compare two pictures first, then choose them here."
AXIS_TEXTS = {
    "across": ("Across", "Varies from left to right.", "Values across"),
    "down": ("Down", "Varies from top to bottom.", "Values down"),
}
"""Direction of an axis -> label and help of its setting, label of its values."""
NO_AXIS = ("nothing", "")
"""Label and value of the choice that varies nothing."""


def values_box(name: str) -> dict[str, Any]:
    """Size of the text box for the values of a setting: prompts take a line each."""
    lines = 4 if name == PROMPTS_AXIS else 1
    return {"lines": lines, "max_lines": 3 * lines, "max_length": max_values_chars(name)}


class AxisControls:
    """The controls of an axis on which `setting` varies at first, if the checkpoint lets it."""

    def __init__(self, limits: Limits, direction: str, setting: str) -> None:
        choices, (label, help_text, values_label) = list_axes(limits), AXIS_TEXTS[direction]
        with gr.Row():
            self.name = gr.Dropdown(
                [NO_AXIS, *((choice, name) for name, choice in choices.items())],
                value=setting if setting in choices else "",
                label=label,
                info=help_text,
                filterable=False,
                elem_id=f"{direction}-name",
            )
            self.values = gr.Textbox(
                default_values(limits, setting) if setting in choices else "",
                label=values_label,
                info=values_help(limits, setting),
                max_length=max_values_chars(setting),
                elem_id=f"{direction}-values",
            )


class ImageSlider:
    """Slider between two images of the page."""

    def __init__(self) -> None:
        with gr.Accordion("Slide between two pictures", open=False, elem_id="beside"):
            # Shown while there are not two images yet.
            self.empty = gr.HTML(f"<p>{browser_text(NO_IMAGES)}</p>", elem_classes="intro")
            with gr.Row(visible=False) as self.choice:
                self.sides = [
                    gr.Dropdown([], label="Left", info="A cell of the table or a generated picture.", elem_id="left"),
                    gr.Dropdown([], label="Right", info="Drag the line over the picture to compare.", elem_id="right"),
                ]
            self.slider = gr.ImageSlider(
                type="filepath",
                label="Left | Right",
                visible=False,
                interactive=False,
                elem_id="slider",
                max_height=640,
            )


class CompareTab(ComparisonSection):
    """The components of the tab, created in the current Gradio context, which is that of the tabs."""

    def __init__(self, limits: Limits) -> None:
        with gr.Tab("Compare", id="compare") as self.container, gr.Row(elem_id="compare", elem_classes="desk"):
            with gr.Column(elem_id="vary"):
                gr.HTML(f"<p>{browser_text(INTRO)}</p>", elem_classes="intro")
                self.prompt = gr.Textbox(
                    label="Prompt", info=PROMPT_VARIANTS_HELP, lines=2, max_lines=6, elem_id="compare-prompt"
                )
                with gr.Group():
                    self.across = AxisControls(limits, "across", "seed")
                    self.down = AxisControls(limits, "down", "prior_steps")
                self.estimate = gr.HTML(elem_id="compare-outlook")
                with gr.Row(elem_classes="actions"):
                    self.start = gr.Button("Compare", variant="primary", elem_id="compare-go", scale=3)
                    self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="compare-stop", scale=1)
            with gr.Column(elem_id="compared"):
                self.build_results(initial_status(IDLE_STATUS), "compare-status", "board", "sheet")
                self.image_slider = ImageSlider()

    @property
    def fields(self) -> Mapping[str, Component]:
        """What can be set here, by the names that `read_comparison_request` knows."""
        return {
            "variants": self.prompt,
            "across": self.across.name,
            "across_values": self.across.values,
            "down": self.down.name,
            "down_values": self.down.values,
        }

    def fill(self, request: ComparisonRequest, limits: Limits) -> Updates:
        """Updates that set the fields to a comparison's. Prompt variants have no values of their own to show."""
        updates: Updates = {self.prompt: request.values.get("prompt")}
        for axis, (name, typed) in ((self.across, request.across), (self.down, request.down)):
            values = gr.Textbox(visible=False)
            if name and name != PROMPT_AXIS:
                values = gr.Textbox(typed, info=translate(values_help(limits, name)), visible=True, **values_box(name))
            updates |= {axis.name: name, axis.values: values}
        return updates
