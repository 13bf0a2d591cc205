"""Work that is the same at every step, taken out of the decoder: folded into its weights once, after loading.

At each level with image embeddings, a 1x1 convolution maps their 16 channels to `c_cond` (1024 as published), and the
first linear layer of every residual block there takes those beside the block's own channels. Nothing stands between
the two, so their product takes the 16 channels as they are: a sixth of the published decoder's work and a fifth of its
weights are gone. The decoder's own forward runs on unchanged, between identities where the
convolutions stood: hooks and compilers see a network like any other.

What is computed is the same but for rounding. Does not know files, devices or steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import ResBlockStageB
from torch import nn

if TYPE_CHECKING:
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt


@torch.no_grad()
def fold(decoder: WuerstchenDiffNeXt) -> None:
    """Folds the mappers of the image embeddings into the layers that take what they give, in place and once.

    The decoder has its final type and is at home; afterwards its state dict is no longer that of its class.
    """
    levels = [*decoder.down_blocks, *decoder.up_blocks]
    for index, (mapper, level) in enumerate(zip(decoder.effnet_mappers, levels, strict=True)):
        if not isinstance(mapper, nn.Conv2d):
            continue
        for block in level:
            if isinstance(block, ResBlockStageB):
                first = block.channelwise[0]
                assert isinstance(first, nn.Linear)
                block.channelwise[0] = _folded(first, mapper)
        decoder.effnet_mappers[index] = nn.Identity()


def _folded(linear: nn.Linear, mapper: nn.Conv2d) -> nn.Linear:
    """The layer that does to (own channels, embeddings) what `linear` does to (own channels, mapper(embeddings))."""
    own = linear.in_features - mapper.out_channels
    weight, bias = linear.weight.float(), linear.bias.float()
    mapping = mapper.weight.float().flatten(1)
    folded = nn.Linear(own + mapper.in_channels, linear.out_features, device="meta")
    joined = torch.cat([weight[:, :own], weight[:, own:] @ mapping], dim=1)
    if mapper.bias is not None:
        bias = bias + weight[:, own:] @ mapper.bias.float()
    folded.weight = nn.Parameter(joined.to(linear.weight.dtype), requires_grad=False)
    folded.bias = nn.Parameter(bias.to(linear.bias.dtype), requires_grad=False)
    return folded.eval()
