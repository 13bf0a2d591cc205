"""Float32 latents: half precision rounds neither the latents nor the noise predicted from them."""

import copy

import pytest
import torch
from torch import nn

from tests.networks.random_decoder import predict
from wuerst_demo.networks.float32_latents import use_float32_latents


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_prior_predicts_float32_noise_that_follows_its_input_exactly(components, dtype):
    half = copy.deepcopy(components.prior)
    use_float32_latents(half)
    nn.Module.to(half, dtype)
    x = torch.randn(2, half.config["c_in"], 4, 6, generator=torch.Generator().manual_seed(1)).to(dtype).float()
    text = torch.randn(2, 7, half.config["c_cond"], generator=torch.Generator().manual_seed(2)).to(dtype)
    small = x * 2.0**-14  # less than half precision can tell apart
    with torch.inference_mode():
        noise, moved = (half(each, r=torch.tensor([1.0, 0.9731]), c=text) for each in (x, x + small))
    slope = (moved - noise) / small
    assert noise.dtype == torch.float32
    assert (slope > 0).all()


def test_float32_networks_predict_what_they_did(components):
    decoder = copy.deepcopy(components.decoder)
    use_float32_latents(decoder)
    assert torch.equal(predict(decoder), predict(components.decoder))
