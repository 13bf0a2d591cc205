"""The blocks that a network repeats, in the order in which they compute: what is compiled, and copied, one by one.

Does not know what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import nn
from transformers.models.clip.modeling_clip import CLIPEncoderLayer


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Of the VQGAN, those that decode. What lies outside of the blocks computes before them, between or after."""
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
