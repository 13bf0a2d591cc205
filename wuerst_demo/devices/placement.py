"""Placement: device, dtype, offload and kernels of the networks, chosen from the requested options.

The choice depends on the options, the memory estimate and the hardware, and comes with its reason as a sentence.
Conflicts between options are in `wuerst_demo.compatibility`; `wuerst_demo.networks` carries the placement out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from wuerst_demo.compatibility import OPTION_VALUES, find_conflict, reject_conflicts
from wuerst_demo.devices.bfloat16 import MIN_SPEEDUP
from wuerst_demo.devices.hardware import LOCAL_HARDWARE, Hardware
from wuerst_demo.devices.memory_estimate import BYTES_PER_ELEMENT, MemoryEstimate, format_bytes
from wuerst_demo.errors import PlacementError
from wuerst_demo.placement_options import PlacementOptions

DTYPES = tuple(BYTES_PER_ELEMENT)
OFFLOAD_MODES = ("none", "model", "sequential")
"""In order of device memory, most first; the first is also the fastest."""


@dataclass(frozen=True)
class Placement:
    """Where and how the networks run."""

    device: str
    """cpu, mps or cuda:N."""
    dtype: str
    """One of DTYPES."""
    attention: str
    """sdpa or xformers."""
    reason: str
    """One sentence for users: what was chosen, and why."""
    offload: str = "none"
    """One of OFFLOAD_MODES: model keeps one network on the device at a time, sequential one layer."""
    compile: bool = False
    """Whether prior and decoder run through torch.compile."""
    backend: str = "torch"
    """torch or openvino."""

    @property
    def home(self) -> str:
        """Device where weights are kept between uses: the CPU under offload."""
        return self.device if self.offload == "none" else "cpu"

    @property
    def weights_dtype(self) -> str:
        """Dtype of weights in PyTorch: OpenVINO takes them in float32 and rounds them itself."""
        return "float32" if self.backend == "openvino" else self.dtype

    def bytes_for(self, parameters: int) -> int:
        """Bytes of so many parameters as weights."""
        return parameters * BYTES_PER_ELEMENT[self.weights_dtype]


def decide_placement(
    options: PlacementOptions,
    *,
    lora: bool = False,
    estimate: MemoryEstimate | None = None,
    hardware: Hardware = LOCAL_HARDWARE,
) -> Placement:
    """Placement for the requested options.

    dtype "auto" is float16 on a GPU, as the model's authors run it; on a CPU it is bfloat16 where that was measured to
    be faster, else float32. Offload "auto" is the first
    of OFFLOAD_MODES with which `estimate` fits into the memory that is free now, "none" without an estimate. Raises
    PlacementError, with the remedy, for options that exclude each other or that this machine does not support.
    """
    if options.dtype != "auto" and options.dtype not in DTYPES:
        raise PlacementError(f"There is no dtype '{options.dtype[:20]}': choose auto, {', '.join(DTYPES)}.")
    if options.offload != "auto" and options.offload not in OFFLOAD_MODES:
        raise PlacementError(f"There is no offload '{options.offload[:20]}': choose auto, {', '.join(OFFLOAD_MODES)}.")
    if options.attention not in OPTION_VALUES["attention"]:
        raise PlacementError(
            f"There is no attention '{options.attention[:20]}': choose {' or '.join(OPTION_VALUES['attention'])}."
        )
    if options.backend not in ("torch", "openvino"):
        raise PlacementError(f"There is no backend '{options.backend[:20]}': choose torch or openvino.")
    reject_conflicts(options, lora)
    device, reason = _choose_device(options.device, hardware)
    options = dataclasses.replace(options, device=device)
    reject_conflicts(options, lora)
    dtype, clause = _choose_dtype(options, hardware)
    reason += clause
    options = dataclasses.replace(options, dtype=dtype)
    # Before the memory is queried: a device that is listed but full or busy does not report it.
    _check_hardware(options, hardware)
    offload = options.offload
    if offload == "auto":
        offload, clause = _choose_offload(options, estimate, hardware)
        reason += clause
    elif offload != "none":
        reason += f", with {offload} offload as requested"
    if options.attention != "sdpa":
        reason += f"; attention uses {options.attention}"
    if options.compile:
        reason += "; prior and decoder are compiled"
    if options.backend != "torch":
        reason += "; prior, decoder and VQGAN run in OpenVINO"
    sentence = f"Runs on {hardware.device_name(device)} in {dtype}: {reason}."
    return Placement(device, dtype, options.attention, sentence, offload, options.compile, options.backend)


def check_options(options: PlacementOptions, lora: bool = False, hardware: Hardware = LOCAL_HARDWARE) -> None:
    """Raise what `decide_placement` raises for every checkpoint; called before gigabytes of one are fetched.

    The default options work on every machine and import no torch.
    """
    if options != PlacementOptions():
        decide_placement(options, lora=lora, hardware=hardware)


def check_fits(placement: Placement, estimate: MemoryEstimate, hardware: Hardware = LOCAL_HARDWARE) -> None:
    """Raise PlacementError, with options that would fit, if less memory is free than the placement needs.

    Under offload the weights have to fit into main memory too.
    """
    memory, dtype = hardware.memory(placement.device), placement.weights_dtype
    needed_bytes = estimate.device_bytes(placement.device, placement.offload, dtype)
    weight_bytes = placement.bytes_for(estimate.total_weights)
    if needed_bytes > memory.free_bytes:
        fitting = " or ".join(_fitting_options(placement, estimate, memory.free_bytes))
        unit = {"none": "", "model": ", one network at a time,", "sequential": ", one layer at a time,"}
        raise PlacementError(
            f"The weights take {format_bytes(weight_bytes)} in {dtype}, a picture{unit[placement.offload]}"
            f" needs {format_bytes(needed_bytes)} and {memory.name} has {format_bytes(memory.free_bytes)} free: close"
            f" other programs, {f'give {fitting}' if fitting else 'give another --device or a smaller checkpoint'}."
        )
    if placement.home != placement.device:
        # The largest network exists twice while weights are arranged for offload.
        main_memory = hardware.memory("cpu")
        held_bytes = weight_bytes + placement.bytes_for(max(estimate.weights.values()))
        if held_bytes > main_memory.free_bytes:
            fits_device = estimate.device_bytes(placement.device, "none", dtype) <= memory.free_bytes
            raise PlacementError(
                f"The weights take {format_bytes(weight_bytes)} in {dtype} and are kept in main memory, which"
                f" has {format_bytes(main_memory.free_bytes)} free of the {format_bytes(held_bytes)} needed: close"
                f" other programs, or give {'--offload none' if fits_device else 'a smaller checkpoint'}."
            )


def _fitting_options(placement: Placement, estimate: MemoryEstimate, free_bytes: int) -> Iterator[str]:
    """Options that would fit: the least offload in the same dtype, and less offload than that in a shorter dtype."""
    offloads: tuple[str, ...] = OFFLOAD_MODES
    for dtype in dict.fromkeys((placement.dtype, "float16")):
        for number, offload in enumerate(offloads):
            options = PlacementOptions(placement.device, dtype, offload, placement.attention, placement.compile)
            fits = estimate.device_bytes(placement.device, offload, dtype) <= free_bytes
            if fits and not find_conflict(options):
                changed = {"--dtype": (dtype, placement.dtype), "--offload": (offload, placement.offload)}
                yield " ".join(f"{flag} {new}" for flag, (new, old) in changed.items() if new != old)
                offloads = OFFLOAD_MODES[:number]
                break


def _choose_dtype(options: PlacementOptions, hardware: Hardware) -> tuple[str, str]:
    """Dtype for a device, and the next clause of the reason."""
    dtype = options.dtype
    if options.device != "cpu":
        if dtype == "auto":
            return "float16", ", and the model was made to run in float16"
        return dtype, f", and {dtype} was requested"
    if dtype == "float16":
        return dtype, ", and float16 was requested (on many CPUs it is far slower than float32)"
    if dtype == "float32":
        return dtype, ", and float32 was requested"
    if dtype == "bfloat16":
        cost = " (this CPU has no instructions for it, so pictures may take hundreds of times as long as in float32)"
        return dtype, f", and bfloat16 was requested{'' if hardware.has_bfloat16() else cost}"
    if not hardware.has_bfloat16():
        return "float32", ", and this CPU has no instructions for bfloat16"
    speedup = hardware.bfloat16_speedup()
    chosen = "bfloat16" if speedup >= MIN_SPEEDUP else "float32"
    return chosen, f", and bfloat16 was measured here at {speedup:.2f} times the speed of float32"


def _choose_offload(options: PlacementOptions, estimate: MemoryEstimate | None, hardware: Hardware) -> tuple[str, str]:
    """Offload mode for "auto", and the end of the reason; "" where there is no choice."""
    device, dtype = options.device, options.dtype
    possible = [mode for mode in OFFLOAD_MODES if not find_conflict(dataclasses.replace(options, offload=mode))]
    if estimate is None or len(possible) == 1:
        return "none", ""
    free_bytes = hardware.memory(device).free_bytes
    for offload in possible:
        needed_bytes = estimate.device_bytes(device, offload, dtype)
        if needed_bytes <= free_bytes:
            break
    whole, free = format_bytes(estimate.device_bytes(device, "none", dtype)), format_bytes(free_bytes)
    if offload == "none":
        return offload, f"; it needs {whole} of the {free} that are free, so nothing is offloaded"
    return (
        offload,
        f"; it needs {whole} and {free} are free, so {offload} offload is used, which needs"
        f" {format_bytes(needed_bytes)}",
    )


def _choose_device(device: str, hardware: Hardware) -> tuple[str, str]:
    """Device, and the start of the reason. Raises PlacementError."""
    cuda_count, mps = hardware.cuda_device_count(), hardware.has_mps()
    requested = "the device was requested"
    if device == "auto":
        if cuda_count:
            return "cuda:0", "torch sees a CUDA GPU"
        return ("mps", "torch sees an Apple GPU") if mps else ("cpu", "torch sees no GPU")
    kind, colon, number = device.partition(":")
    if kind == "cuda" and (number.isdecimal() if colon else True):
        if not cuda_count:
            raise PlacementError(
                f"{hardware.torch_build()}: leave --device out to run on {'the Apple GPU' if mps else 'the CPU'}, or"
                " fix the driver or the torch installation."
            )
        if int(number or 0) >= cuda_count:
            others = f" to cuda:{cuda_count - 1}" if cuda_count > 1 else ""
            raise PlacementError(f"There is no {device}: choose cuda:0{others}.")
        return f"cuda:{int(number or 0)}", requested
    if device == "mps":
        if not mps:
            raise PlacementError("torch sees no Apple GPU: leave --device out to choose automatically.")
        return "mps", requested
    if device == "cpu":
        return "cpu", requested
    raise PlacementError(f"There is no device '{device[:20]}': choose auto, cpu, mps, cuda or cuda:NUMBER.")


def _check_hardware(options: PlacementOptions, hardware: Hardware) -> None:
    """Raise PlacementError if the hardware does not support the chosen device, dtype, attention or compiler."""
    device, dtype = options.device, options.dtype
    if problem := hardware.check_matmul(device, dtype):
        raise PlacementError(
            f"{device} does not compute in {dtype} ({problem}): leave out --dtype, or give --device cpu."
        )
    if problem := hardware.check_resize(device):
        raise PlacementError(
            f"{device} lacks an operation of the decoder ({problem}): give --device cpu, or set the environment"
            " variable PYTORCH_ENABLE_MPS_FALLBACK to 1, which computes that operation on the CPU."
        )
    if options.attention == "xformers" and (problem := hardware.check_xformers(device, dtype)):
        raise PlacementError(f"{problem}: leave --attention out to use SDPA, or install a build that fits torch.")
    if options.backend == "openvino" and (problem := hardware.check_openvino()):
        raise PlacementError(f"{problem}: leave --backend out, or run pip install openvino.")
    if options.compile and (problem := hardware.check_compiler(device)):
        raise PlacementError(f"torch cannot compile here, {problem}: leave --compile out.")
