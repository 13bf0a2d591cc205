"""How much is computed for a picture, counted on networks without memory: no weights, no device, no clock.

A multiplication and an addition count as two. Counted are matrix products, convolutions and attention, as torch's own
counter does; what is computed value by value is left out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from wuerst_demo.bench.published import Networks, laid_out
from wuerst_demo.model.folding import fold
from wuerst_demo.model.keeping import Keeping, keeping
from wuerst_demo.model.parts import Parts
from wuerst_demo.request import Request

TOKENS = 77


def count(networks: Networks, request: Request, stock: bool = False) -> dict[str, int]:
    """Floating point operations for one picture by stage; `stock` counts what diffusers' pipelines compute."""
    found: dict[str, Any] = {place: network.to("meta") for place, network in laid_out(networks)}
    prior, decoder, vqgan = (found[f"wuerstchen{place}"] for place in ("-prior/prior", "/decoder", "/vqgan"))
    if not stock:
        fold(decoder)
        keeping(prior)
        keeping(decoder)
    small = [math.ceil(side / Parts.resolution_multiple) for side in (request.height, request.width)]
    large = [int(side * Parts.latent_dim_scale) for side in small]
    samples = {"prior": 1 + (request.prior_guidance > 1), "decoder": 1 + (request.decoder_guidance > 1)}
    text = {}
    for stage, folder in (("prior", "wuerstchen-prior"), ("decoder", "wuerstchen")):
        encode = functools.partial(found[f"{folder}/text_encoder"], _tokens())
        text[stage] = samples[stage] * _counted(encode)

    n = samples["prior"]
    latents = _empty(n, prior.config["c_in"], *small)
    kept, once = _texts(prior, n, prior.config["c_cond"])
    prior_step = _counted(functools.partial(prior, latents, r=_empty(n), c=kept))

    m = samples["decoder"]
    effnet = _empty(m, decoder.config["effnet_embd"], *small)
    latents = _empty(m, decoder.config["c_in"], *large)
    kept, also_once = _texts(decoder, m, decoder.config["clip_embd"])
    decoder_step = _counted(functools.partial(decoder, latents, r=_empty(m), effnet=effnet, clip=kept))
    return {
        "text": sum(text.values()),
        "prior": request.prior_steps * prior_step + once,
        "decoder": request.decoder_steps * decoder_step + also_once,
        "vqgan": _counted(functools.partial(vqgan.decode, _empty(1, vqgan.config["latent_channels"], *large))),
    }


def _texts(network: Any, count: int, width: int) -> tuple[torch.Tensor, int]:
    """Texts as a network takes them at every step, and what making them of the encoder's takes, once."""
    plain = _empty(count, TOKENS, width)
    if not isinstance(network, Keeping):
        return plain, 0
    with torch.no_grad():
        return network.keep(plain), _counted(functools.partial(network.keep, plain))


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _tokens() -> torch.Tensor:
    return torch.zeros(1, TOKENS, dtype=torch.long, device="meta")


def _counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops())
