"""Which kernels compute the attention, set block by block in both networks.

diffusers sets its plain attention on the prior (since 0.22), has a switch for xFormers that reaches one of the two
networks, and gives the decoder no way to set any; so every attention block gets its processor here. The text encoders
of transformers use SDPA by themselves. Does not know which kernels a machine has.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from diffusers.models.attention_processor import Attention, AttnProcessor2_0, XFormersAttnProcessor
from torch import nn

PROCESSORS: Mapping[str, type] = MappingProxyType({"sdpa": AttnProcessor2_0, "xformers": XFormersAttnProcessor})
"""`--attention` -> diffusers' processor for it."""


def attend(network: nn.Module, how: str) -> None:
    """Sets the processor of every attention block, in place. `how` is one of PROCESSORS."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(PROCESSORS[how]())
