"""Placement: what is chosen on different hardware, and what is rejected with which remedy."""

from __future__ import annotations

import pytest
import torch

from tests.fakes.devices import FakeHardware
from wuerst_demo.devices.memory_estimate import MemoryEstimate, format_bytes
from wuerst_demo.devices.placement import Placement, check_fits, decide_placement
from wuerst_demo.errors import PlacementError
from wuerst_demo.placement_options import PlacementOptions

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()
PUBLISHED = MemoryEstimate(
    {
        "prior": 993_636_896,
        "prior's text encoder": 693_021_440,
        "decoder": 1_055_365_280,
        "decoder's text encoder": 352_984_064,
        "VQGAN": 18_406_894,
    },
    {"prior": 25_000_000, "decoder": 94_000_000, "VQGAN": 560_000_000, "VQGAN in slices": 300_000_000},
    largest_layer=63_242_240,
)
"""The published checkpoint, roughly."""
BEST_DEVICE = "cuda:0" if CUDA else "mps" if MPS else "cpu"


def test_auto_is_a_gpu_in_float16_else_the_cpu_in_float32():
    placement = decide_placement(PlacementOptions())
    assert placement.device == BEST_DEVICE
    assert placement.dtype == ("float32" if BEST_DEVICE == "cpu" else "float16")


@pytest.mark.parametrize(("device", "dtype"), [("auto", "auto"), ("cpu", "auto"), ("cpu", "bfloat16")])
def test_the_reason_is_one_sentence_that_names_device_and_dtype(device, dtype):
    placement = decide_placement(PlacementOptions(device, dtype))
    assert placement.reason.startswith("Runs on ")
    assert placement.reason.endswith(".")
    assert "\n" not in placement.reason
    assert f"in {placement.dtype}:" in placement.reason
    assert ("was requested" in placement.reason) == ((device, dtype) != ("auto", "auto"))


@pytest.mark.parametrize(("speedup", "dtype"), [(1.6, "bfloat16"), (1.15, "bfloat16"), (1.1, "float32")])
def test_a_cpu_computes_in_bfloat16_where_that_was_measured_to_pay(speedup, dtype):
    for device in ("auto", "cpu"):
        placement = decide_placement(PlacementOptions(device), hardware=FakeHardware(bfloat16=speedup))
        assert placement.dtype == dtype
        assert f"measured here at {speedup:.2f} times the speed of float32" in placement.reason


def test_a_cpu_that_emulates_bfloat16_uses_it_only_on_request_with_its_cost():
    hardware = FakeHardware(bfloat16=None)
    placement = decide_placement(PlacementOptions("cpu"), hardware=hardware)
    assert placement.dtype == "float32"
    assert "no instructions for bfloat16" in placement.reason
    placement = decide_placement(PlacementOptions("cpu", "bfloat16"), hardware=hardware)
    assert placement.dtype == "bfloat16"
    assert "hundreds of times as long" in placement.reason


def test_a_cpu_that_computes_in_bfloat16_needs_no_warning_and_no_measurement():
    class Unmeasured(FakeHardware):
        def bfloat16_speedup(self):
            raise AssertionError("measured")

    for dtype in ("bfloat16", "float32", "float16"):
        placement = decide_placement(PlacementOptions("cpu", dtype), hardware=Unmeasured(bfloat16=1.0))
        assert placement.dtype == dtype
        assert ("slower" in placement.reason) == (dtype == "float16")
        assert "hundreds" not in placement.reason


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_requested_dtype_is_used_on_a_cpu(dtype):
    assert decide_placement(PlacementOptions("cpu", dtype)).dtype == dtype


