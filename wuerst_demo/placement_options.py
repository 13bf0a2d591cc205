"""How the networks are to be run: the options that are decided for a machine by `wuerst_demo.devices.placement`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlacementOptions:
    """The requested device, dtype, offload and kernels; what is "auto" is chosen for the machine and the checkpoint."""

    device: str = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    dtype: str = "auto"
    """auto, float32, float16 or bfloat16."""
    offload: str = "auto"
    """auto, none, model (one network on the GPU at a time) or sequential (one layer at a time)."""
    attention: str = "sdpa"
    """sdpa or xformers."""
    compile: bool = False
    """Whether prior and decoder run through torch.compile."""
    backend: str = "torch"
    """torch, or openvino on a CPU."""
