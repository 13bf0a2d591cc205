"""Where it runs: what is decided on this machine, what is refused, and that both networks get fast attention."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior

from wuerst_demo.errors import PlacementError
from wuerst_demo.model.placement import Memory, Placement, decide, memory, place, refuse_too_large, settle

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()
HERE = "cuda:0" if CUDA else "mps" if MPS else "cpu"


def test_auto_takes_a_gpu_in_float16_and_else_the_cpu_in_float32():
    placement = decide()
    assert placement.device == HERE
    assert placement.dtype == ("float32" if HERE == "cpu" else "float16")


@pytest.mark.parametrize(("device", "dtype"), [("auto", "auto"), ("cpu", "auto"), ("cpu", "bfloat16")])
def test_the_reason_is_one_sentence_that_names_device_and_type(device, dtype):
    placement = decide(device, dtype)
    assert placement.reason.startswith("Runs on ")
    assert placement.reason.endswith(".")
    assert "\n" not in placement.reason
    assert f"in {placement.dtype}:" in placement.reason
    assert ("asked for" in placement.reason) == ((device, dtype) != ("auto", "auto"))


def test_a_cpu_computes_in_bfloat16_only_when_asked_and_is_told_that_it_is_slow():
    assert decide("cpu").dtype == "float32"
    assert "slower" in decide("cpu", "bfloat16").reason


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_type_that_is_asked_for_is_honoured_on_a_cpu(dtype):
    assert decide("cpu", dtype).dtype == dtype


@pytest.mark.skipif(CUDA, reason="there is a CUDA GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_without_a_cuda_gpu_the_remedy_is_named(device):
    with pytest.raises(PlacementError, match=r"sees no CUDA GPU .*: leave --device out to run on the .*PU"):
        decide(device)


@pytest.mark.skipif(not CUDA, reason="there is no CUDA GPU here")
def test_a_cuda_gpu_is_taken_by_number_if_it_is_there():
    assert decide("cuda").device == decide("cuda:0").device == "cuda:0"
    with pytest.raises(PlacementError, match=r"There is no cuda:99: choose cuda:0"):
        decide("cuda:99")


@pytest.mark.skipif(MPS, reason="there is an Apple GPU here")
def test_without_an_apple_gpu_the_remedy_is_named():
    with pytest.raises(PlacementError, match="sees no Apple GPU: leave --device out"):
        decide("mps")


@pytest.mark.parametrize("device", ["tpu", "", "gpu", "cuda:", "cuda:-1", "cuda:one", "meta", "cpu:0"])
def test_a_device_that_does_not_exist_is_refused(device):
    with pytest.raises(PlacementError, match=r"There is no device .*choose auto, cpu, mps, cuda") as raised:
        decide(device)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", ["int8", "half", "", "float64", "torch.float16"])
def test_a_type_that_does_not_exist_is_refused(dtype):
    with pytest.raises(PlacementError, match=r"There is no data type .*choose auto, float32, float16, bfloat16"):
        decide("cpu", dtype)


@pytest.mark.parametrize("asked", [{"offload": "model"}, {"attention": "xformers"}, {"compile": True}])
def test_what_is_not_built_yet_is_refused_without_torch(asked):
    program = f"""
import sys
from wuerst_demo.errors import PlacementError
from wuerst_demo.model.placement import decide
try:
    decide(**{asked!r})
except PlacementError as error:
    print("torch" in sys.modules, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("False ")
    assert "not available yet" in done.stdout


def test_both_networks_attend_with_sdpa(parts):
    for network in (parts.prior, parts.decoder):
        processors = [each.processor for each in network.modules() if isinstance(each, Attention)]
        assert processors
        assert {type(each) for each in processors} == {AttnProcessor2_0}


@pytest.mark.parametrize("network", [WuerstchenPrior, WuerstchenDiffNeXt])
def test_sdpa_computes_what_the_plain_attention_computes(network, parts):
    found = parts.prior if network is WuerstchenPrior else parts.decoder
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


def test_placing_gives_back_the_same_parts_settled(parts):
    before = {name: tensor.clone() for name, tensor in parts.prior.state_dict().items()}
    assert place(parts, decide("cpu")) is parts
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts.prior.state_dict().items())


def test_a_network_is_moved_to_its_type_and_stops_learning():
    network = WuerstchenPrior(c_in=4, c=16, c_cond=8, depth=1, nhead=2).train()
    settle(network, Placement("cpu", "bfloat16", "sdpa", ""))
    assert network.dtype == torch.bfloat16
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_memory_is_told_for_the_device_that_was_decided():
    found = memory(decide().device)
    assert found.name
    assert 0 < found.free <= found.total


def test_weights_that_do_not_fit_are_refused_with_both_sizes():
    refuse_too_large(8 * 10**9, Memory("the GPU", 10**10, 8 * 10**9), "float16")
    with pytest.raises(PlacementError, match=r"take 12\.4 GB in float32 and the GPU has 8\.0 GB free.*shorter --dtype"):
        refuse_too_large(12_440_000_000, Memory("the GPU", 10**10, 8 * 10**9), "float32")


def test_bytes_follow_the_type():
    assert Placement("cpu", "float32", "sdpa", "").bytes_for(10) == 40
    assert Placement("cuda:0", "float16", "sdpa", "").bytes_for(10) == 20
