"""Going on from an earlier image: the prior's result, kept as text, and how far a request leaves it.

The prior's result, the image embeddings, is the whole composition of an image in 16 small maps; the decoder adds the
detail. They are kept as a safetensors file, compressed with zlib, in base64: 1.7 kB for 256 x 256 pixels.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.fields import SEED_COUNT
from wuerst_demo.redraw_mask import decode_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ENCODED_CHARS = 150_000
MAX_SIDE_LATENTS = 64
MAX_CHANNELS = 64
_TENSOR_NAME = "image_embeddings"
_MAX_DECODED_BYTES = 2 * MAX_CHANNELS * MAX_SIDE_LATENTS**2 // 4 + 1024


@dataclass(frozen=True)
class Variation:
    """What a request goes on from. Build with `validate`; the constructor validates nothing."""

    image_embeddings: str
    """The prior's result of the earlier image, see `encode_image_embeddings`."""
    level: float
    """Noise time to which they are renoised before the prior goes on: 0 keeps the composition, 1 forgets it."""
    details_seed: int | None = None
    """Seed whose noise the decoder gets; that of the earlier image keeps its details. None: the request's own."""
    mask: str | None = None
    """Cells that are redrawn while the others stay, see `redraw_mask.encode_mask`; None for all of them."""

    @classmethod
    def validate(cls, value: object) -> Variation:
        """A variation from an untrusted mapping of these fields. Raises InvalidRequest."""
        given = asdict(value) if isinstance(value, Variation) else value
        if not isinstance(given, Mapping) or not {"image_embeddings", "level"} <= given.keys() <= _FIELDS:
            raise InvalidRequest(
                "variation must be an object with image_embeddings, level and, if wanted, details_seed and mask.",
                "variation",
            )
        text, level, seed = given["image_embeddings"], given["level"], given.get("details_seed")
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= 1:
            raise InvalidRequest("The variation's level must be a number from 0 to 1.", "variation")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEED_COUNT):
            raise InvalidRequest(
                "The variation's details_seed must be a whole number from 0 to {most}.",
                "variation",
                most=SEED_COUNT - 1,
            )
        shape = decode_image_embeddings(text).shape
        mask = given.get("mask")
        if mask is not None:
            decode_mask(mask, shape[1:])
            if level == 0:
                raise InvalidRequest("At level 0 nothing is redrawn; raise the variation's level.", "variation")
        return cls(str(text), float(level), seed, mask)


_FIELDS = frozenset(each.name for each in fields(Variation))


def vary(values: Mapping[str, object], image_embeddings: str, level: float) -> dict[str, object]:
    """Values of a request that varies an image, with a random seed, from the values of the image's own request.

    Above level 0 the details are those of the image, more or less; at 0 they are new. Untrusted values stay so.
    """
    return {**recompose(values, image_embeddings, level, level > 0), "seed": None}


def recompose(
    values: Mapping[str, object], image_embeddings: str, level: float = 0, same_details: bool = True
) -> dict[str, object]:
    """Values of a request that decodes, or goes on from, other image embeddings than an image's own, from the values of
    the image's request. Untrusted values stay so."""
    earlier = values.get("variation")
    details_seed = earlier.get("details_seed") if isinstance(earlier, Mapping) else None
    kept_seed = values.get("seed") if details_seed is None else details_seed
    variation = {
        "image_embeddings": image_embeddings,
        "level": level,
        "details_seed": kept_seed if same_details else None,
    }
    return {**values, "images": 1, "variation": variation, "morph": None}


def redraw(varied: Mapping[str, object], mask: str) -> dict[str, object]:
    """The values of `vary`, for the cells of a mask alone (see `redraw_mask`). The noise of the details stays."""
    variation = varied["variation"]
    assert isinstance(variation, Mapping)
    return {**varied, "variation": {**variation, "mask": mask}}


def encode_image_embeddings(image_embeddings: NDArray[np.floating]) -> str:
    """Text of the prior's result (C, h, w), rounded to float16."""
    import numpy as np
    from safetensors.numpy import save

    data = save({_TENSOR_NAME: np.ascontiguousarray(image_embeddings, dtype=np.float16)})
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def decode_image_embeddings(text: object, field: str = "variation") -> NDArray[np.float16]:
    """The prior's result (C, h, w) of its untrusted text: finite, with at most 64 channels and 64 positions a side.

    Raises InvalidRequest for this field. Whether the shape suits checkpoint and size is for the pipeline to check.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    damaged = InvalidRequest(
        "The composition to go on from is damaged; choose the picture again, or another one.", field
    )
    if not isinstance(text, str) or len(text) > MAX_ENCODED_CHARS:
        raise damaged
    try:
        # A kilobyte may decompress to a megabyte: bounded while decompressing.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MAX_DECODED_BYTES + 1)
        if len(data) > _MAX_DECODED_BYTES:
            raise damaged
        tensors = load(data)
    except (binascii.Error, ValueError, zlib.error, SafetensorError, KeyError) as error:
        raise damaged from error
    array = tensors.get(_TENSOR_NAME)
    if array is None or len(tensors) != 1 or array.dtype != np.float16 or array.ndim != 3:
        raise damaged
    channels, *sides = array.shape
    if not (0 < channels <= MAX_CHANNELS and all(0 < side <= MAX_SIDE_LATENTS for side in sides)):
        raise damaged
    if not np.isfinite(array).all():
        raise InvalidRequest("The composition to go on from has values that are not finite.", field)
    return array
