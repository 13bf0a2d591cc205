"""A small decoder with the levels of the published one and random weights, and its prediction for random inputs."""

from __future__ import annotations

import torch
from torch import nn

PUBLISHED_LEVELS = {
    "c_cond": 48,
    "c_hidden": [16, 24, 32, 32],
    "nhead": [-1, 2, 4, 4],
    "blocks": [1, 2, 2, 1],
    "clip_embd": 24,
}
"""The published levels, blocks and connections, with few channels."""


def randomize(decoder):
    """Random values for every weight: some are initialized to 0, which would hide mistakes."""
    generator = torch.Generator().manual_seed(4)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=generator)
    return decoder.eval().requires_grad_(False)


def predict(decoder, effnet=None):
    generator = torch.Generator().manual_seed(5)
    inputs = {
        "x": torch.randn(2, decoder.config["c_in"], 64, 96, generator=generator),
        "effnet": 42 * torch.randn(2, 16, 6, 9, generator=generator),
        "clip": torch.randn(2, 77, decoder.config["clip_embd"], generator=generator),
    }
    if effnet is not None:
        inputs["effnet"] = effnet.to(decoder.dtype)
    with torch.inference_mode():
        return decoder(
            r=torch.tensor([0.3, 0.9]).to(decoder.dtype), **{n: t.to(decoder.dtype) for n, t in inputs.items()}
        )
