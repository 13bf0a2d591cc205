"""Which kernels compute the attention, set block by block in both networks.

diffusers sets its plain attention on the prior (since 0.22), has a switch for xFormers that reaches one of the two
networks, and gives the decoder no way to set any; so every attention block gets its processor here. The text encoders
of transformers use SDPA by themselves. Does not know which kernels a machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, XFormersAttnProcessor
from torch import Tensor, nn

PROCESSORS: Mapping[str, type] = MappingProxyType({"sdpa": AttnProcessor2_0, "xformers": XFormersAttnProcessor})
"""`--attention` -> diffusers' processor for it."""


def attend(network: nn.Module, how: str) -> None:
    """Sets the processor of every attention block, in place. `how` is one of PROCESSORS."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(PROCESSORS[how]())


def kernel(attention: Attention) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """What a block's processor computes with: queries, keys and values, each (B, tokens, heads, D), become values of
    the queries' shape."""
    return _xformers if isinstance(attention.processor, XFormersAttnProcessor) else _sdpa


def _sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def _xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from xformers.ops import memory_efficient_attention

    seen: Tensor = memory_efficient_attention(query, key, value)
    return seen
