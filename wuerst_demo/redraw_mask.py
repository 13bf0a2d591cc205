"""Which cells of an image's composition are redrawn: a mask on the grid of its image embeddings, kept as text.

The text is `HxW:` and the cells, row by row, as bits in base64: 12 characters for 6 x 6 cells, 102 for 24 x 24. A cell
is 42.7 pixels wide.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wuerst_demo.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from PIL.Image import Image

MASK_THRESHOLD = 128
"""Mean brightness of a mask image's cell, 0 to 255, from which on the cell is redrawn."""
MAX_ASPECT_ERROR = 0.02
"""Share by which the shape of a mask image may differ from the picture's."""
_TEXT_PATTERN = re.compile(r"(\d{1,3})x(\d{1,3}):([A-Za-z0-9+/=]{1,1000})")
_CELLS_PATTERN = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?,(\d{1,3})(?:-(\d{1,3}))?")


def encode_mask(cells: ArrayLike) -> str:
    """Text of a mask (h, w), true where the image is redrawn. Raises InvalidRequest for another number of axes."""
    import numpy as np

    try:
        array = np.asarray(cells, dtype=bool)
    except ValueError:  # rows of different lengths
        array = np.zeros(0, dtype=bool)
    if array.ndim != 2:
        raise InvalidRequest("The mask must have rows and columns of cells.", "variation")
    return f"{array.shape[0]}x{array.shape[1]}:{base64.b64encode(np.packbits(array).tobytes()).decode('ascii')}"


def decode_mask(text: object, shape: Sequence[int]) -> NDArray[np.bool_]:
    """The mask (h, w) of its untrusted text, for an image whose composition has this `shape`.

    Raises InvalidRequest for a damaged one, one of another shape, and one that covers no cell or all of them.
    """
    import numpy as np

    found = _TEXT_PATTERN.fullmatch(text) if isinstance(text, str) else None
    try:
        data = base64.b64decode(found[3], validate=True) if found else b""
    except binascii.Error:
        found = None
    damaged = InvalidRequest("The mask is damaged; paint the region again.", "variation")
    if found is None:
        raise damaged
    given, (height, width) = (int(found[1]), int(found[2])), shape
    if len(data) != -(-given[0] * given[1] // 8):
        raise damaged
    if given != (height, width):
        raise InvalidRequest(
            "The mask has {given} cells, the picture {needed}; paint the region on this picture.",
            "variation",
            given="{} x {}".format(*given[::-1]),
            needed=f"{width} x {height}",
        )
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    cells = bits[: height * width].astype(bool).reshape(height, width)
    if not cells.any():
        raise InvalidRequest("The mask covers nothing; paint the region to redraw.", "variation")
    if cells.all():
        raise InvalidRequest(
            "The mask covers everything; leave a part of the picture out, or generate a new one.", "variation"
        )
    return cells


def mask_of_image(image: Image, shape: Sequence[int], size_px: Sequence[int]) -> str:
    """Text of the mask in an image, white where the picture of this size (width, height) is redrawn.

    Raises InvalidRequest for an image of another shape than the picture's.
    """
    import numpy as np
    from PIL import Image as images

    (width, height), (picture_width, picture_height) = image.size, size_px
    if abs(width * picture_height / (height * picture_width) - 1) > MAX_ASPECT_ERROR:
        raise InvalidRequest(
            "The mask is {given}, the picture {needed}; paint the mask in the shape of the picture.",
            "variation",
            given=f"{width} x {height}",
            needed=f"{picture_width} x {picture_height}",
        )
    small = image.convert("L").resize((shape[1], shape[0]), images.Resampling.BOX)
    return encode_mask(np.asarray(small) >= MASK_THRESHOLD)


def is_cell_list(text: str) -> bool:
    """Whether a text lists cells, as for `mask_of_cells`."""
    return bool(words := text.split()) and all(map(_CELLS_PATTERN.fullmatch, words))


def mask_of_cells(text: str, shape: Sequence[int]) -> str:
    """Text of the mask of a list of cells, column and row from 1, or ranges of them: `2,3` or `1-3,5-6 4,6`.

    Raises InvalidRequest for cells outside of the picture's.
    """
    import numpy as np

    cells = np.zeros(tuple(shape), dtype=bool)
    for found in filter(None, map(_CELLS_PATTERN.fullmatch, text.split())):
        left, top = int(found[1]), int(found[3])
        right, bottom = int(found[2] or left), int(found[4] or top)
        if not (1 <= left <= right <= shape[1] and 1 <= top <= bottom <= shape[0]):
            raise InvalidRequest(
                "There is no cell {cell}; the picture has {columns} columns and {rows} rows, counted from 1.",
                "variation",
                cell=found[0],
                columns=shape[1],
                rows=shape[0],
            )
        cells[top - 1 : bottom, left - 1 : right] = True
    return encode_mask(cells)
