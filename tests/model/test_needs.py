"""How much memory is said to be needed, against a count of the bytes that live while networks of full size compute."""

from __future__ import annotations

import weakref

import pytest
import torch
from accelerate import init_empty_weights
from diffusers.models.modeling_utils import no_init_weights
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wuerst_demo.model import offload
from wuerst_demo.model.attention import attend
from wuerst_demo.model.configs import DECODER, VQGAN
from wuerst_demo.model.needs import working

PRIOR = {"c_in": 16, "c": 1536, "c_cond": 1280, "c_r": 64, "depth": 32, "nhead": 24}


class Living(TorchDispatchMode):
    """The most bytes that tensors made in here held at one time; those made before do not count."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in self.seen:
                storage = tensor.untyped_storage()
                self.seen.add(id(storage))
                self.now += storage.nbytes()
                weakref.finalize(storage, self.gone, id(storage), storage.nbytes())
        self.most = max(self.most, self.now)
        return made

    def gone(self, key, size):
        self.seen.discard(key)
        self.now -= size


def counted(compute):
    with torch.inference_mode(), Living() as living:
        compute()
    return living.most


def empty(*shape):
    return torch.empty(shape, device="meta", dtype=torch.float16)


def built(network, **options):
    with no_init_weights(), init_empty_weights():
        made = network(**options).eval()
    torch.nn.Module.to(made, dtype=torch.float16)
    attend(made, "sdpa")
    return made


@pytest.fixture(scope="module")
def said():
    """What is said for the published checkpoint, as it stands in its configs, in bytes in float16."""
    return {name: 2 * count for name, count in working(PRIOR, DECODER.defaults, VQGAN.defaults, 2**20, 42.67).items()}


@pytest.mark.slow
def test_what_the_published_networks_need_besides_their_weights_is_what_lives_at_once(said):
    decoder, vqgan = built(WuerstchenDiffNeXt), built(PaellaVQModel)
    prior = built(WuerstchenPrior, **PRIOR)
    found = {
        "prior": counted(lambda: prior(empty(2, 16, 24, 24), r=empty(2), c=empty(2, 77, 1280))),
        "decoder": counted(
            lambda: decoder(empty(1, 4, 256, 256), r=empty(1), effnet=empty(1, 16, 24, 24), clip=empty(1, 77, 1024))
        ),
        "VQGAN": counted(lambda: vqgan.decode(empty(1, 4, 256, 256))),
    }
    offload.slice_widest(vqgan)
    found["VQGAN in slices"] = counted(lambda: vqgan.decode(empty(1, 4, 256, 256)))
    assert set(found) == set(said)
    for name, count in found.items():
        assert 0.97 * said[name] <= count <= said[name], name
