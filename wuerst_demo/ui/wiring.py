"""Which event of the drawing tab calls which handler.

Does not know what the handlers do, nor where the components stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gradio as gr

from wuerst_demo.ui.answers import drawing, reading, stopped
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.studio import Studio

READERS = 4
"""Prompts that may be read at the same time; a long one takes half a second of a core."""
DRAWING = "drawing"
"""What the page and the API share: they count together against the drawings that may run at the same time."""
# Events of the page itself: not part of the API. Values come as they were sent, and the handlers check them.
OWN: Final[Mapping[str, Any]] = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}


def wire(page: gr.Blocks, studio: Studio, desk: Desk) -> None:
    prompt, weighting = desk.controls["prompt"], desk.controls["weighting"]
    buttons = [desk.generate, desk.stop]
    run = gr.on(
        [desk.generate.click, prompt.submit],
        drawing(studio, desk),
        inputs_kwargs={**desk.controls.made, "new_seed": desk.new_seed},
        outputs=[desk.status, desk.gallery, desk.files, desk.recipe, desk.newest, desk.seed, *buttons],
        concurrency_id=DRAWING,
        **OWN,
    )
    desk.stop.click(stopped(desk), [desk.gallery], [desk.status, *buttons], cancels=[run], queue=False, **OWN)
    read = reading(studio, desk)
    gr.on(
        [prompt.change, weighting.change],
        read,
        [prompt, weighting],
        [desk.spans, desk.summary],
        trigger_mode="always_last",
        concurrency_limit=READERS,
        **OWN,
    )
    # A number made without a value shows 0; only an update can leave it empty.
    page.load(
        lambda prompt, weighting: {**read(prompt, weighting), desk.seed: None},
        [prompt, weighting],
        [desk.spans, desk.summary, desk.seed],
        concurrency_limit=READERS,
        **OWN,
    )
