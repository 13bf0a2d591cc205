"""Previews: the estimated clean latents of an image in flight, as a small JPEG, with colors from a linear map.

The map is the one that a checkpoint ships, else it is fitted to finished images and cached for the next start.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from wuerst_demo.pipeline import latent_to_rgb
from wuerst_demo.pipeline.latent_to_rgb import LatentRgbFit, LatentRgbMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wuerst_demo.events import Stage

log = logging.getLogger(__name__)

MAX_PREVIEW_SIDE_PX = 256
MIN_PREVIEW_SIDE_PX = 96
"""The longer side of a preview. The prior has few positions a side; enlarged here they look alike in every browser."""
MAX_FITTED_IMAGES = 32
"""Images after which a map improves no further."""


class PreviewRenderer:
    """Renders latents of one checkpoint with its map, and fits the map where none was given. Not thread-safe.

    `fingerprint` identifies the checkpoint, `path` is the cache file (None: no cache), `given` a map that is final,
    `max_images` the number of images to fit.
    """

    def __init__(
        self,
        fingerprint: str = "",
        path: Path | None = None,
        given: LatentRgbMap | None = None,
        max_images: int = MAX_FITTED_IMAGES,
    ) -> None:
        self._fingerprint = fingerprint
        self._path = path
        self._max_images = max_images
        self._fit = None if given else LatentRgbFit()
        self._map = given or (latent_to_rgb.load_map(path, fingerprint) if path else None)
        if self._map and self._map.image_count >= max_images:
            self._fit = None
        self._filters: dict[Stage, tuple[Tensor, Tensor]] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a map."""
        return self._map is not None

    def reload(self) -> None:
        """Loads the cached map of another process, if this one has none: on ZeroGPU each request may have a process of
        its own."""
        if self._map is None and self._path is not None:
            self._map = latent_to_rgb.load_map(self._path, self._fingerprint)

    @property
    def learning(self) -> bool:
        """Whether finished images improve the map."""
        return self._fit is not None

    def learn(self, prior: Tensor, decoder: Tensor, pixels: NDArray[np.uint8]) -> None:
        """Fits the map to an image (H, W, 3) and its clean latents, (16, h, w) and (4, h', w'). Latents with other
        numbers of channels are ignored."""
        channels = latent_to_rgb.PREVIEW_CHANNELS
        if self._fit is None or (len(prior), len(decoder)) != (channels["prior"], channels["decoder"]):
            return
        rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        decoder_rgb = interpolate(rgb, decoder.shape[1:], mode="area")
        prior_rgb = interpolate(decoder_rgb, prior.shape[1:], mode="area")
        samples = {
            "prior": (prior.float().cpu().numpy(), prior_rgb[0].permute(1, 2, 0).numpy()),
            "decoder": (decoder.float().cpu().numpy(), decoder_rgb[0].permute(1, 2, 0).numpy()),
        }
        if self._fit.add(samples) and (self._map is None or self._fit.image_count > self._map.image_count):
            self._map, self._filters = self._fit.solve(), {}
            if self._fit.image_count & (self._fit.image_count - 1) == 0:  # at 1, 2, 4, ... images
                self._save(self._map)
            if self._fit.image_count >= self._max_images:
                self._fit = None

    def render(self, stage: Stage, latents: Tensor, sizes_px: Sequence[tuple[int, int]]) -> list[bytes]:
        """JPEG previews of clean latents (n, C, h, w) for images of these (width, height). Requires `ready`."""
        factor = -(-max(latents.shape[2:]) // MAX_PREVIEW_SIDE_PX)
        if factor > 1:
            latents = avg_pool2d(latents, factor, ceil_mode=True)
        weight, bias = self._filter(stage, latents.device)
        margin = weight.shape[-1] // 2
        rgb = conv2d(pad(latents.nan_to_num(0, 0, 0), [margin] * 4, mode="replicate"), weight, bias)
        arrays = rgb.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [_encode_jpeg(array, size_px) for array, size_px in zip(arrays, sizes_px, strict=True)]

    def _filter(self, stage: Stage, device: torch.device) -> tuple[Tensor, Tensor]:
        """The map as a convolution: weight (3, C, side, side) and bias (3,)."""
        if stage not in self._filters:
            assert self._map is not None, "render() requires a map"
            table = torch.from_numpy(self._map.prior if stage == "prior" else self._map.decoder).to(device)
            side = latent_to_rgb.WINDOW_SIDES[stage]
            self._filters[stage] = table[:-1].T.reshape(3, -1, side, side).contiguous(), table[-1]
        return self._filters[stage]

    def _save(self, fitted: LatentRgbMap) -> None:
        if self._path is not None:
            try:
                latent_to_rgb.save_map(self._path, self._fingerprint, fitted)
            except OSError as error:
                log.warning("The map of preview colors cannot be cached (%s); it is fitted again next time.", error)
                self._path = None


def _encode_jpeg(rgb: NDArray[np.uint8], size_px: tuple[int, int]) -> bytes:
    """(h, w, 3) as JPEG bytes, in the proportions of an image of `size_px` (width, height)."""
    longer = min(MAX_PREVIEW_SIDE_PX, max(MIN_PREVIEW_SIDE_PX, *rgb.shape[:2]))
    width, height = (max(1, round(side * longer / max(size_px))) for side in size_px)
    image = Image.fromarray(rgb)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()
