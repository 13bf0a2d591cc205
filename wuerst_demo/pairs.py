"""Which options go together: every two of them either work, and how that is tested, or are refused, and why.

One table for all who need it: the command line refuses from it before torch is imported, the placement once the device
is known, the README shows it, and a test draws with every pair that is said to work.

Does not know torch or this machine: whether xFormers is installed, say, is the placement's to find out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from types import MappingProxyType
from typing import Literal

from wuerst_demo.errors import PlacementError

Choice = tuple[str, str]
"""An option and one of its values: ("offload", "model")."""
How = Literal["drawn", "stand-in", "wired", "refused"]

VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("cpu", "cuda", "mps"),
        "dtype": ("float32", "float16", "bfloat16"),
        "attention": ("sdpa", "xformers"),
        "offload": ("model", "sequential"),
        "compile": ("on",),
        "lora": ("on",),
    }
)
"""What is told apart. Without offload, compiling or a LoRA there is nothing to go together with."""

HOW: Mapping[How, str] = MappingProxyType(
    {
        "drawn": "The tests draw with both on a CPU and compare with the picture drawn without.",
        "stand-in": "The same, with a stand-in for the GPU that has memory of its own.",
        "wired": "Chosen and set as a test sees, but computed by no test: that takes the hardware.",
        "refused": "Refused with one line.",
    }
)

_NO_OFFLOAD = "Offload keeps weights in main memory until a GPU needs them, and {}: leave --offload out."
_XFORMERS = "xFormers computes on CUDA GPUs only: leave --attention out, which takes SDPA."

REFUSED: Mapping[frozenset[Choice], str] = MappingProxyType(
    {
        frozenset({one, other}): why
        for one, other, why in (
            (("device", "cpu"), ("offload", "model"), _NO_OFFLOAD.format("a CPU computes there")),
            (("device", "cpu"), ("offload", "sequential"), _NO_OFFLOAD.format("a CPU computes there")),
            (("device", "mps"), ("offload", "model"), _NO_OFFLOAD.format("an Apple GPU computes there")),
            (("device", "mps"), ("offload", "sequential"), _NO_OFFLOAD.format("an Apple GPU computes there")),
            (("device", "cpu"), ("attention", "xformers"), _XFORMERS),
            (("device", "mps"), ("attention", "xformers"), _XFORMERS),
            (
                ("device", "mps"),
                ("compile", "on"),
                "Compiling for Apple's GPUs is not offered, as torch's compiler is not finished there: leave --compile"
                " out.",
            ),
            (
                ("offload", "sequential"),
                ("compile", "on"),
                "Sequential offload moves the weights of every layer in every step, which leaves nothing whole to"
                " compile: leave --compile out, or give --offload model.",
            ),
            (
                ("attention", "xformers"),
                ("compile", "on"),
                "What is compiled attends with SDPA, and xFormers' kernels would cut it in pieces: leave out"
                " --attention or --compile.",
            ),
        )
    }
)
"""Two choices that exclude each other -> why, and what to do: the line that is shown."""


def every() -> list[tuple[Choice, Choice]]:
    """All pairs of choices of two different options, in the order of VALUES."""
    return [
        ((one, value), (other, another))
        for one, other in combinations(VALUES, 2)
        for value, another in product(VALUES[one], VALUES[other])
    ]


def how(one: Choice, other: Choice) -> How:
    """Whether two choices go together, and how that is tested."""
    if frozenset({one, other}) in REFUSED:
        return "refused"
    both = {one, other}
    if both & {("device", "mps"), ("attention", "xformers")}:
        return "wired"
    if both & {("offload", "model"), ("offload", "sequential")}:
        return "stand-in"
    return "wired" if ("device", "cuda") in both else "drawn"


def conflict(
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
    lora: bool = False,
) -> str:
    """Why these choices exclude each other, "" where they do not; what is still "auto" excludes nothing."""
    chosen = {
        ("device", device.partition(":")[0]),
        ("dtype", dtype),
        ("offload", offload),
        ("attention", attention),
        *([("compile", "on")] if compile else []),
        *([("lora", "on")] if lora else []),
    }
    return next((why for pair, why in REFUSED.items() if pair <= chosen), "")


def refuse(
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
    lora: bool = False,
) -> None:
    """Raises PlacementError for choices that exclude each other."""
    if why := conflict(device, dtype, offload, attention, compile, lora):
        raise PlacementError(why)
