"""Text KV cache: the keys and values of a text in every attention block, computed once instead of at every step.

Both networks map the text embeddings, and each attention block maps them again to keys and values. A network with a
cache has `compute_text_kv`, which does that once per text; its forward pass takes the result in place of the text
embeddings, which it takes as before, too. The network holds no state: the caller keeps the result.

`enable_text_kv_cache` exchanges the classes of a loaded network and its blocks for subclasses; weights, names and
modules stay. Hooks on blocks see every use of them, and `compute_text_kv` triggers the hook of the whole network as its
forward pass does. diffusers uses the same term for other models (hooks/text_kv_cache.py).
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

from wuerst_demo.networks.attention import attention_function


@runtime_checkable
class TextKVCache(Protocol):
    """A network with a text KV cache."""

    def compute_text_kv(self, text: Tensor) -> Tensor:
        """Text embeddings (B, T, D) -> their keys and values (B, T, 1, 2 * the channels of all attention blocks)."""


def enable_text_kv_cache(network: WuerstchenPrior | WuerstchenDiffNeXt) -> None:
    """Gives a network a text KV cache, in place. Call it before offload and compiling, which wrap the forward pass."""
    begin = 0
    for module in network.modules():
        if isinstance(module, AttnBlock):
            block: Any = module
            block.__class__ = _CachedAttnBlock
            block.kv_begin, block.kv_end = begin, begin + 2 * block.attention.to_k.out_features
            begin = block.kv_end
    changed: Any = network
    if isinstance(network, WuerstchenPrior):
        changed.__class__ = _CachedPrior
        changed.cond_mapper.__class__ = _CachedTextMapper
    else:
        changed.__class__ = _CachedDecoder


class _CachedAttnBlock(AttnBlock):
    """Attention block for latents x (B, C, h, w) and a text, as mapped embeddings (B, T, c_cond) or as cached keys and
    values (B, T, 1, K). Without latents it returns the text's keys and values (B, T, 2 C)."""

    kv_begin: int
    kv_end: int
    """This block's slice of the cached channels K."""

    def __call__(self, x: Tensor | None, kv: Tensor) -> Tensor:
        # Sliced outside of the compiled forward pass, which equal blocks share.
        own = kv if x is None or kv.dim() == 3 else kv[..., self.kv_begin : self.kv_end]
        result: Tensor = super().__call__(x, own)
        return result

    def forward(self, x: Tensor | None, kv: Tensor) -> Tensor:
        attention = self.attention
        if x is None:
            text = self.kv_mapper(kv)
            return torch.cat([attention.to_k(text), attention.to_v(text)], dim=2)
        if kv.dim() == 3:
            uncached: Tensor = super().forward(x, kv)  # type: ignore[no-untyped-call]
            return uncached
        keys, values = kv.squeeze(2).chunk(2, dim=2)
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        query = attention.to_q(tokens)
        key = torch.cat([attention.to_k(tokens), keys], dim=1)
        value = torch.cat([attention.to_v(tokens), values], dim=1)
        heads = [each.unflatten(2, (attention.heads, -1)) for each in (query, key, value)]
        result = attention_function(attention)(*heads).flatten(2)
        for layer in attention.to_out:
            result = layer(result)
        return x + result.transpose(1, 2).reshape(x.shape)


class _CachedTextMapper(nn.Sequential):
    """The prior's `cond_mapper`, which passes cached keys and values (B, T, 1, K) through."""

    def forward(self, text: Tensor) -> Tensor:
        return text if text.dim() == 4 else cast(Tensor, super().forward(text))  # type: ignore[no-untyped-call]


class _CachedPrior(WuerstchenPrior):
    @apply_forward_hook  # type: ignore[untyped-decorator]
    def compute_text_kv(self, text: Tensor) -> Tensor:
        return _project_text_kv(self.blocks, self.cond_mapper(text))


class _CachedDecoder(WuerstchenDiffNeXt):
    @apply_forward_hook  # type: ignore[untyped-decorator]
    def compute_text_kv(self, text: Tensor) -> Tensor:
        blocks = (block for level in (*self.down_blocks, *self.up_blocks) for block in level)
        return _project_text_kv(blocks, self._map_text(text))

    def gen_c_embeddings(self, clip: Tensor) -> Tensor:
        return clip if clip.dim() == 4 else self._map_text(clip)

    def _map_text(self, clip: Tensor) -> Tensor:
        mapped: Tensor = super().gen_c_embeddings(clip)  # type: ignore[no-untyped-call]
        return mapped


def _project_text_kv(blocks: Iterable[nn.Module], text: Tensor) -> Tensor:
    """Mapped texts (B, T, c_cond) -> the keys and values of all attention blocks (B, T, 1, K)."""
    # Called as modules, so that their hooks run; uncompiled, because it runs once per text.
    with torch.compiler.set_stance("force_eager"):
        return torch.cat(
            [block(None, text) for block in blocks if isinstance(block, _CachedAttnBlock)], dim=2
        ).unsqueeze(2)
