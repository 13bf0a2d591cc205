"""The fast residual block of the VQGAN: equal to diffusers', forward and backward."""

import copy

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock

from wuerst_demo.training.fast_mixing import FastMixingResidualBlock, use_fast_mixing


def test_fast_block_equals_diffusers_and_so_do_its_gradients():
    torch.manual_seed(0)
    block = MixingResidualBlock(8, 32)
    torch.nn.init.normal_(block.gammas)
    networks = torch.nn.Sequential(block), torch.nn.Sequential(copy.deepcopy(block))
    use_fast_mixing(networks[1])
    assert isinstance(networks[1][0], FastMixingResidualBlock)
    images = [torch.randn(2, 8, 6, 5, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in networks]
    outputs = [network(x) for network, x in zip(networks, images, strict=True)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(images[0].grad, images[1].grad, rtol=1e-4, atol=1e-4)
    for (name, one), (_, other) in zip(*(network.named_parameters() for network in networks), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)
