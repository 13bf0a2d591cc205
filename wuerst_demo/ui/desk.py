"""The drawing tab as it stands: prompt, settings and pictures, and what other tabs may use of it.

Does not know what happens when somebody presses something (see `wiring`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from wuerst_demo.ui import show
from wuerst_demo.ui.aids import lay_defaults, lay_prompt_aids, lay_seed_aids, lay_shapes
from wuerst_demo.ui.controls import Controls
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.taking import Taking


@dataclass(frozen=True)
class Desk:
    """The components of the tab. `controls` holds those of a request's fields, by field name.

    For other tabs: `newest` holds the newest view's pictures (a tuple of `drawing.Picture`) and changes whenever
    there is one more; `seat` is what an event gets the `seats.Seat` of its tab from, if its `js` is `wiring.SEAT`: what
    the browser says of itself, in `owner` and in `tab`. In `draft` it says what had been set in this tab before the
    page was loaded anew. A restart of the server forgets nobody, since the browser keeps all of that.
    """

    controls: Controls
    generate: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.Gallery
    files: gr.File
    recipe: gr.HTML
    spans: gr.HighlightedText
    summary: gr.HTML
    new_seed: Component
    newest: gr.State
    tiles: gr.HTML
    expected: gr.HTML
    taking: Taking
    owner: gr.Textbox
    tab: gr.Textbox
    draft: gr.Textbox
    drop: gr.File
    came: gr.HTML

    def fill(self, values: Mapping[str, object]) -> dict[Component, Any]:
        """Updates that set the controls to `values`, by field name; a seed is held, and None is a new one, unless
        `new_seed` says otherwise."""
        known = {name: value for name, value in values.items() if name in self.controls.made}
        held = {self.new_seed: values.get("new_seed", known["seed"] is None)} if "seed" in known else {}
        return {**{self.controls[name]: value for name, value in known.items()}, **held}

    @property
    def seat(self) -> dict[str, Block]:
        """The first inputs of an event that asks for somebody, by the names of its handler's parameters."""
        return {"owner": self.owner, "tab": self.tab}

    @property
    def seed(self) -> Component:
        seed: Component = self.controls["seed"]
        return seed


def lay(studio: Studio) -> Desk:
    """Makes the tab, in the current Gradio context, which is that of the tabs."""
    controls = Controls(studio.limits)
    with gr.Tab("Draw", id="draw"), gr.Row(elem_id="desk"):
        newest = gr.State(())
        with gr.Column(elem_id="ask"):
            asked = _ask(studio, controls)
        with gr.Column(elem_id="pictures"):
            shown = _pictures()
        with gr.Column(elem_id="settings"):
            new_seed = _settings(studio, controls, newest)
            drop = _drop()
        unseen: dict[str, Any] = {
            "owner": gr.Textbox(visible=False),
            "tab": gr.Textbox(visible=False),
            "draft": gr.Textbox(visible=False),
        }
    return Desk(controls=controls, **asked, **shown, new_seed=new_seed, newest=newest, drop=drop, **unseen)


def _ask(studio: Studio, controls: Controls) -> dict[str, Any]:
    placeholder = studio.examples[0] if studio.examples else None
    prompt = controls.add("prompt", lines=3, max_lines=8, autofocus=True, placeholder=placeholder)
    summary = gr.HTML(elem_id="summary")
    spans = gr.HighlightedText(
        elem_id="spans", label="The prompt as read", show_label=False, container=False, visible=False
    )
    lay_prompt_aids(studio, prompt)
    with gr.Row(elem_id="actions"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", scale=1)
    expected = gr.HTML(elem_id="expected")
    if studio.examples:
        samples = [[example] for example in studio.examples]
        gr.Examples(samples, [prompt], label="Try", elem_id="examples", api_visibility="private", cache_examples=False)
    came = gr.HTML(elem_id="came")
    made = {"generate": generate, "stop": stop, "spans": spans, "summary": summary}
    return {**made, "expected": expected, "came": came}


def _pictures() -> dict[str, Any]:
    # File paths, not images: Gradio hands out files as they are, and encodes images anew without their text.
    status = gr.HTML(show.idle(), elem_id="status", elem_classes="telling")
    with gr.Column(elem_id="shown"):
        gallery = gr.Gallery(
            elem_id="gallery",
            label="Pictures",
            show_label=False,
            object_fit="contain",
            interactive=False,
            buttons=["download", "download_all", "fullscreen"],
        )
        tiles = gr.HTML(elem_id="tiles")
    taking = Taking.lay()
    # The style sheet hides it while it is empty: a value that comes with visible=True is now and then not shown
    # (https://github.com/gradio-app/gradio/issues/12511).
    files = gr.File(elem_id="files", label="Download", show_label=False, file_count="multiple", interactive=False)
    recipe = gr.HTML(elem_id="recipe")
    return {"status": status, "gallery": gallery, "tiles": tiles, "files": files, "recipe": recipe, "taking": taking}


def _settings(studio: Studio, controls: Controls, newest: gr.State) -> Component:
    with gr.Group():
        for name in ("width", "height"):
            controls.add(name)
        lay_shapes(studio.limits, controls)
        controls.add("images")
    with gr.Group():
        controls.add("seed")
        new_seed = gr.Checkbox(True, label="New seed each time", info="Off: the seed above stays.", elem_id="new-seed")
        lay_seed_aids(controls["seed"], new_seed, newest)
    with gr.Group():
        controls.add("negative_prompt", lines=1, max_lines=4)
        controls.add("weighting")
    with gr.Accordion("More", open=False, elem_id="more"), gr.Group():
        more = [name for name in studio.limits.descriptions if name not in controls.made and controls.add(name)]
        lay_defaults(studio.limits, controls, more)
    return new_seed


def _drop() -> gr.File:
    """Where a PNG file is dropped to bring its settings back (see `restoring`)."""
    return gr.File(label="Settings from a PNG", file_types=[".png"], file_count="single", height=120, elem_id="drop")
