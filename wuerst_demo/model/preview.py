"""What a picture looks like on its way: the estimate of its clean latents in colours, small, as JPEG bytes in memory.

The colours come from a checkpoint's own map where it ships one, else from a map that is fitted to the pictures as they
are finished and kept for the next start. Does not know rows, or how often somebody wants to look.
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

from wuerst_demo.model import colours
from wuerst_demo.model.colours import Colours, Fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wuerst_demo.events import Stage

log = logging.getLogger(__name__)

LONGEST = 256
"""Pixels on the longer side of a preview, at most."""
SHORTEST = 96
"""And at least: the prior has a few positions a side, which grow smoothly here and not in a browser's own way."""
ENOUGH = 32
"""Pictures after which a map does not get better."""


class Palette:
    """The map of one checkpoint: given, kept from earlier, or fitted to finished pictures as they come.

    `keep` is the file it is kept in, None where it is not; `of` is the checkpoint's fingerprint; after `enough`
    pictures nothing more is learned. Not for several threads at once.
    """

    def __init__(
        self, of: str = "", keep: Path | None = None, given: Colours | None = None, enough: int = ENOUGH
    ) -> None:
        self._of = of
        self._keep = keep
        self._enough = enough
        self._fit = None if given else Fit()
        self._colours = given or (colours.read(keep, of) if keep else None)
        if self._colours and self._colours.pictures >= enough:
            self._fit = None
        self._maps: dict[Stage, tuple[Tensor, Tensor]] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a map."""
        return self._colours is not None

    def look(self) -> None:
        """Takes the map that another process has kept meanwhile, where there is none here: on ZeroGPU each drawing may
        be in a process of its own."""
        if self._colours is None and self._keep is not None:
            self._colours = colours.read(self._keep, self._of)

    @property
    def learning(self) -> bool:
        """Whether finished pictures make the map better."""
        return self._fit is not None

    def learn(self, prior: Tensor, decoder: Tensor, picture: NDArray[np.uint8]) -> None:
        """A finished picture (H, W, 3) and the clean latents that it came from, (16, h, w) and (4, h', w'); latents of
        other channels teach nothing."""
        if self._fit is None or (len(prior), len(decoder)) != (colours.CHANNELS["prior"], colours.CHANNELS["decoder"]):
            return
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        small = interpolate(pixels, decoder.shape[1:], mode="area")
        smaller = interpolate(small, prior.shape[1:], mode="area")
        seen = {
            "prior": (prior.float().cpu().numpy(), smaller[0].permute(1, 2, 0).numpy()),
            "decoder": (decoder.float().cpu().numpy(), small[0].permute(1, 2, 0).numpy()),
        }
        better = self._fit.add(seen) and (self._colours is None or self._fit.pictures > self._colours.pictures)
        if better:
            self._colours, self._maps = self._fit.colours(), {}
            if self._fit.pictures & (self._fit.pictures - 1) == 0:  # 1, 2, 4, ...: each time twice as sure
                self._kept(self._colours)
            if self._fit.pictures >= self._enough:
                self._fit = None

    def paint(self, stage: Stage, clean: Tensor, sizes: Sequence[tuple[int, int]]) -> list[bytes]:
        """Previews of clean latents (n, C, h, w) of `stage`, for pictures of these (width, height). There is a map."""
        factor = -(-max(clean.shape[2:]) // LONGEST)
        if factor > 1:
            clean = avg_pool2d(clean, factor, ceil_mode=True)
        weights, bias = self._map(stage, clean.device)
        around = weights.shape[-1] // 2
        colour = conv2d(pad(clean.nan_to_num(0, 0, 0), [around] * 4, mode="replicate"), weights, bias)
        values = colour.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [_encoded(value, size) for value, size in zip(values, sizes, strict=True)]

    def _map(self, stage: Stage, device: torch.device) -> tuple[Tensor, Tensor]:
        """The map as a convolution: (3, C, side, side) and (3,)."""
        if stage not in self._maps:
            assert self._colours is not None, "without a map there are no colours"
            table = torch.from_numpy(self._colours.prior if stage == "prior" else self._colours.decoder).to(device)
            side = colours.SIDES[stage]
            self._maps[stage] = table[:-1].T.reshape(3, -1, side, side).contiguous(), table[-1]
        return self._maps[stage]

    def _kept(self, fitted: Colours) -> None:
        if self._keep is not None:
            try:
                colours.write(self._keep, self._of, fitted)
            except OSError as error:
                log.warning("The colours of previews cannot be kept (%s); they are fitted again next time.", error)
                self._keep = None


def _encoded(value: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """(h, w, 3) as JPEG, in the proportions of a picture of `size`."""
    longer = min(LONGEST, max(SHORTEST, *value.shape[:2]))
    width, height = (max(1, round(side * longer / max(size))) for side in size)
    picture = Image.fromarray(value)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()
