"""Memory estimate of a checkpoint, before it is loaded: its weights and the activations of one step.

The estimate follows from the configs alone. The factors of `estimate_activations` were found by counting the bytes of
all tensors alive at one time while networks of the published size compute on torch's "meta" device; a slow test counts
them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wuerst_demo.checkpoints.network_config import DECODER, PRIOR, VQGAN

if TYPE_CHECKING:
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
    from wuerst_demo.checkpoints.network_config import NetworkConfig

BYTES_PER_ELEMENT = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Supported dtypes -> bytes per element."""
GPU_LIBRARY_BYTES = 300 * 2**20
"""Upper bound of what CUDA or Metal and their libraries allocate for themselves."""
SLICED_VQGAN = "VQGAN in slices"
"""Key of the activations of a VQGAN whose widest layers compute in slices."""


def format_bytes(count: int) -> str:
    """Display text of a number of bytes: 61 MB, 12.4 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@dataclass(frozen=True)
class MemoryEstimate:
    """Numbers of elements, independent of the dtype."""

    weights: Mapping[str, int]
    """By network."""
    activations: Mapping[str, int]
    """By denoising network, VQGAN and SLICED_VQGAN: peak for one image of the default size."""
    largest_layer: int
    """Weights of the largest layer."""

    @property
    def total_weights(self) -> int:
        """Weights of all networks together."""
        return sum(self.weights.values())

    def elements(self, offload: str) -> int:
        """Peak number of elements on the device with this offload mode."""
        if offload == "sequential":
            # Offload slices the VQGAN's widest layers.
            return self.largest_layer + max(
                count for network, count in self.activations.items() if network != VQGAN.name
            )
        if offload == "model":
            return max(count + self.activations.get(network, 0) for network, count in self.weights.items())
        return self.total_weights + max(self.activations.values())

    def device_bytes(self, device: str, offload: str, dtype: str) -> int:
        """Peak bytes on the device, on a GPU with the allocations of its libraries."""
        return self.elements(offload) * BYTES_PER_ELEMENT[dtype] + (0 if device == "cpu" else GPU_LIBRARY_BYTES)


def estimate_memory(checkpoint: ResolvedCheckpoint) -> MemoryEstimate:
    """Estimate for one image of the checkpoint's default size."""
    limits = checkpoint.info.limits
    pixels = int(limits.number("width").default or 0) * int(limits.number("height").default or 0)
    return MemoryEstimate(
        weights={network.kind.name: network.parameters for network in checkpoint.networks},
        activations=estimate_activations(
            checkpoint.prior.config,
            checkpoint.decoder.config,
            checkpoint.vqgan.config,
            pixels,
            checkpoint.scaling.resolution_multiple,
        ),
        largest_layer=max(tensor.elements for network in checkpoint.networks for tensor in network.tensors),
    )


def estimate_activations(
    prior: NetworkConfig, decoder: NetworkConfig, vqgan: NetworkConfig, pixels: int, resolution_multiple: float
) -> dict[str, int]:
    """Peak activations, in elements by network, for one image of `pixels` pixels (width * height).

    A block is four times as wide inside as outside. Alive at one time are 3.6 tensors of the inner width in the prior,
    which computes two samples (guided by default), 4.5 in the decoder and 2.8 in the VQGAN; in slices, 5.1 of the
    outer width.
    """
    levels = enumerate(decoder["c_hidden"])
    widest = max(4 * width * pixels / 16 / decoder["patch_size"] ** 2 / 4**level for level, width in levels)
    last = vqgan["embed_dim"] // 2 ** (vqgan["levels"] - 1) * pixels / vqgan["up_down_scale_factor"] ** 2
    return {
        PRIOR.name: int(3.6 * 2 * 4 * prior["c"] * pixels / resolution_multiple**2),
        DECODER.name: int(4.5 * widest),
        VQGAN.name: int(2.8 * 4 * last),
        SLICED_VQGAN: int(5.1 * last),
    }
