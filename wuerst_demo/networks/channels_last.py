"""Channels-last forward passes of the decoder's and the prior's blocks.

diffusers' `ResBlockStageB` concatenates a channels-last x with a contiguous skip, which makes the result contiguous in
neither layout: the linear layer that follows falls from one matrix product (`addmm`) to one per sample (`bmm`, with the
weight expanded). `GlobalResponseNorm` takes `torch.norm` over two dimensions, which no kernel does well. These forwards
concatenate in (B, H, W, C) just before the linear layer, and sum squares over the flattened positions.

`use_channels_last` exchanges the classes of loaded blocks; parameters and names stay. Results agree up to rounding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import GlobalResponseNorm
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import ResBlockStageB
from torch import Tensor, nn


class _ChannelsLastResBlock(ResBlockStageB):
    """Residual block for x (B, C, H, W) and a skip (B, S, H, W)."""

    def forward(self, x: Tensor, x_skip: Tensor | None = None) -> Tensor:
        hidden = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)
        if x_skip is not None:
            hidden = torch.cat([hidden, x_skip.permute(0, 2, 3, 1)], dim=3)
        return x + cast(Tensor, self.channelwise(hidden)).permute(0, 3, 1, 2)


class _FlatResponseNorm(GlobalResponseNorm):
    """Global response norm for x (B, H, W, C): x + gamma * x * n / mean(n) + beta, n the norm of each channel over
    all positions (ConvNeXt V2, arXiv 2301.00808, section 3)."""

    def forward(self, x: Tensor) -> Tensor:
        norm = x.flatten(1, 2).float().square().sum(1).sqrt()[:, None, None, :]
        scale = 1 + self.gamma * (norm / (norm.mean(dim=-1, keepdim=True) + 1e-6))
        return torch.addcmul(self.beta, x, scale.to(x.dtype))


def use_channels_last(network: nn.Module) -> None:
    """Makes the blocks of prior or decoder compute channels-last, in place. Call it before compiling and offload."""
    for module in network.modules():
        changed: Any = module
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            changed.to(memory_format=torch.channels_last)  # else its weights are copied in every forward pass
        elif isinstance(module, ResBlockStageB):
            changed.__class__ = _ChannelsLastResBlock
        elif isinstance(module, GlobalResponseNorm):
            changed.__class__ = _FlatResponseNorm


def channels_last(latents: Tensor) -> Tensor:
    """The latents (n, C, h, w) with their channels last in memory, so that linear layers see one matrix and residual
    blocks add without reordering. Measured on CPUs alone."""
    return latents.contiguous(memory_format=torch.channels_last) if latents.device.type in ("cpu", "cuda") else latents
