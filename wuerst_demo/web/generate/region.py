"""The editor of a region to redraw: the picture with a grid of cells to paint, and the request that it leads to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.redraw_mask import decode_mask, encode_mask
from wuerst_demo.variation import decode_image_embeddings, redraw, vary
from wuerst_demo.web.generate.neighbors import render_thumbnail
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.generation import FinishedImage

REDRAW_LEVEL = 1.0
REGION_HINT = (
    "Paint what is to be redrawn: drag, or arrow keys and Space. The prompt above fills it. It is coarse: a cell is"
    " about 43 pixels wide, and fine details beside the region change a little."
)


def render_region(image: FinishedImage) -> str:
    """The editor for an image; "" for one whose composition is not known."""
    if not image.image_embeddings:
        return ""
    rows, columns = decode_image_embeddings(image.image_embeddings).shape[1:]
    texts = {"redraw": translate("Redraw the region"), "clear": translate("Clear"), "close": translate("Close")}
    buttons = "".join(f'<button type="button" class="{name}">{escape(text)}</button>' for name, text in texts.items())
    shape = f"--ratio:{image.request.width}/{image.request.height};--columns:{columns};--rows:{rows}"
    label = escape(translate("Column {column}, row {row}"))
    return (
        f'<p id="region-hint">{escape(translate(REGION_HINT))}</p><div class="canvas" style="{shape}">'
        f'{render_thumbnail(image)}<div role="grid" aria-label="{escape(translate("Region to redraw"))}"'
        f' aria-describedby="region-hint" aria-multiselectable="true" data-rows="{rows}" data-columns="{columns}"'
        f' data-image="{image.index}" data-label="{label}"></div></div><div class="tools">{buttons}</div>'
    )


def region_values(images: tuple[FinishedImage, ...], painted: object) -> dict[str, Any]:
    """Values of a request that redraws the painted cells of an image; without a prompt, which is the one on the page.

    `painted` is the editor's untrusted event: the image's index and the cells, row by row, as a text of 0 and 1.
    Raises InvalidRequest.
    """
    given = painted if isinstance(painted, Mapping) else {}
    index, cells = given.get("image"), given.get("cells")
    image = next((each for each in images if each.index == index), None) if type(index) is int else None
    if image is None or not isinstance(cells, str):
        raise InvalidRequest("The picture is not there any more; choose another one.", "variation")
    shape = decode_image_embeddings(image.image_embeddings).shape[1:]
    if len(cells) != shape[0] * shape[1] or not re.fullmatch("[01]+", cells):
        raise InvalidRequest("The mask is damaged; paint the region again.", "variation")
    mask = encode_mask(np.frombuffer(cells.encode(), np.uint8).reshape(shape) == ord("1"))
    decode_mask(mask, shape)
    values = redraw(vary(image.request.to_dict(), image.image_embeddings, REDRAW_LEVEL), mask)
    return {name: value for name, value in values.items() if name not in ("prompt", "images")}
