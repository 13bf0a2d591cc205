"""Channels-last blocks: equal to diffusers' own, without a product per sample."""

import copy

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import GlobalResponseNorm, ResBlock
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import ResBlockStageB
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.networks.random_decoder import predict, randomize
from wuerst_demo.networks.channels_last import use_channels_last


class CalledOperators(TorchDispatchMode):
    """The names of all operators that run inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def block():
    return randomize(ResBlockStageB(8, 4)).eval()


@pytest.mark.parametrize("skip", [None, images(3, 4, 6, 5), images(3, 4, 6, 5).contiguous()])
def test_a_residual_block_gives_what_diffusers_gives(block, skip):
    block = block if skip is not None else randomize(ResBlockStageB(8))
    changed = copy.deepcopy(block)
    use_channels_last(changed)
    torch.testing.assert_close(changed(images(3, 8, 6, 5), skip), block(images(3, 8, 6, 5), skip), rtol=1e-5, atol=1e-5)


def test_the_linear_layer_after_a_skip_is_one_product_for_the_batch(block):
    use_channels_last(block)
    with torch.no_grad(), CalledOperators() as called:
        block(images(3, 8, 6, 5), images(3, 4, 6, 5).contiguous())
    assert "addmm" in called.names
    assert not {"bmm", "baddbmm"} & set(called.names)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_response_norm_gives_what_diffusers_gives(dtype):
    norm = randomize(GlobalResponseNorm(16)).to(dtype)
    changed = copy.deepcopy(norm)
    use_channels_last(changed)
    x = torch.randn(2, 5, 7, 16, generator=torch.Generator().manual_seed(2))
    exact = randomize(GlobalResponseNorm(16))(x)
    error, error_of_diffusers = ((each(x.to(dtype)).float() - exact).abs().max() for each in (changed, norm))
    assert error <= 2 * error_of_diffusers + 1e-5


def test_the_gradient_of_the_response_norm_is_that_of_diffusers():
    norm = randomize(GlobalResponseNorm(4)).double()
    changed = copy.deepcopy(norm)
    use_channels_last(changed)
    gradients = []
    for each in (norm, changed):
        x = torch.randn(2, 3, 3, 4, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
        each(x).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_prior_and_decoder_predict_what_they_did(components):
    decoder = copy.deepcopy(components.decoder)
    use_channels_last(decoder)
    expected = predict(components.decoder)
    torch.testing.assert_close(predict(decoder), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    prior = copy.deepcopy(components.prior)
    use_channels_last(prior)
    channels, width = prior.config.c_in, prior.config.c_cond
    x, text = images(2, channels, 4, 6), torch.randn(2, 7, width, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        found, wanted = (each(x, r=torch.tensor([0.3, 0.9]), c=text) for each in (prior, components.prior))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_names_and_parameters_stay(block):
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    use_channels_last(block)
    assert block.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in block.state_dict().items())
    assert isinstance(block, ResBlockStageB)
    assert not isinstance(block, ResBlock)


def test_no_forward_pass_reorders_the_weights_of_convolutions(components):
    decoder = copy.deepcopy(components.decoder)
    use_channels_last(decoder)
    layers = [each for each in decoder.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
    assert any(min(each.weight.shape[2:]) > 1 for each in layers)
    assert all(each.weight.is_contiguous(memory_format=torch.channels_last) for each in layers)
