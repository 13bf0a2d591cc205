"""Which event of the drawing tab calls which handler.

Does not know what the handlers do, nor where the components stand.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from wuerst_demo.ui import links, restoring, taking
from wuerst_demo.ui.aids import expecting
from wuerst_demo.ui.answers import buttons, drawing, entering, reading
from wuerst_demo.ui.controls import OWN as OWN
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.runs import Runs
from wuerst_demo.ui.seats import stopping
from wuerst_demo.ui.studio import Studio

READERS = 4
"""Prompts that may be read at the same time; a long one takes half a second of a core."""
FREE = ("prompt", "negative_prompt", "weighting", "seed")
"""Fields that make no difference to how long a drawing takes."""
COMING_BACK = 32
"""Pages that may follow a drawing which they have found again."""
SEAT = (ASSETS / "seat.js").read_text(encoding="utf-8")
"""The script of events whose first inputs are `desk.seat`."""
_DRAFT = (ASSETS / "draft.js").read_text(encoding="utf-8")
ENTER = f"async (owner, tab) => ({SEAT})(owner, tab, ({_DRAFT})({json.dumps(links.NOT_OURS)}))"
"""The script of a page that opens: as `SEAT`, and `desk.draft`."""
DRAWING = "drawing"
"""What the page and the API share: they count together against the drawings that may run at the same time."""


def wire(page: gr.Blocks, studio: Studio, desk: Desk) -> None:
    runs = Runs(studio)
    prompt, weighting = desk.controls["prompt"], desk.controls["weighting"]
    told: list[Any] = [desk.status, desk.gallery, desk.tiles, desk.files, desk.recipe, desk.newest]
    pressed: list[Any] = [desk.generate, desk.taking.another, desk.stop]
    told += [*pressed, *desk.taking.shown]
    run = desk.generate.click(
        drawing(runs, studio, desk),
        inputs_kwargs={**desk.seat, **desk.controls.made, "new_seed": desk.new_seed},
        outputs=[*told, desk.seed],
        js=SEAT,
        concurrency_id=DRAWING,
        **OWN,
    )
    prompt.submit(None, None, None, js=taking.GENERATE, **OWN)
    desk.stop.click(stopping(runs.stop), [*desk.seat.values()], None, js=SEAT, queue=False, **OWN)
    taking.wire(studio, desk)
    read = reading(studio, desk)
    gr.on(
        [page.load, prompt.change, weighting.change],
        read,
        [prompt, weighting],
        [desk.spans, desk.summary],
        trigger_mode="always_last",
        concurrency_limit=READERS,
        **OWN,
    )
    restoring.wire(page, studio, desk)
    found = page.load(
        entering(runs, studio, desk),
        [*desk.seat.values(), desk.draft],
        [*told, *desk.controls.made.values(), desk.new_seed, desk.came],
        js=ENTER,
        concurrency_limit=COMING_BACK,
        **OWN,
    )
    settings = {**desk.controls.made, "new_seed": desk.new_seed}
    named, here = json.dumps([*settings, "checkpoint"]), json.dumps(studio.checkpoint)
    keep = f"(...values) => {{ window.wuerstKeep?.({named}, [...values, {here}]); }}"
    gr.on([each.change for each in settings.values()], None, [*settings.values()], None, js=keep, **OWN)
    for each in (run, found):  # what fails on its way to the browser leaves no button closed
        each.failure(lambda: buttons(desk, running=False), None, pressed, queue=False, **OWN)
    costs = {name: made for name, made in desk.controls.made.items() if name not in FREE}
    expect = expecting(studio)
    told_now: dict[str, Any] = {"inputs_kwargs": costs, "outputs": [desk.expected], "queue": False, **OWN}
    gr.on([page.load, *(made.change for made in costs.values())], expect, trigger_mode="always_last", **told_now)
    run.then(expect, **told_now)
    found.then(expect, **told_now)
