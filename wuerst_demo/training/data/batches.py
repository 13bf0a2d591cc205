"""Batches of a dataset as tensors on the training device.

A GPU keeps whole arrays in its memory: 60,000 scenes are 14 GB of images and 3 GB of latents. A CPU reads each batch
from the memory-mapped files.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wuerst_demo.training.data.dataset import Batch, SceneDataset, Size


class BatchLoader:
    """The arrays of `dataset` as tensors on `device`."""

    def __init__(self, dataset: SceneDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self._on_device: dict[tuple[str, Size], Tensor] = {}

    def images(self, batch: Batch) -> Tensor:
        """Images (B, 3, H, W) in 0..1."""
        return self._load("pictures", batch).permute(0, 3, 1, 2).float().div_(255)

    def derived(self, kind: str, batch: Batch) -> Tensor:
        """The "latents" (B, 4, H / 4, W / 4) or the "z" (B, LATENT_CHANNELS, 3 H / 128, 3 W / 128), float32."""
        return self._load(kind, batch).float()

    def derive(self, kind: str, encode: Callable[[Tensor], Tensor], half: torch.dtype | None = None) -> None:
        """Writes `encode` (B, 3, H, W) -> (B, C, h, w) of all images as float16, under autocast to `half` if given."""

        @torch.no_grad()
        def compute(batch: Batch) -> np.ndarray:
            with torch.autocast(self.device.type, half, enabled=half is not None):
                encoded = encode(self.images(batch))
            return encoded.float().cpu().half().numpy()

        self.dataset.derive(kind, compute)

    def _load(self, kind: str, batch: Batch) -> Tensor:
        key = kind, batch.size
        if self.device.type != "cuda":
            return torch.from_numpy(self.dataset.array(*key)[batch.numbers]).to(self.device)
        if key not in self._on_device:
            self._on_device[key] = torch.from_numpy(np.array(self.dataset.array(*key))).to(self.device)
        return self._on_device[key][torch.from_numpy(batch.numbers).to(self.device)]


def downscale(images: Tensor, scale: float) -> Tensor:
    """Images (B, 3, H, W) antialiased to `scale` times their height and width."""
    return functional.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)
