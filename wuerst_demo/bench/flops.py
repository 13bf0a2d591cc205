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
from wuerst_demo.model.parts import Parts
from wuerst_demo.request import Request

TOKENS = 77


def count(networks: Networks, request: Request, stock: bool = False) -> dict[str, int]:
    """Floating point operations for one picture by stage; `stock` counts what diffusers' pipelines compute."""
    found: dict[str, Any] = {place: network.to("meta") for place, network in laid_out(networks)}
    prior, decoder, vqgan = (found[f"wuerstchen{place}"] for place in ("-prior/prior", "/decoder", "/vqgan"))
    if not stock:
        fold(decoder)
    small = [math.ceil(side / Parts.resolution_multiple) for side in (request.height, request.width)]
    large = [int(side * Parts.latent_dim_scale) for side in small]
    guided = {"prior": 1 + (request.prior_guidance > 1), "decoder": 1 + (request.decoder_guidance > 1)}

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta")

    texts = {}
    for stage, folder in (("prior", "wuerstchen-prior"), ("decoder", "wuerstchen")):
        encode = functools.partial(found[f"{folder}/text_encoder"], _tokens())
        texts[stage] = guided[stage] * _counted(encode)
    one = guided["prior"]
    prior_step = _counted(
        lambda: prior(
            empty(one, prior.config["c_in"], *small), r=empty(one), c=empty(one, TOKENS, prior.config["c_cond"])
        )
    )
    two = guided["decoder"]
    decoder_step = _counted(
        lambda: decoder(
            empty(two, decoder.config["c_in"], *large),
            r=empty(two),
            effnet=empty(two, decoder.config["effnet_embd"], *small),
            clip=empty(two, TOKENS, decoder.config["clip_embd"]),
        )
    )
    return {
        "text": sum(texts.values()),
        "prior": request.prior_steps * prior_step,
        "decoder": request.decoder_steps * decoder_step,
        "vqgan": _counted(lambda: vqgan.decode(empty(1, vqgan.config["latent_channels"], *large))),
    }


def _tokens() -> torch.Tensor:
    return torch.zeros(1, TOKENS, dtype=torch.long, device="meta")


def _counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops())
