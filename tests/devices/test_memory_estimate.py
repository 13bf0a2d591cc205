"""The memory estimate against a count of the bytes alive while networks of the published size compute."""

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

from wuerst_demo.checkpoints.network_config import DECODER, VQGAN
from wuerst_demo.devices.memory_estimate import (
    GPU_LIBRARY_BYTES,
    SLICED_VQGAN,
    MemoryEstimate,
    estimate_activations,
    format_bytes,
)
from wuerst_demo.networks import offload
from wuerst_demo.networks.attention import set_attention_processors

PRIOR = {"c_in": 16, "c": 1536, "c_cond": 1280, "c_r": 64, "depth": 32, "nhead": 24}


class PeakBytes(TorchDispatchMode):
    """Peak bytes of tensors created within this context."""

    def __init__(self):
        super().__init__()
        self.bytes = self.most_bytes = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in self.seen:
                storage = tensor.untyped_storage()
                self.seen.add(id(storage))
                self.bytes += storage.nbytes()
                weakref.finalize(storage, self.release, id(storage), storage.nbytes())
        self.most_bytes = max(self.most_bytes, self.bytes)
        return made

    def release(self, key, size):
        self.seen.discard(key)
        self.bytes -= size


def peak_bytes(compute):
    with torch.inference_mode(), PeakBytes() as peak:
        compute()
    return peak.most_bytes


def empty(*shape):
    return torch.empty(shape, device="meta", dtype=torch.float16)


def built(network, **options):
    with no_init_weights(), init_empty_weights():
        made = network(**options).eval()
    torch.nn.Module.to(made, dtype=torch.float16)
    set_attention_processors(made, "sdpa")
    return made


@pytest.fixture(scope="module")
def estimated():
    """The estimate for the published configs, in bytes of float16."""
    return {
        name: 2 * count
        for name, count in estimate_activations(PRIOR, DECODER.defaults, VQGAN.defaults, 2**20, 42.67).items()
    }


@pytest.mark.slow
def test_estimated_activations_are_the_counted_peak_of_the_published_networks(estimated):
    decoder, prior = built(WuerstchenDiffNeXt), built(WuerstchenPrior, **PRIOR)
    found = {
        "prior": peak_bytes(lambda: prior(empty(2, 16, 24, 24), r=empty(2), c=empty(2, 77, 1280))),
        "decoder": peak_bytes(
            lambda: decoder(empty(1, 4, 256, 256), r=empty(1), effnet=empty(1, 16, 24, 24), clip=empty(1, 77, 1024))
        ),
    }
    assert set(found) == set(estimated) - {"VQGAN", "VQGAN in slices"}
    for name, count in found.items():
        assert 0.97 * estimated[name] <= count <= estimated[name], name


def test_estimated_activations_are_the_counted_peak_of_the_vqgan_and_its_slices(estimated):
    vqgan = built(PaellaVQModel)
    whole = peak_bytes(lambda: vqgan.decode(empty(1, 4, 256, 256)))
    offload.slice_widest_layers(vqgan)
    sliced = peak_bytes(lambda: vqgan.decode(empty(1, 4, 256, 256)))
    for name, count in {"VQGAN": whole, "VQGAN in slices": sliced}.items():
        assert 0.97 * estimated[name] <= count <= estimated[name], name


ESTIMATE = MemoryEstimate(
    {"prior": 100, "decoder": 80, "VQGAN": 5}, {"prior": 7, "decoder": 30, "VQGAN": 50, SLICED_VQGAN: 20}, 9
)


@pytest.mark.parametrize(("offload", "elements"), [("none", 235), ("model", 110), ("sequential", 39)])
def test_offload_keeps_fewer_elements_on_the_device(offload, elements):
    assert ESTIMATE.elements(offload) == elements
    assert ESTIMATE.device_bytes("cpu", offload, "float32") == 4 * elements
    assert ESTIMATE.device_bytes("cuda:0", offload, "float16") == 2 * elements + GPU_LIBRARY_BYTES


@pytest.mark.parametrize(
    ("count", "text"), [(61_400_000, "61 MB"), (999_499_999, "999 MB"), (12_440_000_000, "12.4 GB")]
)
def test_bytes_are_formatted_in_megabytes_or_gigabytes(count, text):
    assert format_bytes(count) == text