@pytest.mark.skipif(CUDA, reason="there is a CUDA GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_without_a_cuda_gpu_the_remedy_is_named(device):
    with pytest.raises(PlacementError, match=r"sees no CUDA GPU .*: leave --device out to run on the .*PU"):
        decide_placement(PlacementOptions(device))


@pytest.mark.skipif(not CUDA, reason="there is no CUDA GPU here")
def test_a_cuda_gpu_is_taken_by_number_if_it_is_there():
    assert (
        decide_placement(PlacementOptions("cuda")).device
        == decide_placement(PlacementOptions("cuda:0")).device
        == "cuda:0"
    )
    with pytest.raises(PlacementError, match=r"There is no cuda:99: choose cuda:0"):
        decide_placement(PlacementOptions("cuda:99"))


@pytest.mark.skipif(MPS, reason="there is an Apple GPU here")
def test_without_an_apple_gpu_the_remedy_is_named():
    with pytest.raises(PlacementError, match="sees no Apple GPU: leave --device out"):
        decide_placement(PlacementOptions("mps"))


@pytest.mark.parametrize("device", ["tpu", "", "gpu", "cuda:", "cuda:-1", "cuda:one", "meta", "cpu:0"])
def test_an_unknown_device_is_rejected(device):
    with pytest.raises(PlacementError, match=r"There is no device .*choose auto, cpu, mps, cuda") as raised:
        decide_placement(PlacementOptions(device))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", ["int8", "half", "", "float64", "torch.float16"])
def test_an_unknown_dtype_is_rejected(dtype):
    with pytest.raises(PlacementError, match=r"There is no dtype .*choose auto, float32, float16, bfloat16"):
        decide_placement(PlacementOptions("cpu", dtype))


def test_a_gpu_computes_in_float16_and_the_reason_names_it():
    placement = decide_placement(PlacementOptions(), hardware=FakeHardware(gpus=1))
    assert (placement.device, placement.dtype, placement.home) == ("cuda:0", "float16", "cuda:0")
    assert placement.reason.startswith("Runs on the GPU in float16: torch sees a CUDA GPU")
    placement = decide_placement(PlacementOptions(), hardware=FakeHardware(apple=True))
    assert (placement.device, placement.dtype, placement.home) == ("mps", "float16", "mps")


@pytest.mark.parametrize(("device", "gpus", "chosen"), [("cuda", 1, 0), ("cuda:0", 2, 0), ("cuda:1", 2, 1)])
def test_a_gpu_is_taken_by_its_number(device, gpus, chosen):
    placement = decide_placement(PlacementOptions(device), hardware=FakeHardware(gpus=gpus))
    assert placement.device == f"cuda:{chosen}"
    assert "the device was requested" in placement.reason


@pytest.mark.parametrize(("gpus", "choice"), [(1, "cuda:0."), (2, "cuda:0 to cuda:1.")])
def test_a_number_that_no_gpu_has_is_rejected_with_those_that_are_there(gpus, choice):
    with pytest.raises(PlacementError) as rejected:
        decide_placement(PlacementOptions(f"cuda:{gpus}"), hardware=FakeHardware(gpus=gpus))
    assert str(rejected.value) == f"There is no cuda:{gpus}: choose {choice}"


# Offload


@pytest.mark.parametrize(
    ("free", "offload"), [(80.0, "none"), (9.0, "none"), (7.0, "model"), (3.0, "model"), (2.0, "sequential")]
)
def test_auto_offloads_as_little_as_fits_and_says_why(free, offload):
    placement = decide_placement(
        PlacementOptions(), estimate=PUBLISHED, hardware=FakeHardware(gpus=1, free_gb={"cuda:0": free})
    )
    assert placement.offload == offload
    assert placement.home == ("cuda:0" if offload == "none" else "cpu")
    assert f"{free:.1f} GB" in placement.reason
    assert ("so nothing is offloaded" in placement.reason) == (offload == "none")
    check_fits(placement, PUBLISHED, FakeHardware(gpus=1, free_gb={"cuda:0": free}))


def test_auto_uses_no_offload_that_conflicts_with_other_options():
    hardware = FakeHardware(gpus=1, free_gb={"cuda:0": 2.0})
    assert decide_placement(PlacementOptions(compile=True), estimate=PUBLISHED, hardware=hardware).offload == "model"


@pytest.mark.parametrize("hardware", [FakeHardware(), FakeHardware(apple=True)], ids=["cpu", "mps"])
def test_offload_is_rejected_where_device_and_cpu_share_memory(hardware):
    placement = decide_placement(PlacementOptions(), estimate=PUBLISHED, hardware=hardware)
    assert placement.offload == "none"
    assert "offload" not in placement.reason
    for offload in ("model", "sequential"):
        with pytest.raises(PlacementError, match=r"until a GPU needs them.*leave --offload out"):
            decide_placement(PlacementOptions(offload=offload), hardware=hardware)


def test_a_requested_offload_is_used():
    placement = decide_placement(
        PlacementOptions(offload="sequential"), estimate=PUBLISHED, hardware=FakeHardware(gpus=1)
    )
    assert (placement.offload, placement.home) == ("sequential", "cpu")
    assert "sequential offload as requested" in placement.reason


class BusyGpu(FakeHardware):
    """Hardware with a GPU that is listed but does not answer."""

    def memory(self, device):
        raise RuntimeError("CUDA error: out of memory")


def test_a_gpu_that_does_not_answer_is_rejected_with_the_remedy():
    hardware = BusyGpu(gpus=1, problems={"matmul": "CUDA error: out of memory"})
    with pytest.raises(PlacementError, match="give --device cpu"):
        decide_placement(PlacementOptions(), estimate=PUBLISHED, hardware=hardware)


@pytest.mark.parametrize(
    ("options", "free", "remedy"),
    [
        ({"offload": "none"}, 3.0, "give --offload model."),
        ({"offload": "none", "dtype": "float32"}, 8.0, "give --offload model or --dtype float16."),
        ({"offload": "none"}, 1.2, "give --offload sequential."),
        ({"offload": "model"}, 1.2, "give --offload sequential."),
        ({"offload": "sequential"}, 0.3, "give another --device or a smaller checkpoint."),
        ({}, 0.3, "give another --device or a smaller checkpoint."),
    ],
)
def test_too_little_memory_is_reported_with_what_would_fit(options, free, remedy):
    hardware = FakeHardware(gpus=1, free_gb={"cuda:0": free})
    placement = decide_placement(PlacementOptions(**options), estimate=PUBLISHED, hardware=hardware)
    with pytest.raises(PlacementError) as raised:
        check_fits(placement, PUBLISHED, hardware)
    assert str(raised.value).endswith(remedy)
    assert f"the GPU has {format_bytes(int(free * 1e9))} free" in str(raised.value)


@pytest.mark.parametrize(("gpu", "remedy"), [(6.0, "a smaller checkpoint."), (24.0, "--offload none.")])
def test_the_remedy_for_short_main_memory_fits_the_gpu(gpu, remedy):
    hardware = FakeHardware(gpus=1, free_gb={"cuda:0": gpu, "cpu": 8.0})
    with pytest.raises(PlacementError) as raised:
        check_fits(
            decide_placement(PlacementOptions(offload="model"), estimate=PUBLISHED, hardware=hardware),
            PUBLISHED,
            hardware,
        )
    assert str(raised.value).endswith(remedy)


@pytest.mark.parametrize("free", [5.0, 8.0])
def test_offloaded_weights_have_to_fit_into_main_memory(free):
    hardware = FakeHardware(gpus=1, free_gb={"cuda:0": 4.0, "cpu": free})
    with pytest.raises(
        PlacementError, match=rf"take 6\.2 GB .* main memory, which has {free} GB free of the 8\.3 GB needed"
    ):
        check_fits(decide_placement(PlacementOptions(), estimate=PUBLISHED, hardware=hardware), PUBLISHED, hardware)
    check_fits(
        decide_placement(PlacementOptions(), estimate=PUBLISHED, hardware=hardware),
        PUBLISHED,
        FakeHardware(gpus=1, free_gb={"cuda:0": 4.0, "cpu": 9.0}),
    )


def test_a_cpu_needs_memory_for_the_weights_and_an_image():
    check_fits(decide_placement(PlacementOptions("cpu")), PUBLISHED, FakeHardware(free_gb={"cpu": 16.0}))
    with pytest.raises(PlacementError, match=r"take 12\.\d GB in float32.* has 8\.0 GB free.*give --dtype float16\."):
        check_fits(decide_placement(PlacementOptions("cpu")), PUBLISHED, FakeHardware(free_gb={"cpu": 8.0}))


def test_xformers_is_used_and_recorded_on_a_gpu_with_its_kernels():
    placement = decide_placement(PlacementOptions(attention="xformers"), hardware=FakeHardware(gpus=1))
    assert placement.attention == "xformers"
    assert "xformers" in placement.reason


@pytest.mark.parametrize("hardware", [FakeHardware(), FakeHardware(apple=True)], ids=["cpu", "mps"])
def test_xformers_without_a_cuda_gpu_is_rejected(hardware):
    with pytest.raises(PlacementError, match="on CUDA GPUs only: leave --attention out"):
        decide_placement(PlacementOptions(attention="xformers"), hardware=hardware)


@pytest.mark.parametrize(
    "problem", ["xFormers is not installed", "xFormers does not compute in float16 on cuda:0 (no operator found)"]
)
def test_missing_or_unsuitable_xformers_is_rejected_in_one_line(problem):
    with pytest.raises(PlacementError) as raised:
        decide_placement(
            PlacementOptions(attention="xformers"), hardware=FakeHardware(gpus=1, problems={"xformers": problem})
        )
    assert str(raised.value).startswith(f"{problem}: leave --attention out")


def test_a_gpu_without_antialiased_resize_gets_the_fallback_as_remedy():
    hardware = FakeHardware(apple=True, problems={"resize": "aten::_upsample_bicubic2d_aa.out is not implemented"})
    with pytest.raises(PlacementError, match=r"mps lacks .*--device cpu, or set .*PYTORCH_ENABLE_MPS_FALLBACK to 1"):
        decide_placement(PlacementOptions(), hardware=hardware)


def test_a_device_that_does_not_compute_is_rejected_with_its_error():
    hardware = FakeHardware(gpus=1, problems={"matmul": "no kernel image is available"})
    with pytest.raises(PlacementError, match=r"does not compute in float16 \(no kernel image.*give --device cpu"):
        decide_placement(PlacementOptions(), hardware=hardware)


def test_openvino_runs_on_a_cpu_where_it_is_installed():
    hardware = FakeHardware(gpus=1, bfloat16=2.0)
    placement = decide_placement(PlacementOptions("cpu", backend="openvino"), hardware=hardware)
    assert (placement.backend, placement.dtype, placement.weights_dtype) == ("openvino", "bfloat16", "float32")
    assert "run in OpenVINO" in placement.reason
    with pytest.raises(PlacementError, match=r"OpenVINO computes on a CPU.*leave --backend out"):
        decide_placement(PlacementOptions(backend="openvino"), hardware=hardware)
    missing = FakeHardware(problems={"openvino": "OpenVINO is not installed"})
    with pytest.raises(PlacementError, match=r"OpenVINO is not installed: leave --backend out, or run pip install"):
        decide_placement(PlacementOptions("cpu", backend="openvino"), hardware=missing)
    with pytest.raises(PlacementError, match="There is no backend 'onnx': choose torch or openvino"):
        decide_placement(PlacementOptions("cpu", backend="onnx"), hardware=hardware)


def test_bytes_follow_the_dtype():
    assert Placement("cpu", "float32", "sdpa", "").bytes_for(10) == 40
    assert Placement("cuda:0", "float16", "sdpa", "").bytes_for(10) == 20


def test_memory_that_just_fits_is_enough():
    placement = decide_placement(PlacementOptions("cpu"))
    needed_gb = PUBLISHED.device_bytes("cpu", "none", "float32") / 1e9
    check_fits(placement, PUBLISHED, FakeHardware(free_gb={"cpu": needed_gb}))
    with pytest.raises(PlacementError):
        check_fits(placement, PUBLISHED, FakeHardware(free_gb={"cpu": needed_gb - 1e-8}))
