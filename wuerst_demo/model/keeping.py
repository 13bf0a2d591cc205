"""Work that is the same at every step of a row, done once: the keys and values of its text in every attention block.

Both networks map the text, and in each of their attention blocks map it again into keys and values, at every step. A
keeping network has `keep`, which does that once for a text and gives one tensor, (B, T, 1, 2 * the channels of all
attention blocks), that its forward takes in the text's place. Texts as they are, (B, T, D), it takes as before.

The classes of a loaded network and its blocks are exchanged for those here, which add to them; weights, names and
modules stay. Hooks on blocks see every use of them, and `keep` tells the hook of the whole network as a forward does.
Does not know rows, and holds nothing: what is kept belongs to whoever asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast, runtime_checkable

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import AttnBlock
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from wuerst_demo.model.attention import kernel


@runtime_checkable
class Keeping(Protocol):
    """A network that keeps texts."""

    def keep(self, text: Tensor) -> Tensor:
        """For texts (B, T, D) what the forward takes in their place."""


def keeping(network: WuerstchenPrior | WuerstchenDiffNeXt) -> None:
    """Makes a network keep texts, in place. Comes before whatever wraps its forward, such as offload or compiling."""
    begin = 0
    for module in network.modules():
        if isinstance(module, AttnBlock):
            block: Any = module
            block.__class__ = _Block
            block.begin, block.end = begin, begin + 2 * block.attention.to_k.out_features
            begin = block.end
    changed: Any = network
    if isinstance(network, WuerstchenPrior):
        changed.__class__ = _Prior
        changed.cond_mapper.__class__ = _Mapper
    else:
        changed.__class__ = _Decoder


class _Block(AttnBlock):
    """An attention block that takes keys and values of the text, or gives them where it gets no latents."""

    begin: int
    end: int
    """Where its own are in what the network keeps."""

    def __call__(self, x: Tensor | None, kv: Tensor) -> Tensor:
        # Outside of what is compiled: blocks that are alike but for their places share one compiled forward.
        own = kv if x is None or kv.dim() == 3 else kv[..., self.begin : self.end]
        seen: Tensor = super().__call__(x, own)
        return seen

    def forward(self, x: Tensor | None, kv: Tensor) -> Tensor:
        attention = self.attention
        if x is None:
            text = self.kv_mapper(kv)
            return torch.cat([attention.to_k(text), attention.to_v(text)], dim=2)
        if kv.dim() == 3:
            plain: Tensor = super().forward(x, kv)  # type: ignore[no-untyped-call]
            return plain
        keys, values = kv.squeeze(2).chunk(2, dim=2)
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        query = attention.to_q(tokens)
        key = torch.cat([attention.to_k(tokens), keys], dim=1)
        value = torch.cat([attention.to_v(tokens), values], dim=1)
        heads = [each.unflatten(2, (attention.heads, -1)) for each in (query, key, value)]
        seen = kernel(attention)(*heads).flatten(2)
        for layer in attention.to_out:
            seen = layer(seen)
        return x + seen.transpose(1, 2).reshape(x.shape)


class _Mapper(nn.Sequential):
    def forward(self, text: Tensor) -> Tensor:
        return text if text.dim() == 4 else cast(Tensor, super().forward(text))  # type: ignore[no-untyped-call]


class _Prior(WuerstchenPrior):
    @apply_forward_hook  # type: ignore[untyped-decorator]
    def keep(self, text: Tensor) -> Tensor:
        return _kept(self.blocks, self.cond_mapper(text))


class _Decoder(WuerstchenDiffNeXt):
    @apply_forward_hook  # type: ignore[untyped-decorator]
    def keep(self, text: Tensor) -> Tensor:
        return _kept((block for level in (*self.down_blocks, *self.up_blocks) for block in level), self._mapped(text))

    def gen_c_embeddings(self, clip: Tensor) -> Tensor:
        return clip if clip.dim() == 4 else self._mapped(clip)

    def _mapped(self, clip: Tensor) -> Tensor:
        mapped: Tensor = super().gen_c_embeddings(clip)  # type: ignore[no-untyped-call]
        return mapped


def _kept(blocks: Iterable[nn.Module], text: Tensor) -> Tensor:
    """The keys and values of mapped texts in these blocks, side by side."""
    # Called as modules, for their hooks; once a text, so not worth compiling.
    with torch.compiler.set_stance("force_eager"):
        return torch.cat([block(None, text) for block in blocks if isinstance(block, _Block)], dim=2).unsqueeze(2)
