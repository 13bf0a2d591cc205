"""Components of a loaded cascade: three networks, two text encoders with tokenizers, and the latent constants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wuerst_demo.checkpoints.network_config import LatentScaling

if TYPE_CHECKING:
    import torch
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
    from transformers import CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True)
class PromptComponents:
    """Text encoders and tokenizers of a checkpoint, for prompts alone."""

    prior_text_encoder: CLIPTextModel
    prior_tokenizer: CLIPTokenizer
    decoder_text_encoder: CLIPTextModel
    decoder_tokenizer: CLIPTokenizer


@dataclass(frozen=True)
class CascadeComponents:
    """Networks, text encoders and tokenizers of a checkpoint, and how its latents fit together.

    The prior's latents for an image of H x W pixels are (B, 16, ceil(H / resolution_multiple),
    ceil(W / resolution_multiple)).
    """

    prior: WuerstchenPrior
    prior_text_encoder: CLIPTextModel
    prior_tokenizer: CLIPTokenizer
    decoder: WuerstchenDiffNeXt
    decoder_text_encoder: CLIPTextModel
    decoder_tokenizer: CLIPTokenizer
    vqgan: PaellaVQModel
    scaling: LatentScaling = LatentScaling()
    name: str = ""
    revision: str = ""

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of the three networks. A network's own `dtype` looks through all its modules each time."""
        return self.prior.dtype
