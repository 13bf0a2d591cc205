"""The folded decoder and VQGAN: equal to diffusers' classes, with fewer operations."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock, PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from torch.utils.flop_counter import FlopCounterMode

from tests.networks.random_decoder import PUBLISHED_LEVELS, predict, randomize
from wuerst_demo.api import load
from wuerst_demo.networks.weight_folding import fold_image_embedding_mappers, fold_mixing_scales
from wuerst_demo.pipeline.cascade import Cascade


@pytest.fixture(scope="module")
def decoders(components):
    return {"2023": components.decoder, "as published": randomize(WuerstchenDiffNeXt(**PUBLISHED_LEVELS))}


@pytest.mark.parametrize("which", ["2023", "as published"])
def test_a_folded_decoder_predicts_the_same_noise(decoders, which):
    plain, folded = decoders[which], copy.deepcopy(decoders[which])
    fold_image_embedding_mappers(folded)
    assert folded.num_parameters() < plain.num_parameters()
    for effnet in (None, torch.zeros(2, 16, 6, 9)):
        expected = predict(plain, effnet)
        torch.testing.assert_close(predict(folded, effnet), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_folding_twice_changes_nothing(decoders):
    folded = copy.deepcopy(decoders["2023"])
    fold_image_embedding_mappers(folded)
    before = predict(folded)
    fold_image_embedding_mappers(folded)
    assert torch.equal(predict(folded), before)


def test_a_folded_decoder_is_as_exact_in_float16_as_the_plain_one(decoders):
    exact = predict(decoders["as published"])
    plain = copy.deepcopy(decoders["as published"]).half()
    folded = copy.deepcopy(plain)
    fold_image_embedding_mappers(folded)
    assert folded.dtype == torch.float16
    off, off_plain = ((predict(each).float() - exact).abs().mean() for each in (folded, plain))
    assert off <= 1.5 * off_plain


def random_vqgan() -> PaellaVQModel:
    torch.manual_seed(0)
    vqgan = PaellaVQModel(embed_dim=16, bottleneck_blocks=2, num_vq_embeddings=8)
    for name, parameter in vqgan.named_parameters():
        if name.endswith("gammas"):
            torch.nn.init.normal_(parameter)
    return vqgan.eval().requires_grad_(False)


def test_a_folded_vqgan_gives_the_same_images_and_latents():
    plain, latents = random_vqgan(), torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    folded = copy.deepcopy(plain)
    for _ in range(2):  # a second time changes nothing
        fold_mixing_scales(folded)
        images = plain.decode(latents).sample
        torch.testing.assert_close(folded.decode(latents).sample, images, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(folded.encode(images).latents, plain.encode(images).latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_folded_vqgan_is_as_exact_in_half_precision_as_the_plain_one(dtype):
    exact, latents = random_vqgan(), torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    plain, folded = copy.deepcopy(exact).to(dtype), copy.deepcopy(exact).to(dtype)
    fold_mixing_scales(folded)
    assert {each.dtype for each in folded.parameters()} == {dtype}
    expected = exact.decode(latents).sample
    off, off_plain = ((each.decode(latents.to(dtype)).sample - expected).abs().mean() for each in (folded, plain))
    assert off <= 1.2 * off_plain


def test_load_folds_the_vqgan(checkpoint_2023):
    ours = load(str(checkpoint_2023 / "wuerstchen"), device="cpu")
    blocks = [each for each in ours.cascade._components.vqgan.modules() if isinstance(each, MixingResidualBlock)]
    assert blocks
    assert all(type(block) is not MixingResidualBlock for block in blocks)


def test_load_folds_the_decoder_and_gives_the_same_image(components, resolved, checkpoint_2023):
    ours = load(str(checkpoint_2023 / "wuerstchen"), device="cpu")
    request = ours.request(
        prompt="a cat", seed=3, width=128, height=256, prior_steps=3, decoder_steps=3, decoder_guidance=2
    )
    pixels, counted = [], []
    for cascade in (ours.cascade, Cascade(components, ours.limits)):
        states = cascade.begin(request)
        with FlopCounterMode(display=False) as counter:
            while states[0].stage != "vqgan":
                states = cascade.step(states)
        counted.append(counter.get_total_flops())
        pixels.append(cascade.decode(states))
    assert counted[0] < counted[1]
    torch.testing.assert_close(pixels[0], pixels[1], rtol=0, atol=1e-5)
