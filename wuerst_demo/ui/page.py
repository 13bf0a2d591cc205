"""The page: which controls stand where, and which event calls which handler.

Handlers are above, layout and wiring below. What the handlers do is in `drawing` and `readout`; here their answers
become updates of components. Nothing of a visitor stays on the server but the files that the visitor's page shows.

Does not know the engine or the checkpoint: they come as a `Studio`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.ui import readout, show
from wuerst_demo.ui.controls import Controls
from wuerst_demo.ui.drawing import OUR_FAULT, Picture, draw
from wuerst_demo.ui.endpoint import expose
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
Updates = dict[Component, Any]

AT_ONCE = 8
"""Drawings that may run at the same time; their steps take turns."""
IN_LINE = 64
"""Drawings that may wait. Whoever comes after them is told to come back."""
READERS = 4
"""Prompts that may be read at the same time; a long one takes half a second of a core."""
KEPT = 3600
"""Seconds that a picture's file stays on the server."""
DRAWING = "drawing"
"""What the page and the API share: they count together against `AT_ONCE`."""
# Events of the page itself: not part of the API. Values come as they were sent, and the handlers check them.
OWN: Final[Mapping[str, Any]] = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}


@dataclass(frozen=True)
class Outputs:
    """The components that show something."""

    generate: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.Gallery
    files: gr.File
    recipe: gr.HTML
    spans: gr.HighlightedText
    summary: gr.HTML
    seed: Component

    def buttons(self, running: bool) -> Updates:
        return {self.generate: gr.Button(interactive=not running), self.stop: gr.Button(interactive=running)}


# ---------------------------------------------------------------------------------------------------- handlers


def drawing(studio: Studio, out: Outputs) -> Callable[..., Iterator[Updates]]:
    """The handler that draws. Its inputs are the controls' values by field name, and `new_seed`."""

    def drawn(request: gr.Request, **values: object) -> Iterator[Updates]:
        if values.pop("new_seed", False):
            values["seed"] = None
        shown: tuple[Picture, ...] | None = None
        for view in draw(studio, values, request.session_hash or ""):
            updates: Updates = {out.status: show.status(view)}
            if view.request is not None and shown is None:
                updates |= out.buttons(running=True) | {out.seed: view.request.seed}
            if view.request is not None and view.pictures != shown:  # what is refused leaves the last pictures there
                shown = view.pictures
                paths = [str(each.path) for each in shown]
                updates[out.gallery] = [
                    (path, f"Seed {each.request.seed}") for path, each in zip(paths, shown, strict=True)
                ]
                updates[out.files] = gr.File(paths, visible=bool(paths))
                updates[out.recipe] = show.recipe(view, studio.limits)
            if view.over:
                updates |= out.buttons(running=False)
            yield updates

    return drawn


def stopped(out: Outputs) -> Callable[[list[Any] | None], Updates]:
    """What the page says after Stop, which has ended the drawing; the gallery keeps what was finished."""

    def stop(gallery: list[Any] | None) -> Updates:
        return {out.status: show.stopped(len(gallery or ())), **out.buttons(running=False)}

    return stop


def reading(studio: Studio, out: Outputs) -> Callable[[object, object], Updates]:
    """The handler behind the read-out: tokens, weights, what lies beyond."""

    def read(prompt: object, weighting: object) -> Updates:
        try:
            request = studio.limits.request({"prompt": prompt, "weighting": weighting})
            seen = readout.readout(studio.read(request.prompt, request.weighting))
        except WuerstError as error:
            seen = readout.refused(str(error))
        except Exception:
            log.exception("A prompt could not be read.")
            seen = readout.refused(OUR_FAULT)
        spans = gr.HighlightedText(list(seen.spans), color_map=seen.colors, visible=seen.weighted)
        return {out.spans: spans, out.summary: seen.summary}

    return read


# -------------------------------------------------------------------------------------------- layout and wiring


