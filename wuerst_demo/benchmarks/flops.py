"""Floating-point operations of one image, counted on the meta device, and those a device can do in a second.

Counts matrix products, convolutions and attention, as `torch.utils.flop_counter` does; a multiplication and an
addition are two operations. Elementwise work is left out.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from wuerst_demo.benchmarks.measure import measure_time
from wuerst_demo.benchmarks.random_checkpoint import NetworkConfigs, build_networks
from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.networks.text_kv_cache import TextKVCache, enable_text_kv_cache
from wuerst_demo.networks.weight_folding import fold_image_embedding_mappers
from wuerst_demo.request import Request
from wuerst_demo.timesteps import guided_evaluations

MAX_TOKENS = 77
MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}  #: Of the products that show how fast a device is at best.
MATRIX_RUNS = 5


def count_operations(configs: NetworkConfigs, request: Request, stock: bool = False) -> dict[str, int]:
    """Operations by stage; with `stock` those of the diffusers pipelines."""
    networks: dict[str, Any] = {folder: network.to("meta") for folder, network in build_networks(configs)}
    prior, decoder, vqgan = (networks[f"wuerstchen{folder}"] for folder in ("-prior/prior", "/decoder", "/vqgan"))
    if stock:  # those guide every evaluation
        request = dataclasses.replace(request, guidance_from=0.0, guidance_to=1.0)
    else:
        fold_image_embedding_mappers(decoder)
        enable_text_kv_cache(prior)
        enable_text_kv_cache(decoder)
    small = [math.ceil(side / LatentScaling.resolution_multiple) for side in (request.height, request.width)]
    large = [int(side * LatentScaling.latent_dim_scale) for side in small]
    guided = [guided_evaluations(request, stage) for stage in ("prior", "decoder")]
    n, m = (1 + any(flags) for flags in guided)  # texts: guidance needs two
    tokens = torch.zeros(1, MAX_TOKENS, dtype=torch.long, device="meta")
    text = [_count(networks[f"{folder}/text_encoder"], tokens) for folder in ("wuerstchen-prior", "wuerstchen")]
    latents = _empty(1, prior.config["c_in"], *small)
    condition, prior_text = _project_text(prior, prior.config["c_cond"])
    prior_sample = _count(prior, latents, r=_empty(1), c=condition)

    effnet = _empty(1, decoder.config["effnet_embd"], *small)
    latents = _empty(1, decoder.config["c_in"], *large)
    condition, decoder_text = _project_text(decoder, decoder.config["clip_embd"])
    decoder_sample = _count(decoder, latents, r=_empty(1), effnet=effnet, clip=condition)
    prior_samples, decoder_samples = (len(flags) + sum(flags) for flags in guided)
    return {
        "text": n * text[0] + m * text[1],
        "prior": prior_samples * prior_sample + n * prior_text,
        "decoder": decoder_samples * decoder_sample + m * decoder_text,
        "vqgan": _count(vqgan.decode, _empty(1, vqgan.config["latent_channels"], *large)),
    }


def checkpoint_configs(checkpoint: ResolvedCheckpoint) -> NetworkConfigs:
    """Configs of a checkpoint's networks, by the folders of the Hub's layout."""
    return {
        "wuerstchen-prior/prior": checkpoint.prior.config,
        "wuerstchen-prior/text_encoder": checkpoint.prior_text_encoder.config,
        "wuerstchen/decoder": checkpoint.decoder.config,
        "wuerstchen/text_encoder": checkpoint.decoder_text_encoder.config,
        "wuerstchen/vqgan": checkpoint.vqgan.config,
    }


def measure_matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the best of several products of large square matrices."""
    side = MATRIX_SIDE.get(device.type, 2048)
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = [measure_time(device, lambda: one @ other)[1] for _ in range(1 + MATRIX_RUNS)]
    return 2 * side**3 / min(seconds)


def _project_text(network: Any, width: int) -> tuple[torch.Tensor, int]:
    """Text input of every step, (1, tokens, width) before projection, and the operations to prepare it once."""
    plain = _empty(1, MAX_TOKENS, width)
    if not isinstance(network, TextKVCache):
        return plain, 0
    with torch.no_grad():
        return network.compute_text_kv(plain), _count(network.compute_text_kv, plain)


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _count(work: Callable[..., object], *inputs: torch.Tensor, **named: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work(*inputs, **named)
    return int(counter.get_total_flops())
