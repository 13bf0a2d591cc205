"""The diffusers pipelines ("stock") on the weights of a loaded checkpoint: the baseline of every comparison.

Both sides use the same timesteps, so both run the same number of evaluations.
"""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated import wuerstchen
from PIL.Image import Image

from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import Placement, decide_placement
from wuerst_demo.errors import SettingsError
from wuerst_demo.networks.compile import compile_networks
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.networks.loader import load_components
from wuerst_demo.networks.openvino_backend import use_openvino
from wuerst_demo.networks.weight_folding import apply_optimizations
from wuerst_demo.pipeline.noise_schedule import timesteps
from wuerst_demo.request import Request
from wuerst_demo.settings import Settings

_DIFFUSERS: Any = diffusers  #: Untyped upstream, as the pipelines are.
_PIPELINES: Any = wuerstchen


def resolve_for_comparison(settings: Settings) -> ResolvedCheckpoint:
    """The checkpoint. Raises SettingsError for settings that the baseline cannot follow, and CheckpointError."""
    if settings.offload not in ("auto", "none"):
        raise SettingsError("The diffusers baseline keeps all networks on the device: leave --offload out.")
    return resolve_checkpoint(settings.model, settings.prior, settings.vqgan, settings.lora)


def load_both(
    settings: Settings, checkpoint: ResolvedCheckpoint, stock_dtype: str | None = None
) -> tuple[CascadeComponents, CascadeComponents, Placement]:
    """Components for the baseline and for this project, with the same weights, and the placement of the latter, which
    alone are optimized.

    The baseline's prior and decoder are as diffusers loads them: plain attention, nothing folded. `stock_dtype` is its
    data type where that is another. Raises WuerstError.
    """
    for library in (diffusers, transformers):
        library.logging.disable_progress_bar()
    placement = decide_placement(dataclasses.replace(settings.placement, offload="none"))
    unoptimized, optimized = separate(load_components(checkpoint, placement))
    if placement.backend == "openvino":
        use_openvino(optimized, placement.dtype)  # releases weights, so the baseline gets its own
    stock = dataclasses.replace(placement, dtype=stock_dtype or placement.dtype, backend="torch")
    if stock != placement:
        unoptimized, _ = separate(load_components(checkpoint, stock))
    if settings.compile:
        compile_networks(optimized)
    return unoptimized, optimized, placement


def separate(components: CascadeComponents) -> tuple[CascadeComponents, CascadeComponents]:
    """Components as diffusers loads them, and the given ones, optimized in place."""
    prior: Any = copy.deepcopy(components.prior)
    prior.set_default_attn_processor()
    decoder, vqgan = copy.deepcopy(components.decoder), copy.deepcopy(components.vqgan)
    unoptimized = dataclasses.replace(components, prior=prior, decoder=decoder, vqgan=vqgan)
    apply_optimizations(components)
    return unoptimized, components


def create_baseline(components: CascadeComponents) -> Callable[[Request], list[Image]]:
    """A function that generates all images of a request with the pipelines. A single image equals this project's."""
    prior = _PIPELINES.WuerstchenPriorPipeline(
        tokenizer=components.prior_tokenizer,
        text_encoder=components.prior_text_encoder,
        prior=components.prior,
        scheduler=_DIFFUSERS.DDPMWuerstchenScheduler(),
        latent_mean=components.scaling.latent_mean,
        latent_std=components.scaling.latent_std,
        resolution_multiple=components.scaling.resolution_multiple,
    )
    decoder = _PIPELINES.WuerstchenDecoderPipeline(
        tokenizer=components.decoder_tokenizer,
        text_encoder=components.decoder_text_encoder,
        decoder=components.decoder,
        scheduler=_DIFFUSERS.DDPMWuerstchenScheduler(),
        vqgan=components.vqgan,
        latent_dim_scale=components.scaling.latent_dim_scale,
    )
    for pipeline in (prior, decoder):
        pipeline.set_progress_bar_config(disable=True)

    def generate(request: Request) -> list[Image]:
        generators = [torch.Generator().manual_seed(request.image(k).seed) for k in range(request.images)]
        shared = {"prompt": request.prompt, "negative_prompt": request.negative_prompt, "generator": generators}
        embeddings = prior(
            width=request.width,
            height=request.height,
            timesteps=list(timesteps(request.prior_schedule, request.prior_steps)),
            guidance_scale=request.prior_guidance,
            num_images_per_prompt=request.images,
            **shared,
        ).image_embeddings
        steps = {"num_inference_steps": request.decoder_steps, "guidance_scale": request.decoder_guidance}
        images: list[Image] = decoder(image_embeddings=embeddings, **steps, **shared).images
        return images

    return generate
