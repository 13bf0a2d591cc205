"""Neighbors of an image: variations on a sheet around it, of which each can become the next middle."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from wuerst_demo.messages import message
from wuerst_demo.variation import vary
from wuerst_demo.web.example_pictures import encode_picture
from wuerst_demo.web.generate.image_html import render_preview
from wuerst_demo.web.generate.variation import parse_level
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.generation import FinishedImage, GenerationView

NEIGHBOR_COUNT = 8
_MIDDLE_CELL = 4
"""Cell of the middle, counted row by row from 0."""


def neighbor_values(middle: FinishedImage, level: object) -> dict[str, Any] | None:
    """Values of a request for the neighbors of an image; None where its composition is not known."""
    if not middle.image_embeddings:
        return None
    values = vary(middle.request.to_dict(), middle.image_embeddings, parse_level(level))
    return {**values, "images": NEIGHBOR_COUNT}


def render_neighbor_sheet(view: GenerationView) -> str:
    """The way to a view, and its middle among the neighbors, if it has one."""
    middle, request = view.middle, view.request
    if middle is None or request is None:
        return _render_trail(view)
    finished = {image.index: image for image in view.images}
    cells = [_render_cell(view, index, finished.get(index)) for index in range(request.images)]
    again = translate("The picture in the middle: other neighbours")
    picture = f'<li class="middle">{_image_button(middle, again)}</li>'
    cells.insert(_MIDDLE_CELL, picture)
    hint = escape(translate("Choose a neighbour, and it becomes the middle."))
    enlarge = f'<button type="button" class="large" aria-pressed="false">{translate("Large")}</button>'
    shape = f"--ratio:{middle.request.width}/{middle.request.height}"
    return f'{_render_trail(view)}<p>{hint}{enlarge}</p><ul class="cells" style="{shape}">{"".join(cells)}</ul>'


def _render_cell(view: GenerationView, index: int, image: FinishedImage | None) -> str:
    if image:
        label = message("Neighbour {number}: make it the middle", number=index + 1)
        return f"<li>{_image_button(image, translate(label))}</li>"
    preview = "" if view.over else render_preview(view.previews.get(index))
    return f'<li><div class="canvas">{preview}</div></li>'


def _render_trail(view: GenerationView) -> str:
    items = []
    for position, earlier in enumerate(view.before):
        image = earlier.shown_images[0] if earlier.shown_images else None
        if earlier.middle:
            label = message("Back to the neighbours of picture {number}", number=position + 1)
        else:
            label = message("Back to picture {number}", number=position + 1)
        kind = "sheet" if earlier.middle else "picture"
        items.append(
            f'<li><button type="button" class="{kind}" data-back="{position}" aria-label="{escape(translate(label))}"'
            f' title="{escape(translate(label))}">{render_thumbnail(image)}</button></li>'
        )
    return f'<nav aria-label="{translate("The way back")}"><ol>{"".join(items)}</ol></nav>' if items else ""


def _image_button(image: FinishedImage, label: str) -> str:
    name = escape(label)
    return f'<button type="button" data-image="{image.index}" aria-label="{name}">{render_thumbnail(image)}</button>'


def render_thumbnail(image: FinishedImage | None) -> str:
    """A small image, as HTML; "" if its file is gone."""
    encoded = _encode_thumbnail(image.path) if image else ""
    return f'<img alt="" decoding="sync" src="data:image/webp;base64,{encoded}">' if encoded else ""


@lru_cache(maxsize=512)
def _encode_thumbnail(path: Path) -> str:
    """A small WebP file of an image file in base64; "" if the file is gone."""
    try:
        with Image.open(path) as image:
            return b64encode(encode_picture(image)).decode()
    except OSError:
        return ""
