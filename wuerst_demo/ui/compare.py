"""The tab that compares: two settings with values, a table that fills, and a slider between any two pictures.

Where things stand, and which event calls which handler. Everything that is not varied is as set on the drawing tab.

Does not know what the handlers do (see `replies`, `beside`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from wuerst_demo.request import Limits
from wuerst_demo.ui import axes, beside, board, show
from wuerst_demo.ui.comparisons import Comparisons
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.replies import Stand, coming_back, comparison, fitted, outlook
from wuerst_demo.ui.seats import stopping
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.wiring import COMING_BACK, OWN, READERS, SEAT

INTRO = (
    "<p>Vary one or two settings and see the pictures side by side. All the rest is as set under Draw. A comparison has"
    f" at most {axes.MOST} pictures.</p>"
)
IDLE = "Choose what to vary, then press Compare."
# Without an example: Gradio cannot translate a text that has braces in it.
VARIANTS = "Variants stand in braces, a bar between them, for Prompt variants below."
AT_ONCE = 16
"""Comparisons that may be begun and looked at, at the same time, all visitors together. Those who have come back to one
are counted apart."""
NOTHING = ("nothing", "")


@dataclass(frozen=True)
class Way:
    """One axis' controls: what is varied, and its values as typed."""

    name: gr.Dropdown
    typed: gr.Textbox


def add(page: gr.Blocks, studio: Studio, desk: Desk) -> None:
    """Makes the tab and wires it, within the page's tabs."""
    comparisons = Comparisons(studio)
    with gr.Tab("Compare", id="compare") as tab, gr.Row(elem_id="compare", elem_classes="desk"):
        with gr.Column(elem_id="vary"):
            gr.HTML(INTRO, elem_classes="intro")
            prompt = gr.Textbox(label="Prompt", info=VARIANTS, lines=2, max_lines=6, elem_id="compare-prompt")
            with gr.Group():
                across = _way(studio.limits, "Across", "seed")
                down = _way(studio.limits, "Down", "prior_steps")
            expected = gr.HTML(elem_id="compare-outlook")
            with gr.Row(elem_classes="actions"):
                go = gr.Button("Compare", variant="primary", elem_id="compare-go", scale=3)
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="compare-stop", scale=1)
        with gr.Column(elem_id="compared"):
            status = gr.HTML(show.line("idle", IDLE), elem_id="compare-status", elem_classes="telling")
            table = gr.HTML(html_template=board.TEMPLATE.read_text(encoding="utf-8"), elem_id="board")
            sheet = gr.DownloadButton("Download as one picture", interactive=False, elem_id="sheet", size="md")
            slider = beside.add(desk.gallery, table)
    fields: dict[str, Component] = {
        "variants": prompt,
        "across": across.name,
        "across_values": across.typed,
        "down": down.name,
        "down_values": down.typed,
    }
    given: dict[str, Block] = {**desk.controls.made, **fields}
    stand = Stand(go, stop, status, table, sheet, fields)
    run = go.click(
        comparison(comparisons, studio, desk, stand),
        inputs_kwargs={**desk.seat, **given},
        outputs=stand.shown,
        js=SEAT,
        concurrency_limit=AT_ONCE,
        **OWN,
    )
    stop.click(stopping(comparisons.stop), [*desk.seat.values()], None, js=SEAT, queue=False, **OWN)
    found = page.load(
        coming_back(comparisons, studio, stand),
        [*desk.seat.values()],
        [*stand.shown, *fields.values()],
        js=SEAT,
        concurrency_limit=COMING_BACK,
        **OWN,
    )
    for each in (run, found):
        each.failure(lambda: stand.buttons(running=False), None, [go, stop], queue=False, **OWN)
    slider.wire(drawn=[desk.newest.change, tab.select], compared=[run.then, found.then])
    for way in (across, down):
        # In the browser, where nobody can have typed on before the answer is there; and not where the page sets it.
        way.name.input(None, [way.name], [way.typed], js=fitted(studio.limits), **OWN)
    tab.select(None, [prompt, desk.controls["prompt"]], [prompt], js="(mine, draws) => mine || draws", **OWN)
    look: dict[str, Any] = {"fn": outlook(studio), "inputs_kwargs": given, "outputs": [expected], **OWN}
    asking = [tab.select, prompt.change, *(each.change for way in (across, down) for each in (way.name, way.typed))]
    gr.on(asking, **look, trigger_mode="always_last", concurrency_limit=READERS)
    for ended in (run, found):
        ended.then(**look)  # by now it is known how long such pictures take


def _way(limits: Limits, label: str, first: str) -> Way:
    varied = axes.varied(limits)
    with gr.Row():
        name = gr.Dropdown(
            [NOTHING, *((said, name) for name, said in varied.items())],
            value=first if first in varied else "",
            label=label,
            info=f"What changes from {'left to right' if label == 'Across' else 'top to bottom'}.",
            filterable=False,
            elem_id=f"{label.lower()}-name",
        )
        typed = gr.Textbox(
            axes.usual(limits, first) if first in varied else "",
            label=f"Values {label.lower()}",
            info=axes.hint(limits, first),
            max_length=axes.LONGEST,
            elem_id=f"{label.lower()}-values",
        )
    return Way(name, typed)
