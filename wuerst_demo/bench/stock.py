"""The stock pipelines of diffusers, put together from the same parts: what every published demo runs.

Does not know our cascade; the schedule's times are shared, so that both do the same number of evaluations.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import diffusers
import torch
from diffusers.pipelines.deprecated import wuerstchen
from PIL.Image import Image

from wuerst_demo.model.parts import Parts
from wuerst_demo.model.schedule import timesteps
from wuerst_demo.request import Request

_DIFFUSERS: Any = diffusers
_PIPELINES: Any = wuerstchen
"""Not typed upstream."""


def as_published(parts: Parts) -> Parts:
    """The parts with the networks as diffusers loads them, as copies: the prior with the plain attention that its
    constructor sets, the decoder before it is folded, neither keeping texts."""
    prior: Any = copy.deepcopy(parts.prior)
    prior.set_default_attn_processor()
    return dataclasses.replace(parts, prior=prior, decoder=copy.deepcopy(parts.decoder))


class Stock:
    """Both pipelines over `parts`, which are used as they are; progress bars are off."""

    def __init__(self, parts: Parts) -> None:
        self._prior = _PIPELINES.WuerstchenPriorPipeline(
            tokenizer=parts.prior_tokenizer,
            text_encoder=parts.prior_text_encoder,
            prior=parts.prior,
            scheduler=_DIFFUSERS.DDPMWuerstchenScheduler(),
            latent_mean=parts.latent_mean,
            latent_std=parts.latent_std,
            resolution_multiple=parts.resolution_multiple,
        )
        self._decoder = _PIPELINES.WuerstchenDecoderPipeline(
            tokenizer=parts.decoder_tokenizer,
            text_encoder=parts.decoder_text_encoder,
            decoder=parts.decoder,
            scheduler=_DIFFUSERS.DDPMWuerstchenScheduler(),
            vqgan=parts.vqgan,
            latent_dim_scale=parts.latent_dim_scale,
        )
        for pipeline in (self._prior, self._decoder):
            pipeline.set_progress_bar_config(disable=True)

    def draw(self, request: Request) -> list[Image]:
        """The pictures of a request; a single one is the same picture that we draw."""
        generators = [torch.Generator().manual_seed(request.image(k).seed) for k in range(request.images)]
        embeddings = self._prior(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            width=request.width,
            height=request.height,
            timesteps=list(timesteps(request.prior_schedule, request.prior_steps)),
            guidance_scale=request.prior_guidance,
            num_images_per_prompt=request.images,
            generator=generators,
        ).image_embeddings
        pictures: list[Image] = self._decoder(
            image_embeddings=embeddings,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            num_inference_steps=request.decoder_steps,
            guidance_scale=request.decoder_guidance,
            generator=generators,
        ).images
        return pictures
