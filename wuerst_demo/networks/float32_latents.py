"""Float32 latents for prior and decoder in half precision: only the layers between input and output are rounded.

Both networks end in (x - a) / b, from their input x and two outputs a and b. Near t = 1 the denoising update amplifies
errors of that quotient a hundredfold, so half precision must not round x, the quotient or the time.

`use_float32_latents` exchanges the classes of the first and the last modules; parameters and names stay.
"""

from __future__ import annotations

from typing import Any

from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import TimestepBlock
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn


class _RoundedProjection(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class _RoundedEmbedding(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        rounded: Tensor = super().forward(x.to(next(self.parameters()).dtype))  # type: ignore[no-untyped-call]
        return rounded


class _RoundedTimestepBlock(TimestepBlock):
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        shifted: Tensor = super().forward(x, t.to(x.dtype))  # type: ignore[no-untyped-call]
        return shifted


class _Float32Output(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return output.float()


def use_float32_latents(network: WuerstchenPrior | WuerstchenDiffNeXt) -> None:
    """Makes a network take latents and times in float32 and return predicted noise in float32, in place; text and image
    embeddings keep its dtype. Call it before compiling and offload."""
    for module in network.modules():
        if isinstance(module, TimestepBlock):
            block: Any = module
            block.__class__ = _RoundedTimestepBlock
    changed: Any = network
    if isinstance(network, WuerstchenPrior):
        changed.projection.__class__, changed.out.__class__ = _RoundedProjection, _Float32Output
    else:
        changed.embedding.__class__, changed.clf.__class__ = _RoundedEmbedding, _Float32Output
