"""Where the networks run, in which type of numbers and how: decided here, once, with the reason as a sentence.

A decision from what was asked for, what the checkpoint needs and what the machine answers; it moves nothing. What goes
together stands in `wuerst_demo.pairs`; the mechanics in `attention`, `offload` and `compiling`. Does not know files or
requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wuerst_demo import pairs
from wuerst_demo.errors import PlacementError
from wuerst_demo.model.machine import HERE, Machine
from wuerst_demo.model.needs import BYTES

if TYPE_CHECKING:
    from wuerst_demo.model.needs import Needs

DTYPES = BYTES
OFFLOADS = ("none", "model", "sequential")
"""From the fastest to the one that takes the least of the device's memory."""


@dataclass(frozen=True)
class Placement:
    """A decision: torch's words for device and type, how attention is computed, and why, as one sentence.

    `offload` is none, model (one network on the device at a time) or sequential (one layer); `compile` says whether
    prior and decoder are compiled.
    """

    device: str
    dtype: str
    attention: str
    reason: str
    offload: str = "none"
    compile: bool = False

    @property
    def home(self) -> str:
        """The device where weights wait: main memory under offload."""
        return self.device if self.offload == "none" else "cpu"

    def bytes_for(self, parameters: int) -> int:
        """How much memory so many numbers take."""
        return parameters * DTYPES[self.dtype]


