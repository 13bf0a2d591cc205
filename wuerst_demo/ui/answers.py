"""The handlers of the drawing tab: what `drawing` and `readout` say, as updates of the tab's components.

Does not know where the components stand, or which event calls which handler (see `desk`, `wiring`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.ui import readout, show
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.drawing import OUR_FAULT, Picture, draw
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
Updates = dict[Component, Any]


def drawing(studio: Studio, desk: Desk) -> Callable[..., Iterator[Updates]]:
    """The handler that draws. Its inputs are the controls' values by field name, and `new_seed`."""

    def drawn(request: gr.Request, **values: object) -> Iterator[Updates]:
        if values.pop("new_seed", False):
            values["seed"] = None
        shown: tuple[Picture, ...] | None = None
        for view in draw(studio, values, request.session_hash or ""):
            updates: Updates = {desk.status: show.status(view)}
            if view.request is not None and shown is None:
                updates |= _buttons(desk, running=True) | {desk.seed: view.request.seed}
            if view.request is not None and view.pictures != shown:  # what is refused leaves the last pictures there
                shown = view.pictures
                updates[desk.newest] = shown
                paths = [str(each.path) for each in shown]
                updates[desk.gallery] = [
                    (path, f"Seed {each.request.seed}") for path, each in zip(paths, shown, strict=True)
                ]
                updates[desk.files] = gr.File(paths, visible=bool(paths))
                updates[desk.recipe] = show.recipe(view, studio.limits)
            if view.over:
                updates |= _buttons(desk, running=False)
            yield updates

    return drawn


def stopped(desk: Desk) -> Callable[[list[Any] | None], Updates]:
    """What the page says after Stop, which has ended the drawing; the gallery keeps what was finished."""

    def stop(gallery: list[Any] | None) -> Updates:
        return {desk.status: show.stopped(len(gallery or ())), **_buttons(desk, running=False)}

    return stop


def reading(studio: Studio, desk: Desk) -> Callable[[object, object], Updates]:
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
        return {desk.spans: spans, desk.summary: seen.summary}

    return read


def _buttons(desk: Desk, running: bool) -> Updates:
    return {desk.generate: gr.Button(interactive=not running), desk.stop: gr.Button(interactive=running)}
