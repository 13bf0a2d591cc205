"""The parts of a loaded cascade, and the four numbers of the published checkpoints that tie them together.

Does not know where the parts came from or how they are run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
    from transformers import CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True)
class Parts:
    """Three networks, two text encoders with their tokenizers, and how their latents fit together.

    `latent_mean`, `latent_std` and `resolution_multiple` stand in the prior repository's model_index.json,
    `latent_dim_scale` in the decoder's; the defaults are the published ones. The prior's latents for a picture of
    H x W pixels are (B, 16, ceil(H / resolution_multiple), ceil(W / resolution_multiple)).
    """

    prior: WuerstchenPrior
    prior_text_encoder: CLIPTextModel
    prior_tokenizer: CLIPTokenizer
    decoder: WuerstchenDiffNeXt
    decoder_text_encoder: CLIPTextModel
    decoder_tokenizer: CLIPTokenizer
    vqgan: PaellaVQModel
    latent_mean: float = 42.0
    latent_std: float = 1.0
    resolution_multiple: float = 42.67
    latent_dim_scale: float = 10.67
    name: str = ""
    revision: str = ""
