"""Repeated blocks of each network: the units of compiling and of offload."""

from __future__ import annotations

from collections.abc import Iterator

from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import nn
from transformers.models.clip.modeling_clip import CLIPEncoderLayer


def repeated_blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The blocks in the order in which they compute; of the VQGAN, its decoder's only."""
    match network:
        case WuerstchenPrior():
            yield from network.blocks
        case WuerstchenDiffNeXt():
            for level in (*network.down_blocks, *network.up_blocks):
                yield from level
        case PaellaVQModel():
            yield from network.up_blocks
        case _:
            yield from (module for module in network.modules() if isinstance(module, CLIPEncoderLayer))
