"""Attention kernels, set block by block in prior and decoder.

diffusers gives the prior its plain processor (since 0.22), its xFormers switch reaches only one of both networks, and
the decoder has no setter; so each attention block gets its processor here. The text encoders use SDPA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, XFormersAttnProcessor
from torch import Tensor, nn

ATTENTION_PROCESSORS: Mapping[str, type] = MappingProxyType(
    {"sdpa": AttnProcessor2_0, "xformers": XFormersAttnProcessor}
)
"""Values of `--attention` and their diffusers processors."""


def set_attention_processors(network: nn.Module, attention: str) -> None:
    """Sets the processor of every attention block, in place. `attention` is a key of ATTENTION_PROCESSORS."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(ATTENTION_PROCESSORS[attention]())


def attention_function(attention: Attention) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The kernel of a block's processor: query (B, Q, heads, D), key and value (B, K, heads, D) -> (B, Q, heads, D)."""
    return _xformers if isinstance(attention.processor, XFormersAttnProcessor) else _sdpa


def _sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def _xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from xformers.ops import memory_efficient_attention

    result: Tensor = memory_efficient_attention(query, key, value)
    return result
