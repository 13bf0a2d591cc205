"""LoRA merging: LoRAs added to the prior's weights while they are loaded.

Merged weights cost nothing per step, and offload, compiling and attention see an ordinary network. The sum is computed
in float32 and rounded once to the final dtype. Another scale requires loading again. LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wuerst_demo.checkpoints.lora_mapping import Lora, LoraPair
from wuerst_demo.checkpoints.safetensors_header import refetch_remedy
from wuerst_demo.errors import CheckpointError


def merge_loras(weight: Tensor, name: str, loras: Sequence[Lora]) -> Tensor:
    """A weight plus the deltas of all LoRAs for its name, float32 on its device; without any, the weight itself.

    Raises CheckpointError for a LoRA that has values that are not finite, or that cannot be read any more.
    """
    for lora in loras:
        for pair in lora.pairs:
            if pair.weight == name:
                weight = weight.float() + _weight_delta(lora, pair, weight)
    return weight


def _weight_delta(lora: Lora, pair: LoraPair, weight: Tensor) -> Tensor:
    """strength * alpha * (up @ down), in the shape of the weight (out, in) or (out, in, kh, kw)."""
    try:
        with safe_open(lora.path, framework="pt", device="cpu") as file:
            down = file.get_tensor(pair.down).to(weight.device, torch.float32).flatten(1)
            up = file.get_tensor(pair.up).to(weight.device, torch.float32).flatten(1)
            alpha = float(file.get_tensor(pair.alpha)) if pair.alpha else 1.0
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{lora.path} cannot be read: {refetch_remedy(lora.path)}.") from error
    delta = (pair.strength * alpha) * (up @ down)
    if not bool(delta.isfinite().all()):
        raise CheckpointError(
            f"{lora.name} has values that are not finite or far too large (for {pair.weight!r}):"
            f" {refetch_remedy(lora.path)}, or give another LoRA."
        )
    reshaped: Tensor = delta.reshape(weight.shape)
    return reshaped