def decide(
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
    *,
    lora: bool = False,
    needs: Needs | None = None,
    machine: Machine = HERE,
) -> Placement:
    """Where to run. CUDA and Apple's GPUs take float16, as the model's authors do; a CPU takes float32.

    `device`: auto, cpu, mps, cuda or cuda:N. `dtype`: auto or one of DTYPES; an explicit one is honoured wherever it
    computes at all. `offload`: auto or one of OFFLOADS; auto takes the first that `needs` fits with into the memory
    that is free now, and none where that is not known. Raises PlacementError, with the remedy, for what this machine
    does not have and for what does not go together.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise PlacementError(f"There is no data type '{dtype[:20]}': choose auto, {', '.join(DTYPES)}.")
    if offload != "auto" and offload not in OFFLOADS:
        raise PlacementError(f"There is no offload '{offload[:20]}': choose auto, {', '.join(OFFLOADS)}.")
    if attention not in pairs.VALUES["attention"]:
        raise PlacementError(
            f"There is no attention '{attention[:20]}': choose {' or '.join(pairs.VALUES['attention'])}."
        )
    pairs.refuse(device, dtype, offload, attention, compile, lora)
    chosen, why = _device(device, machine)
    pairs.refuse(chosen, dtype, offload, attention, compile, lora)
    if dtype != "auto":
        why += f", and {dtype} was asked for"
        if chosen == "cpu" and dtype != "float32":
            why += " (on many CPUs it is far slower than float32)"
    elif chosen == "cpu":
        dtype, why = "float32", why + ", and CPUs are slow in shorter types"
    else:
        dtype, why = "float16", why + ", and the model was made to run in float16"
    # before the device is asked for its memory, which one that is listed but full or busy does not tell
    _probe(chosen, dtype, attention, compile, machine)
    if offload == "auto":
        offload, because = _offload(chosen, dtype, compile, needs, machine)
        why += because
    elif offload != "none":
        why += f", with {offload} offload as asked for"
    if attention != "sdpa":
        why += f"; attention is {attention}'s"
    if compile:
        why += "; prior and decoder are compiled"
    reason = f"Runs on {machine.name(chosen)} in {dtype}: {why}."
    return Placement(chosen, dtype, attention, reason, offload, compile)


def foresee(lora: bool = False, machine: Machine = HERE, **asked: Any) -> None:
    """Raises what `decide` would for any checkpoint, to be asked before gigabytes of one are fetched; `asked` is the
    rest of what that takes. What is left as it is there is always possible, and asks nothing of torch."""
    if not set(asked.values()) <= {"auto", "sdpa", False}:
        decide(**asked, lora=lora, machine=machine)


def enough(placement: Placement, needs: Needs, machine: Machine = HERE) -> None:
    """Raises PlacementError if the choice takes more memory than is free, with what would fit, before anything is
    read. Under offload the weights have to fit into main memory besides."""
    where = machine.memory(placement.device)
    needed = needs.bytes(placement.device, placement.offload, placement.dtype)
    weights = placement.bytes_for(needs.weights)
    if needed > where.free:
        fitting = " or ".join(_fitting(placement, needs, where.free))
        more = {"none": "", "model": ", one network at a time", "sequential": ", one layer at a time"}
        raise PlacementError(
            f"The weights take {_size(weights)} in {placement.dtype}, a picture{more[placement.offload]} needs"
            f" {_size(needed)} and {where.name} has {_size(where.free)} free: close other programs,"
            f" {f'give {fitting}' if fitting else 'give another --device or a smaller checkpoint'}."
        )
    if placement.home != placement.device:
        # While weights are laid out to wait, the largest network is there twice.
        main, waiting = machine.memory("cpu"), weights + placement.bytes_for(max(needs.parts.values()))
        if waiting > main.free:
            all_at_once = needs.bytes(placement.device, "none", placement.dtype) <= where.free
            raise PlacementError(
                f"The weights take {_size(weights)} in {placement.dtype} and wait in main memory, which has"
                f" {_size(main.free)} free of {_size(waiting)} that this takes: close other programs, or give"
                f" {'--offload none' if all_at_once else 'a smaller checkpoint'}."
            )


def _fitting(placement: Placement, needs: Needs, free: int) -> Iterator[str]:
    """The options that would fit: the least offload as it is, and with less than that, in a shorter type."""
    offloads: tuple[str, ...] = OFFLOADS
    for dtype in dict.fromkeys((placement.dtype, "float16")):
        for number, offload in enumerate(offloads):
            excluded = pairs.conflict(placement.device, dtype, offload, placement.attention, placement.compile)
            if needs.bytes(placement.device, offload, dtype) <= free and not excluded:
                changed = {"--dtype": (dtype, placement.dtype), "--offload": (offload, placement.offload)}
                yield " ".join(f"{flag} {new}" for flag, (new, old) in changed.items() if new != old)
                offloads = OFFLOADS[:number]
                break


def _offload(device: str, dtype: str, compile: bool, needs: Needs | None, machine: Machine) -> tuple[str, str]:
    """What auto takes, and why as the end of a sentence; nothing is said where there is nothing to decide."""
    possible = [each for each in OFFLOADS if not pairs.conflict(device, dtype, each, compile=compile)]
    if needs is None or len(possible) == 1:
        return "none", ""
    free = machine.memory(device).free
    for offload in possible:
        needed = needs.bytes(device, offload, dtype)
        if needed <= free:
            break
    whole = _size(needs.bytes(device, "none", dtype))
    if offload == "none":
        return offload, f"; all of it fits, {whole} into {_size(free)} that are free, so nothing is offloaded"
    return offload, f"; all of it takes {whole} and {_size(free)} are free, so {offload} offload needs {_size(needed)}"


def _device(device: str, machine: Machine) -> tuple[str, str]:
    """The device and the first half of the reason."""
    cuda, mps = machine.cuda(), machine.mps()
    asked = "the device was asked for"
    if device == "auto":
        if cuda:
            return "cuda:0", "torch sees a CUDA GPU"
        return ("mps", "torch sees an Apple GPU") if mps else ("cpu", "torch sees no GPU")
    kind, colon, number = device.partition(":")
    if kind == "cuda" and (number.isdecimal() if colon else True):
        if not cuda:
            raise PlacementError(
                f"{machine.torch}: leave --device out to run on {'the Apple GPU' if mps else 'the CPU'}, or mend the"
                " driver or the torch installation."
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


def _probe(device: str, dtype: str, attention: str, compile: bool, machine: Machine) -> None:
    """Raises PlacementError where the machine does not do there what was decided."""
    if trouble := machine.computing(device, dtype):
        raise PlacementError(
            f"{device} does not compute in {dtype} ({trouble}): leave out --dtype, or give --device cpu."
        )
    if trouble := machine.resizing(device):
        raise PlacementError(
            f"{device} lacks a part of what the decoder computes ({trouble}): give --device cpu, or set the variable"
            " PYTORCH_ENABLE_MPS_FALLBACK to 1, which has the CPU compute that part."
        )
    if attention == "xformers" and (trouble := machine.xformers(device, dtype)):
        raise PlacementError(f"{trouble}: leave --attention out, which takes SDPA, or install a build that fits torch.")
    if compile and (trouble := machine.compiler(device)):
        raise PlacementError(f"torch cannot compile here, {trouble}: leave --compile out.")


def _size(count: int) -> str:
    """Bytes for people: 2.4 GB."""
    return f"{count / 1e9:.1f} GB"