def build(studio: Studio) -> gr.Blocks:
    """The page over one studio, ready to be launched (see `serve`)."""
    controls = Controls(studio.limits)
    page: gr.Blocks
    # delete_cache: how often files are looked at, and the age from which they go.
    with gr.Blocks(title="Würstchen", analytics_enabled=False, fill_width=True, delete_cache=(600, KEPT)) as page:
        gr.HTML(show.header(studio), elem_id="header")
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="ask"):
                asked = _ask(studio, controls)
            with gr.Column(elem_id="pictures"):
                shown = _pictures()
            with gr.Column(elem_id="settings"):
                new_seed = _settings(studio, controls)
        out = Outputs(**asked, **shown, seed=controls["seed"])
        _wire(page, studio, controls, out, new_seed)
        expose(page, studio, concurrency_id=DRAWING)
    page.queue(api_open=False, max_size=IN_LINE, default_concurrency_limit=AT_ONCE)
    return page


def _ask(studio: Studio, controls: Controls) -> dict[str, Any]:
    placeholder = studio.examples[0] if studio.examples else None
    prompt = controls.add("prompt", lines=3, max_lines=8, autofocus=True, placeholder=placeholder)
    summary = gr.HTML(elem_id="summary")
    spans = gr.HighlightedText(
        elem_id="spans", label="The prompt as read", show_label=False, container=False, visible=False
    )
    with gr.Row(elem_id="actions"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", scale=1)
    if studio.examples:
        samples = [[example] for example in studio.examples]
        gr.Examples(samples, [prompt], label="Try", elem_id="examples", api_visibility="private", cache_examples=False)
    return {"generate": generate, "stop": stop, "spans": spans, "summary": summary}


def _pictures() -> dict[str, Any]:
    # File paths, not images: Gradio hands out files as they are, and encodes images anew without their text.
    status = gr.HTML(show.idle(), elem_id="status")
    gallery = gr.Gallery(
        elem_id="gallery",
        label="Pictures",
        show_label=False,
        object_fit="contain",
        interactive=False,
        buttons=["download", "download_all", "fullscreen"],
    )
    files = gr.File(
        elem_id="files", label="Download", show_label=False, file_count="multiple", interactive=False, visible=False
    )
    return {"status": status, "gallery": gallery, "files": files, "recipe": gr.HTML(elem_id="recipe")}


def _settings(studio: Studio, controls: Controls) -> Component:
    with gr.Group():
        controls.add("negative_prompt", lines=1, max_lines=4)
        controls.add("weighting")
    with gr.Group():
        for name in ("width", "height", "images"):
            controls.add(name)
    with gr.Group():
        controls.add("seed")
        new_seed = gr.Checkbox(True, label="New seed each time", info="Off: the seed above stays.", elem_id="new-seed")
    with gr.Accordion("More", open=False, elem_id="more"), gr.Group():
        for name in studio.limits.descriptions:
            if name not in controls.made:
                controls.add(name)
    return new_seed


def _wire(page: gr.Blocks, studio: Studio, controls: Controls, out: Outputs, new_seed: Component) -> None:
    prompt, weighting = controls["prompt"], controls["weighting"]
    run = gr.on(
        [out.generate.click, prompt.submit],
        drawing(studio, out),
        inputs_kwargs={**controls.made, "new_seed": new_seed},
        outputs=[out.status, out.gallery, out.files, out.recipe, out.generate, out.stop, out.seed],
        concurrency_id=DRAWING,
        **OWN,
    )
    out.stop.click(stopped(out), [out.gallery], [out.status, out.generate, out.stop], cancels=[run], queue=False, **OWN)
    read = reading(studio, out)
    gr.on(
        [prompt.change, weighting.change],
        read,
        [prompt, weighting],
        [out.spans, out.summary],
        trigger_mode="always_last",
        concurrency_limit=READERS,
        **OWN,
    )
    # A number made without a value shows 0; only an update can leave it empty.
    page.load(
        lambda prompt, weighting: {**read(prompt, weighting), out.seed: None},
        [prompt, weighting],
        [out.spans, out.summary, out.seed],
        concurrency_limit=READERS,
        **OWN,
    )
