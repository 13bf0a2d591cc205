"""What is stored, as tensors on the device that trains.

A GPU holds all of it in its memory: 60,000 scenes are 14 GB of pictures and 3 GB of latents. A processor reads each
batch from the mapped files. Does not know how pictures are made.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

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


def smaller(pictures: Tensor, share: float) -> Tensor:
    """Pictures (B, 3, H, W) at a share of their size, averaged."""
    return functional.interpolate(pictures, scale_factor=share, mode="bilinear", antialias=True)
