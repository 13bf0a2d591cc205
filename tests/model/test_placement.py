"""Where it runs: what is decided on this machine, what is refused, and that both networks get fast attention."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0, XFormersAttnProcessor
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior

from tests.model.machines import Elsewhere
from wuerst_demo.errors import PlacementError
from wuerst_demo.model.checkpoint import settle
from wuerst_demo.model.machine import HERE as MACHINE
from wuerst_demo.model.machine import memory
from wuerst_demo.model.needs import Needs
from wuerst_demo.model.placement import Placement, decide, enough

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()
PUBLISHED = Needs(
    {
        "prior": 993_636_896,
        "prior's text encoder": 693_021_440,
        "decoder": 1_055_365_280,
        "decoder's text encoder": 352_984_064,
        "VQGAN": 18_406_894,
    },
    {"prior": 25_000_000, "decoder": 94_000_000, "VQGAN": 560_000_000, "VQGAN in slices": 300_000_000},
    layer=63_242_240,
)
"""The published checkpoint, by and large."""
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


def test_a_gpu_takes_float16_and_the_reason_names_it():
    placement = decide(machine=Elsewhere(gpus=1))
    assert (placement.device, placement.dtype, placement.home) == ("cuda:0", "float16", "cuda:0")
    assert placement.reason.startswith("Runs on the GPU in float16: torch sees a CUDA GPU")
    placement = decide(machine=Elsewhere(apple=True))
    assert (placement.device, placement.dtype, placement.home) == ("mps", "float16", "mps")


# ---------------------------------------------------------------------------------------------- offload


@pytest.mark.parametrize(
    ("free", "offload"), [(80.0, "none"), (9.0, "none"), (7.0, "model"), (3.0, "model"), (2.0, "sequential")]
)
def test_auto_offloads_as_little_as_fits_and_says_why(free, offload):
    placement = decide(needs=PUBLISHED, machine=Elsewhere(gpus=1, free={"cuda:0": free}))
    assert placement.offload == offload
    assert placement.home == ("cuda:0" if offload == "none" else "cpu")
    assert f"{free:.1f} GB" in placement.reason
    assert ("nothing is offloaded" in placement.reason) == (offload == "none")
    enough(placement, PUBLISHED, Elsewhere(gpus=1, free={"cuda:0": free}))


def test_auto_takes_no_offload_that_something_else_excludes():
    machine = Elsewhere(gpus=1, free={"cuda:0": 2.0})
    assert decide(needs=PUBLISHED, compile=True, machine=machine).offload == "model"


@pytest.mark.parametrize("machine", [Elsewhere(), Elsewhere(apple=True)], ids=["cpu", "mps"])
def test_where_there_is_one_memory_auto_offloads_nothing_and_an_offload_is_refused(machine):
    placement = decide(needs=PUBLISHED, machine=machine)
    assert placement.offload == "none"
    assert "offload" not in placement.reason
    for offload in ("model", "sequential"):
        with pytest.raises(PlacementError, match=r"until a GPU needs them.*leave --offload out"):
            decide(offload=offload, machine=machine)


def test_an_offload_that_is_asked_for_is_honoured():
    placement = decide(offload="sequential", needs=PUBLISHED, machine=Elsewhere(gpus=1))
    assert (placement.offload, placement.home) == ("sequential", "cpu")
    assert "sequential offload as asked for" in placement.reason


class Full(Elsewhere):
    """A machine whose GPU is listed, and does not answer."""

    def memory(self, device):
        raise RuntimeError("CUDA error: out of memory")


def test_a_gpu_that_is_listed_and_does_not_answer_is_refused_with_the_remedy():
    machine = Full(gpus=1, troubles={"computing": "CUDA error: out of memory"})
    with pytest.raises(PlacementError, match="give --device cpu"):
        decide(needs=PUBLISHED, machine=machine)


@pytest.mark.parametrize(
    ("asked", "free", "remedy"),
    [
        ({"offload": "none"}, 3.0, "give --offload model."),
        ({"offload": "none", "dtype": "float32"}, 8.0, "give --offload model or --dtype float16."),
        ({"offload": "none"}, 1.2, "give --offload sequential."),
        ({"offload": "model"}, 1.2, "give --offload sequential."),
        ({"offload": "sequential"}, 0.3, "give another --device or a smaller checkpoint."),
        ({}, 0.3, "give another --device or a smaller checkpoint."),
    ],
)
def test_too_little_memory_for_the_choice_is_said_with_what_would_fit(asked, free, remedy):
    machine = Elsewhere(gpus=1, free={"cuda:0": free})
    placement = decide(needs=PUBLISHED, machine=machine, **asked)
    with pytest.raises(PlacementError) as raised:
        enough(placement, PUBLISHED, machine)
    assert str(raised.value).endswith(remedy)
    assert f"the GPU has {free:.1f} GB free" in str(raised.value)


@pytest.mark.parametrize(("gpu", "remedy"), [(6.0, "a smaller checkpoint."), (24.0, "--offload none.")])
def test_where_main_memory_is_short_no_remedy_is_named_that_would_not_fit_the_gpu(gpu, remedy):
    machine = Elsewhere(gpus=1, free={"cuda:0": gpu, "cpu": 8.0})
    with pytest.raises(PlacementError) as raised:
        enough(decide(offload="model", needs=PUBLISHED, machine=machine), PUBLISHED, machine)
    assert str(raised.value).endswith(remedy)


@pytest.mark.parametrize("free", [5.0, 8.0])
def test_weights_that_wait_in_main_memory_have_to_fit_there(free):
    machine = Elsewhere(gpus=1, free={"cuda:0": 4.0, "cpu": free})
    with pytest.raises(PlacementError, match=rf"take 6\.2 GB .* main memory, which has {free} GB free of 8\.3 GB"):
        enough(decide(needs=PUBLISHED, machine=machine), PUBLISHED, machine)
    enough(decide(needs=PUBLISHED, machine=machine), PUBLISHED, Elsewhere(gpus=1, free={"cuda:0": 4.0, "cpu": 9.0}))


def test_a_cpu_is_asked_for_the_weights_and_a_picture():
    enough(decide("cpu"), PUBLISHED, Elsewhere(free={"cpu": 16.0}))
    with pytest.raises(PlacementError, match=r"take 12\.\d GB in float32.* has 8\.0 GB free.*give --dtype float16\."):
        enough(decide("cpu"), PUBLISHED, Elsewhere(free={"cpu": 8.0}))


# ---------------------------------------------------------------------------------------------- attention


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


@pytest.mark.parametrize("attention", ["sdpa", "xformers"])
def test_every_attention_block_of_both_networks_gets_the_processor_that_was_chosen(attention):
    prior = WuerstchenPrior(c_in=4, c=16, c_cond=8, depth=3, nhead=2)
    decoder = WuerstchenDiffNeXt(c_hidden=[16, 32], nhead=[-1, 2], blocks=[1, 2], level_config=["CT", "CTA"],
                                 inject_effnet=[False, True], c_cond=8, clip_embd=8)  # fmt: skip
    for network, count in ((prior, 3), (decoder, 4)):
        settle(network, Placement("cpu", "float32", attention, ""))
        blocks = [module for module in network.modules() if isinstance(module, Attention)]
        assert len(blocks) == count
        wanted = {"sdpa": AttnProcessor2_0, "xformers": XFormersAttnProcessor}[attention]
        assert {type(block.processor) for block in blocks} == {wanted}


def test_xformers_is_taken_on_a_gpu_that_has_its_kernels_and_recorded():
    placement = decide(attention="xformers", machine=Elsewhere(gpus=1))
    assert placement.attention == "xformers"
    assert "xformers" in placement.reason


@pytest.mark.parametrize("machine", [Elsewhere(), Elsewhere(apple=True)], ids=["cpu", "mps"])
def test_xformers_without_a_cuda_gpu_is_refused(machine):
    with pytest.raises(PlacementError, match="on CUDA GPUs only: leave --attention out"):
        decide(attention="xformers", machine=machine)


@pytest.mark.parametrize(
    "trouble", ["xFormers is not installed", "xFormers does not compute in float16 on cuda:0 (no operator found)"]
)
def test_xformers_that_is_not_there_or_lacks_kernels_is_refused_in_one_line(trouble):
    with pytest.raises(PlacementError) as raised:
        decide(attention="xformers", machine=Elsewhere(gpus=1, troubles={"xformers": trouble}))
    assert str(raised.value).startswith(f"{trouble}: leave --attention out")


@pytest.mark.skipif(importlib.util.find_spec("xformers") is not None, reason="xFormers is installed")
def test_this_machine_says_that_xformers_is_not_installed():
    assert MACHINE.xformers("cpu", "float32") == "xFormers is not installed"


# ---------------------------------------------------------------------------------------------- and the rest


def test_a_network_is_moved_to_its_type_and_stops_learning():
    network = WuerstchenPrior(c_in=4, c=16, c_cond=8, depth=1, nhead=2).train()
    settle(network, Placement("cpu", "bfloat16", "sdpa", ""))
    assert network.dtype == torch.bfloat16
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_gpu_that_cannot_resize_as_the_decoder_does_names_the_fallback():
    machine = Elsewhere(apple=True, troubles={"resizing": "aten::_upsample_bicubic2d_aa.out is not implemented"})
    with pytest.raises(PlacementError, match=r"mps lacks .*--device cpu, or set .*PYTORCH_ENABLE_MPS_FALLBACK to 1"):
        decide(machine=machine)
    assert MACHINE.resizing("meta")


def test_memory_is_told_for_the_device_that_was_decided():
    found = memory(decide().device)
    assert found.name
    assert 0 < found.free <= found.total


def test_a_device_that_is_listed_and_does_not_compute_is_refused_with_its_own_words():
    machine = Elsewhere(gpus=1, troubles={"computing": "no kernel image is available"})
    with pytest.raises(PlacementError, match=r"does not compute in float16 \(no kernel image.*give --device cpu"):
        decide(machine=machine)
    assert MACHINE.computing("cpu", "float32") == MACHINE.resizing("cpu") == ""
    assert MACHINE.computing("meta", "float32")


def test_bytes_follow_the_type():
    assert Placement("cpu", "float32", "sdpa", "").bytes_for(10) == 40
    assert Placement("cuda:0", "float16", "sdpa", "").bytes_for(10) == 20
