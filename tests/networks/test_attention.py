"""Attention kernels of prior and decoder: the chosen one in every block, and equal to plain attention."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0, XFormersAttnProcessor
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior

from wuerst_demo.devices.placement import Placement
from wuerst_demo.networks.loader import prepare_network


def test_prior_and_decoder_use_sdpa(components):
    for network in (components.prior, components.decoder):
        processors = [each.processor for each in network.modules() if isinstance(each, Attention)]
        assert processors
        assert {type(each) for each in processors} == {AttnProcessor2_0}


@pytest.mark.parametrize("network", [WuerstchenPrior, WuerstchenDiffNeXt])
def test_sdpa_equals_plain_attention(network, components):
    found = components.prior if network is WuerstchenPrior else components.decoder
    plain = network.from_config(found.config)
    plain.load_state_dict(found.state_dict())
    for module in plain.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())
    plain.eval()
    generator = torch.Generator().manual_seed(0)
    times = torch.tensor([0.3, 0.9])
    if network is WuerstchenPrior:
        inputs = {"x": (2, 16, 6, 9), "c": (2, 77, 32)}
    else:
        inputs = {"x": (2, 4, 64, 96), "effnet": (2, 16, 6, 9), "clip": (2, 77, 16)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(found(r=times, **tensors), plain(r=times, **tensors), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "xformers"])
def test_every_attention_block_gets_the_chosen_processor(attention):
    prior = WuerstchenPrior(c_in=4, c=16, c_cond=8, depth=3, nhead=2)
    decoder = WuerstchenDiffNeXt(c_hidden=[16, 32], nhead=[-1, 2], blocks=[1, 2], level_config=["CT", "CTA"],
                                 inject_effnet=[False, True], c_cond=8, clip_embd=8)  # fmt: skip
    for network, count in ((prior, 3), (decoder, 4)):
        prepare_network(network, Placement("cpu", "float32", attention, ""))
        blocks = [module for module in network.modules() if isinstance(module, Attention)]
        assert len(blocks) == count
        wanted = {"sdpa": AttnProcessor2_0, "xformers": XFormersAttnProcessor}[attention]
        assert {type(block.processor) for block in blocks} == {wanted}


def test_a_prepared_network_has_its_dtype_and_is_not_trained():
    network = WuerstchenPrior(c_in=4, c=16, c_cond=8, depth=1, nhead=2).train()
    prepare_network(network, Placement("cpu", "bfloat16", "sdpa", ""))
    assert network.dtype == torch.bfloat16
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
