"""The published networks by their options, and checkpoints of such networks with weights that nobody trained.

What is written is laid out as the Hub's repositories are and stored in float32, as they are: 12.4 GB for all of it.
The tokenizers are the shipped checkpoint's. Does not know what is measured with it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from diffusers.models.modeling_utils import no_init_weights
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from wuerst_demo.model.source import SHIPPED

Networks = Mapping[str, Mapping[str, Any]]
"""Folder of a network, as in "wuerstchen-prior/prior" -> its options; what they leave out has the class's default."""

_TEXT = {"num_attention_heads": 16, "hidden_act": "gelu"}
PUBLISHED: Networks = {
    "wuerstchen-prior/prior": {"c_in": 16, "c": 1536, "c_cond": 1280, "c_r": 64, "depth": 32, "nhead": 24},
    "wuerstchen-prior/text_encoder": _TEXT
    | {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "intermediate_size": 5120},
    "wuerstchen/decoder": {},
    "wuerstchen/text_encoder": _TEXT | {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    "wuerstchen/vqgan": {},
}
SMALL: Networks = {
    "wuerstchen-prior/prior": {"c_in": 16, "c": 512, "c_cond": 512, "c_r": 64, "depth": 8, "nhead": 8},
    "wuerstchen-prior/text_encoder": _TEXT | {"hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1024},
    "wuerstchen/decoder": {
        "c_hidden": [64, 128],
        "nhead": [-1, 4],
        "blocks": [2, 2],
        "level_config": ["CT", "CTA"],
        "inject_effnet": [False, True],
        "c_cond": 256,
        "clip_embd": 512,
    },
    "wuerstchen/text_encoder": _TEXT | {"hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1024},
    "wuerstchen/vqgan": {},
}
"""116 million numbers: 465 MB in float32."""

_CLASSES: Mapping[str, Any] = {"prior": WuerstchenPrior, "decoder": WuerstchenDiffNeXt, "vqgan": PaellaVQModel}
_BLOCK = 2**24 - 3
"""Random numbers made once and used again and again: a prime, so that rows of weights do not repeat."""


def laid_out(networks: Networks) -> Iterator[tuple[str, nn.Module]]:
    """The networks by folder, without memory for their weights."""
    for place, options in networks.items():
        name = Path(place).name
        with no_init_weights(), init_empty_weights():
            yield (
                place,
                CLIPTextModel(CLIPTextConfig(**options)) if name == "text_encoder" else _CLASSES[name](**options),
            )


def stored_bytes(networks: Networks) -> int:
    """How much room their weights take on a disk."""
    return sum(_bytes(tensor) for _, network in laid_out(networks) for tensor in network.state_dict().values())


def write(folder: Path, networks: Networks, fill: Literal["zeros", "random"]) -> None:
    """A checkpoint of these networks in `folder / "wuerstchen"`, its prior beside it.

    Zeros are holes in sparse files and take no room. Random weights are of a size at which every layer gives about as
    much as it takes, so that nothing ends in infinity, in float16 neither; what they draw is noise.
    """
    shipped = SHIPPED.parent
    left = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "demo.json")
    shutil.copytree(shipped, folder, dirs_exist_ok=True, ignore=left, copy_function=shutil.copyfile)
    noise = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0))
    for place, network in laid_out(networks):
        text = Path(place).name == "text_encoder"
        said = {"architectures": ["CLIPTextModel"]} if text else {"_class_name": type(network).__name__}
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "config.json").write_text(json.dumps({**networks[place], **said}))
        tensors = network.state_dict()
        header, end = dict[str, Any](), 0
        for name, tensor in tensors.items():
            size = _bytes(tensor)
            dtype = "F32" if tensor.is_floating_point() else "I64"
            header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
            end += size
        head = json.dumps(header).encode()
        stem = "model" if text else "diffusion_pytorch_model"
        with (folder / place / f"{stem}.safetensors").open("wb") as file:
            file.write(len(head).to_bytes(8, "little") + head)
            if fill == "zeros":
                file.truncate(8 + len(head) + end)
            else:
                for name, tensor in tensors.items():
                    _write(file, name, tensor, noise)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * (4 if tensor.is_floating_point() else 8)


def _write(file: BinaryIO, name: str, tensor: Tensor, noise: Tensor) -> None:
    """Random weights for one tensor, in pieces."""
    if not tensor.is_floating_point():
        file.write(bytes(8 * tensor.numel()))
        return
    scale, around = 0.02, float(name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "running_var")))
    if tensor.dim() > 1:
        scale = math.prod(tensor.shape[1:]) ** -0.5
    if name.startswith(("effnet_mappers", "out.")):
        scale *= 0.05  # the prior's latents are 42 times as large as what a layer gives
    left = tensor.numel()
    while left:
        piece = noise[: min(left, _BLOCK)] * scale + around
        file.write(piece.numpy().data)
        left -= piece.numel()
