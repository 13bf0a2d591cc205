"""The folded decoder computes what diffusers' class computes, with less."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wuerst_demo.api import load
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.folding import fold

LIKE_PUBLISHED = {
    "c_cond": 48,
    "c_hidden": [16, 24, 32, 32],
    "nhead": [-1, 2, 4, 4],
    "blocks": [1, 2, 2, 1],
    "clip_embd": 24,
}
"""The published levels, blocks and connections, with few channels."""


def filled(decoder):
    """Every weight a number of its own: some start at 0 and would hide mistakes."""
    generator = torch.Generator().manual_seed(4)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=generator)
    return decoder.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def decoders(parts):
    return {"2023": parts.decoder, "as published": filled(WuerstchenDiffNeXt(**LIKE_PUBLISHED))}


def predicted(decoder, effnet=None):
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


@pytest.mark.parametrize("which", ["2023", "as published"])
def test_it_predicts_the_same_noise(decoders, which):
    plain, folded = decoders[which], copy.deepcopy(decoders[which])
    fold(folded)
    assert folded.num_parameters() < plain.num_parameters()
    for effnet in (None, torch.zeros(2, 16, 6, 9)):
        expected = predicted(plain, effnet)
        torch.testing.assert_close(predicted(folded, effnet), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_folding_twice_changes_nothing_more(decoders):
    folded = copy.deepcopy(decoders["2023"])
    fold(folded)
    before = predicted(folded)
    fold(folded)
    assert torch.equal(predicted(folded), before)


def test_in_float16_it_is_as_near_to_float32_as_the_class_is(decoders):
    exact = predicted(decoders["as published"])
    plain = copy.deepcopy(decoders["as published"]).half()
    folded = copy.deepcopy(plain)
    fold(folded)
    assert folded.dtype == torch.float16
    off, off_plain = ((predicted(each).float() - exact).abs().mean() for each in (folded, plain))
    assert off <= 1.5 * off_plain


def test_what_load_gives_draws_with_the_folded_decoder_and_the_same_picture(parts, located, checkpoint_2023):
    ours = load(str(checkpoint_2023 / "wuerstchen"), device="cpu")
    request = ours.request(
        prompt="a cat", seed=3, width=128, height=256, prior_steps=3, decoder_steps=3, decoder_guidance=2
    )
    pixels, counted = [], []
    for cascade in (ours.cascade, Cascade(parts, ours.limits)):
        rows = cascade.begin(request)
        with FlopCounterMode(display=False) as counter:
            while rows[0].stage != "vqgan":
                rows = cascade.step(rows)
        counted.append(counter.get_total_flops())
        pixels.append(cascade.decode(rows))
    assert counted[0] < counted[1]
    torch.testing.assert_close(pixels[0], pixels[1], rtol=0, atol=1e-5)
