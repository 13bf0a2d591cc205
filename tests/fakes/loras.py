"""LoRA files in every supported style of keys."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

RANK = 3
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def random_changes(weights):
    """Random (down, up) matrices for every attention layer among the prior's weights, by layer."""
    torch.manual_seed(7)
    layers = [name.removesuffix(".weight") for name in weights if name.removesuffix(".weight").endswith(ATTENTION)]
    assert layers
    width = weights[f"{layers[0]}.weight"].shape[0]
    return {layer: (torch.randn(RANK, width) / 8, torch.randn(width, RANK) / 8) for layer in layers}


def diffusers_2023_keys(changes):
    """Keys of the training script of 2023."""
    tensors = {}
    for layer, (down, up) in changes.items():
        block, _, inside = layer.partition(".attention.")
        stem = f"prior.{block}.attention.processor.{inside.removesuffix('.0')}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return tensors


def diffusers_keys(changes, between="lora", prefix="prior."):
    return {
        f"{prefix}{layer}.{between}.{side}.weight": matrix
        for layer, pair in changes.items()
        for side, matrix in zip(("down", "up"), pair, strict=True)
    }


def peft_keys(changes, prefix="prior.", adapter=""):
    return {
        f"{prefix}{layer}.lora_{side}{adapter}.weight": matrix
        for layer, pair in changes.items()
        for side, matrix in zip("AB", pair, strict=True)
    }


def onetrainer_keys(changes, prefix="lora_prior_unet_", dot="_"):
    """Keys of OneTrainer, each layer with an alpha; it is the rank, so the strength is 1."""
    tensors = {}
    for layer, (down, up) in changes.items():
        stem = prefix + layer.replace(".", dot)
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(float(RANK))
    return tensors


def write_lora(path: Path, tensors, metadata=None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, metadata)
    return str(path)
