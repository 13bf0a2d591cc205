"""What is stored, as tensors on the device that trains.

A GPU holds all of it in its memory: 60,000 scenes are 14 GB of pictures and 3 GB of latents. A processor reads each
batch from the mapped files. Does not know how pictures are made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wuerst_demo.training.networks import LATENT_CHANNELS
from wuerst_demo.training.store import Size, Store


class Held:
    """A store's arrays on `device`."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.store, self.device = store, device
        self._held: dict[tuple[str, Size], Tensor] = {}

    def pictures(self, size: Size, picks: np.ndarray, top: int = 0, left: int = 0, side: int = 0) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1, or the same square of `side` pixels of each."""
        pixels = self._stored("pictures", size, picks)
        if side:
            pixels = pixels[:, top : top + side, left : left + side]
        return pixels.permute(0, 3, 1, 2).float().div_(255)

    def floats(self, kind: str, size: Size, picks: np.ndarray) -> Tensor:
        """The "latents" (B, 4, H / 4, W / 4), or the "z" (B, 16, H * 3 / 128, W * 3 / 128)."""
        return self._stored(kind, size, picks).float()

    def _stored(self, kind: str, size: Size, picks: np.ndarray) -> Tensor:
        if self.device.type != "cuda":
            return torch.from_numpy(self.store.array(kind, size)[picks]).to(self.device)
        if (kind, size) not in self._held:
            self._held[kind, size] = torch.from_numpy(np.array(self.store.array(kind, size))).to(self.device)
        return self._held[kind, size][torch.from_numpy(picks).to(self.device)]


def encoded(vqgan: nn.Module, data: Held, half: torch.dtype | None) -> Callable[[Size, np.ndarray], Tensor]:
    """What `Store.derive` computes "latents" with, under autocast to `half` unless that is None."""

    @torch.no_grad()
    def encode(size: Size, picks: np.ndarray) -> Tensor:
        with torch.autocast(data.device.type, half, enabled=half is not None):
            latents: Tensor = vqgan.encode(data.pictures(size, picks)).latents  # type: ignore[operator]
        return latents.float().cpu()

    return encode


def latents_shape(size: Size) -> tuple[int, int, int]:
    """Of the VQGAN's latents of a picture of this size."""
    return 4, size[1] // 4, size[0] // 4


def z_shape(size: Size) -> tuple[int, int, int]:
    """Of the image encoder's z of a picture of this size."""
    return LATENT_CHANNELS, size[1] * 3 // 128, size[0] * 3 // 128


def smaller(pictures: Tensor, share: float) -> Tensor:
    """Pictures (B, 3, H, W) at a share of their size, averaged."""
    return functional.interpolate(pictures, scale_factor=share, mode="bilinear", antialias=True)
