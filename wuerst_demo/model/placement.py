"""Where the networks run and in which type of numbers: decided here, once, with the reason as a sentence.

Imports torch only inside its functions. Does not know files or requests. Offload, xFormers, compiling and LoRA are
refused until they are built; they belong here (`Placement` and `place`) when they are.
"""

from __future__ import annotations

import platform
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wuerst_demo.errors import PlacementError
from wuerst_demo.settings import refuse_unbuilt

if TYPE_CHECKING:
    from torch import nn

    from wuerst_demo.model.parts import Parts

DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""The types to choose from -> bytes a number takes."""


@dataclass(frozen=True)
class Placement:
    """A decision: torch's words for device and type, how attention is computed, and why, as one sentence."""

    device: str
    dtype: str
    attention: str
    reason: str

    def bytes_for(self, parameters: int) -> int:
        """How much memory so many numbers take."""
        return parameters * DTYPES[self.dtype]


@dataclass(frozen=True)
class Memory:
    """A device's name, and its memory in bytes: all of it, and what is free now."""

    name: str
    total: int
    free: int


def decide(
    device: str = "auto", dtype: str = "auto", offload: str = "none", attention: str = "sdpa", compile: bool = False
) -> Placement:
    """Where to run. CUDA and Apple's GPUs take float16, as the model's authors do; a CPU takes float32.

    `device`: auto, cpu, mps, cuda or cuda:N. `dtype`: auto or one of DTYPES; an explicit one is honoured wherever it
    computes at all. Raises PlacementError, with the remedy, for what this machine does not have.
    """
    refuse_unbuilt(offload, attention, compile)
    if dtype != "auto" and dtype not in DTYPES:
        raise PlacementError(f"There is no data type '{dtype[:20]}': choose auto, {', '.join(DTYPES)}.")
    chosen, why = _device(device)
    if dtype != "auto":
        why += f", and {dtype} was asked for"
        if chosen == "cpu" and dtype != "float32":
            why += " (on many CPUs it is far slower than float32)"
    elif chosen == "cpu":
        dtype, why = "float32", why + ", and CPUs are slow in shorter types"
    else:
        dtype, why = "float16", why + ", and the model was made to run in float16"
    _probe(chosen, dtype)
    return Placement(chosen, dtype, attention, f"Runs on {_name(chosen)} in {dtype}: {why}.")


def place(parts: Parts, placement: Placement) -> Parts:
    """Moves every network to its device and type, sets SDPA and the evaluation mode; the same parts come back."""
    for network in (
        parts.prior,
        parts.prior_text_encoder,
        parts.decoder,
        parts.decoder_text_encoder,
        parts.vqgan,
    ):
        settle(network, placement)
    return parts


def settle(network: nn.Module, placement: Placement) -> None:
    """`place` for one network, in place.

    diffusers sets its plain attention on the prior (since 0.22) and gives the decoder no way to set any, so both are
    done module by module. The text encoders of transformers use SDPA by themselves.
    """
    import torch
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0
    from torch import nn

    # torch's own `to`: the one of diffusers warns that nothing (an empty list) ought to stay in float32.
    nn.Module.to(network, device=placement.device, dtype=getattr(torch, placement.dtype))
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor2_0())  # type: ignore[no-untyped-call, arg-type]


def memory(device: str) -> Memory:
    """The memory of a device that `decide` chose."""
    import torch

    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
    elif device == "mps":
        total = torch.mps.recommended_max_memory()
        free = total - torch.mps.driver_allocated_memory()
    else:
        import psutil

        main = psutil.virtual_memory()
        free, total = main.available, main.total
    return Memory(_name(device), total, free)


def refuse_too_large(needed: int, where: Memory, dtype: str) -> None:
    """Raises PlacementError if so many bytes of weights do not fit into what is free, before anything is read."""
    if needed <= where.free:
        return
    shorter = " in a shorter --dtype," if dtype == "float32" else ""
    raise PlacementError(
        f"The weights take {needed / 1e9:.1f} GB in {dtype} and {where.name} has {where.free / 1e9:.1f} GB free:"
        f" close other programs, try{shorter} another --device or a smaller checkpoint."
    )


def _device(device: str) -> tuple[str, str]:
    """The device and the first half of the reason."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a broken driver warns at length; what it means is said below
        cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    asked = "the device was asked for"
    if device == "auto":
        if cuda:
            return "cuda:0", "torch sees a CUDA GPU"
        return ("mps", "torch sees an Apple GPU") if mps else ("cpu", "torch sees no GPU")
    kind, colon, number = device.partition(":")
    if kind == "cuda" and (number.isdecimal() if colon else True):
        if not cuda:
            built = f"has CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
            raise PlacementError(
                f"torch {torch.__version__} sees no CUDA GPU (it {built}): leave --device out to run on"
                f" {'the Apple GPU' if mps else 'the CPU'}, or mend the driver or the torch installation."
            )
        if int(number or 0) >= cuda:
            raise PlacementError(f"There is no {device}: choose cuda:0{f' to cuda:{cuda - 1}' if cuda > 1 else ''}.")
        return f"cuda:{int(number or 0)}", asked
    if device == "mps":
        if not mps:
            raise PlacementError("torch sees no Apple GPU: leave --device out to take what there is.")
        return "mps", asked
    if device == "cpu":
        return "cpu", asked
    raise PlacementError(f"There is no device '{device[:20]}': choose auto, cpu, mps, cuda or cuda:NUMBER.")


def _probe(device: str, dtype: str) -> None:
    """Computes one product there; a device can be listed and not work, or not know the type."""
    import torch

    try:
        one = torch.ones(2, 2, device=device, dtype=getattr(torch, dtype))
        (one @ one).sum().item()
    except (RuntimeError, TypeError) as error:
        raise PlacementError(
            f"{device} does not compute in {dtype} ({str(error).splitlines()[0][:100]}): leave out --dtype, or give"
            " --device cpu."
        ) from error


def _name(device: str) -> str:
    """What the device is called."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "mps":
        return "the Apple GPU"
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(errors="replace").splitlines() if listing.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"the CPU ({named[0] if named else platform.processor() or platform.machine()})"
