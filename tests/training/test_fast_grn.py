"""The fast global response norm: the published one's outputs and gradients."""

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import GlobalResponseNorm

from wuerst_demo.training.fast_grn import use_fast_grn


def test_the_fast_response_norm_equals_the_published_one():
    published, fast = GlobalResponseNorm(12), GlobalResponseNorm(12)
    for norm in (published, fast):
        torch.manual_seed(1)
        torch.nn.init.normal_(norm.gamma)
        torch.nn.init.normal_(norm.beta)
    use_fast_grn(fast)
    x = torch.randn(2, 5, 4, 12)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [norm(each) for norm, each in zip((published, fast), inputs, strict=True)]
    weight = torch.randn_like(x)
    for output in outputs:
        (output * weight).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.gamma.grad, published.gamma.grad, rtol=1e-4, atol=1e-4)
