"""Redrawing a region of an image: at every step of the prior, the cells outside of it are those of the earlier image.

They are the earlier image's latents with the noise of the step's time, and the prior fills in the others to suit them.

Source: RePaint, Lugmayr et al., arXiv 2201.09865 (equation 8), without its resampling, and with one noise for all
steps, so that the sampler's own noise is the same with and without a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from wuerst_demo.pipeline.noise_schedule import add_noise
from wuerst_demo.redraw_mask import decode_mask

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class KnownCells:
    """What a redrawn image keeps of the earlier one."""

    redrawn: Tensor
    """Whether a cell is redrawn: bool (h, w)."""
    image_embeddings: Tensor
    """Of the earlier image (1, C, h, w)."""
    latents: Tensor
    """Its clean latents in the prior (1, C, h, w)."""
    noise: Tensor
    """Standard normal noise (1, C, h, w)."""

    @classmethod
    def of_mask(cls, mask: str, image_embeddings: Tensor, latents: Tensor, noise: Tensor) -> KnownCells:
        cells = decode_mask(mask, image_embeddings.shape[2:])
        return cls(torch.from_numpy(cells).to(latents.device), image_embeddings, latents, noise)

    def restore_latents(self, latents: Tensor, t: Tensor) -> Tensor:
        """Latents (1, C, h, w) at time t, with the known cells in place."""
        return torch.where(self.redrawn, latents, add_noise(self.latents, self.noise, t))

    def restore_image_embeddings(self, image_embeddings: Tensor) -> Tensor:
        """The prior's result (1, C, h, w) with the known cells exactly in place."""
        return torch.where(self.redrawn, image_embeddings, self.image_embeddings)
