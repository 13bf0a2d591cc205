"""LoRAs put into the prior's weights while those are loaded.

Merged, not kept beside the network: a step costs nothing more, and offload, compiling and attention see the network
they always see. The sum is made in float32, wherever the weights are stored in more than their final type, and rounded
once. Another scale means loading anew.

Does not know which files are meant, nor names: what changes what stands in the LoRAs' pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.lora import Lora, Pair
from wuerst_demo.model.weights import again


def merged(weight: Tensor, name: str, loras: Sequence[Lora]) -> Tensor:
    """The prior's weight of this name with what the LoRAs add to it, in float32, where the weight is; without any, the
    weight as it is.

    Raises CheckpointError for a LoRA that holds values that are no numbers, or that cannot be read any more.
    """
    for lora in loras:
        for pair in lora.pairs:
            if pair.weight == name:
                weight = weight.float() + _change(lora, pair, weight)
    return weight


def _change(lora: Lora, pair: Pair, weight: Tensor) -> Tensor:
    """What one LoRA adds to a weight."""
    try:
        with safe_open(lora.path, framework="pt", device="cpu") as file:
            down = file.get_tensor(pair.down).to(weight.device, torch.float32).flatten(1)
            up = file.get_tensor(pair.up).to(weight.device, torch.float32).flatten(1)
            alpha = float(file.get_tensor(pair.alpha)) if pair.alpha else 1.0
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{lora.path} cannot be read: {again(lora.path)}.") from error
    change = (pair.strength * alpha) * (up @ down)
    if not bool(change.isfinite().all()):
        raise CheckpointError(
            f"{lora.name} holds values that are no numbers, or far too large ones (for {pair.weight!r}):"
            f" {again(lora.path)}, or give another LoRA."
        )
    fitting: Tensor = change.reshape(weight.shape)
    return fitting
