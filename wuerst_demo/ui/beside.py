"""A slider between any two pictures of the visitor's: cells of the comparison, or pictures that were drawn.

The pictures are the files that the page serves already, as they are. Which ones, a browser says, so that is checked.

Does not know how they came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal

from wuerst_demo.ui import board
from wuerst_demo.ui.wiring import OWN

EMPTY = "<p>Draw or compare two pictures first; then choose them here.</p>"
Choices = list[tuple[str, str]]


@dataclass(frozen=True)
class Slider:
    """The slider's components, and where its pictures come from: a gallery of drawn ones, and a `board.table`."""

    gallery: gr.Gallery
    table: gr.HTML
    empty: gr.HTML
    chosen: gr.Row
    left: gr.Dropdown
    right: gr.Dropdown
    slider: gr.ImageSlider

    def wire(self, drawn: Sequence[Any], compared: Sequence[Any]) -> None:
        """To be called with the events after which there are other pictures in the gallery, and in the table."""
        sources, sides = [self.gallery, self.table], [self.left, self.right]
        for events, afresh in ((drawn, False), (compared, True)):
            for happens in events:
                offer = partial(offered, afresh)
                outputs = [self.empty, self.chosen, *sides, self.slider]
                happens(offer, [*sources, *sides], outputs, queue=False, **OWN)
        gr.on([side.change for side in sides], shown, [*sources, *sides], [self.slider], queue=False, **OWN)


def add(gallery: gr.Gallery, table: gr.HTML) -> Slider:
    """Makes the slider, in the current Gradio context."""
    with gr.Accordion("Slide between two pictures", open=False, elem_id="beside"):
        empty = gr.HTML(EMPTY, elem_classes="intro")
        with gr.Row(visible=False) as chosen:
            left = gr.Dropdown([], label="Left", info="Cells of the table, and what was drawn.", elem_id="left")
            right = gr.Dropdown([], label="Right", info="Drag the line over the picture to compare.", elem_id="right")
        slider = gr.ImageSlider(
            type="filepath", label="Left | Right", visible=False, interactive=False, elem_id="slider", max_height=640
        )
    return Slider(gallery, table, empty, chosen, left, right, slider)


def offered(afresh: bool, gallery: object, table: object, left: object, right: object) -> tuple[Any, ...]:
    """What can be chosen now. What was chosen stays, unless `afresh`; else it is the first and the last cell or,
    without a table, the first and the last picture drawn."""
    paths = pictures(gallery, table)
    choices = [(label, key) for key, (label, _) in paths.items()]
    keys = [key for key in paths if key.startswith("cell")]
    keys = keys if len(keys) > 1 else list(paths)
    there = len(paths) > 1
    kept = [
        value if isinstance(value, str) and value in paths and not afresh else keys[at] if there else None
        for value, at in ((left, 0), (right, -1))
    ]
    updates = [gr.Dropdown(choices=choices, value=value) for value in kept]
    slider = shown(gallery, table, *kept) if there else gr.ImageSlider(None, visible=False)
    return gr.HTML(visible=not there), gr.Row(visible=there), *updates, slider


def shown(gallery: object, table: object, left: object, right: object) -> Any:
    """The slider over both pictures, or as it is where only one side is chosen: both sides are set at once, and the
    answer to the first's change, in which the second is missing, may come last."""
    paths = pictures(gallery, table)
    found = [paths[key][1] for key in (left, right) if isinstance(key, str) and key in paths]
    return gr.ImageSlider((found[0], found[1]), visible=True) if len(found) == 2 else gr.skip()


def pictures(gallery: object, table: object) -> dict[str, tuple[str, str]]:
    """A name for every picture on the page -> its label and its file. Leaves out files that the page does not serve: a
    browser may have named any file of this machine."""
    cells = {f"cell {k}": each for k, each in enumerate(board.files(table))}
    items = [each for each in gallery if isinstance(each, Mapping)] if isinstance(gallery, list) else []
    drawn = {}
    for k, item in enumerate(items):
        image = item.get("image")
        if isinstance(image, Mapping) and isinstance(image.get("path"), str):
            drawn[f"drawn {k}"] = (f"Drawn: {item.get('caption') or k + 1}", image["path"])
    return {key: (label, path) for key, (label, path) in (cells | drawn).items() if served(path)}


def served(path: str) -> bool:
    """Whether a path from a browser is that of a file which the page has been given to serve. Gradio asks so itself,
    but only of what is marked as a file in the very way that it marks them."""
    try:
        return is_in_or_equal(path, get_upload_folder()) and Path(path).is_file()
    except (OSError, ValueError):  # no path at all
        return False
