"""A faster, equivalent residual block of the VQGAN for training.

Six scalars of the block scale and shift whole activations. Here they are part of the weights of the layers before or
after, which are thousands of times smaller. On a CPU it about halves the time of a training step.
"""

from typing import Any

from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock
from torch import Tensor, nn
from torch.nn import functional

NORM_EPSILON = 1e-6  #: As in MixingResidualBlock.


class FastMixingResidualBlock(MixingResidualBlock):
    """MixingResidualBlock with the same parameters; (B, C, H, W) to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        scales = self.gammas
        channels = (x.shape[1],)
        layers: Any = (*self.depthwise, *self.channelwise)
        pad, depthwise, widen, activate, narrow = layers

        def normalise(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
            weight, bias = (1 + scale).expand(channels), shift.expand(channels)
            return functional.layer_norm(x.permute(0, 2, 3, 1), channels, weight, bias, NORM_EPSILON)

        inner = pad(normalise(x, scales[0], scales[1]).permute(0, 3, 1, 2))
        x = x + functional.conv2d(inner, depthwise.weight * scales[2], depthwise.bias * scales[2], groups=x.shape[1])
        inner = activate(widen(normalise(x, scales[3], scales[4])))
        inner = functional.linear(inner, narrow.weight * scales[5], narrow.bias * scales[5])
        out: Tensor = x + inner.permute(0, 3, 1, 2)
        return out


def use_fast_mixing(network: nn.Module) -> None:
    """Replaces the forward pass of every MixingResidualBlock of `network`, in place."""
    for module in network.modules():
        if isinstance(module, MixingResidualBlock):
            module.__class__ = FastMixingResidualBlock
