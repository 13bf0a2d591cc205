"""Options that exclude each other.

The command line rejects conflicts before torch is imported, `devices.placement` once the device is known. What depends
on the machine, such as whether xFormers is installed, is checked by `devices.placement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wuerst_demo.errors import PlacementError
from wuerst_demo.placement_options import PlacementOptions

OptionValue = tuple[str, str]
"""An option and one of its values: ("offload", "model")."""

OPTION_VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("cpu", "cuda", "mps"),
        "dtype": ("float32", "float16", "bfloat16"),
        "attention": ("sdpa", "xformers"),
        "offload": ("model", "sequential"),
        "compile": ("on",),
        "backend": ("openvino",),
        "lora": ("on",),
    }
)
"""Option -> its values that are paired; "off" and "auto" conflict with nothing."""

_OFFLOAD_NEEDS_GPU = "Offload keeps weights in main memory until a GPU needs them, and {}: leave --offload out."
_OPENVINO_NEEDS_CPU = "OpenVINO computes on a CPU, in float32 or bfloat16: leave --backend out."
_XFORMERS_NEEDS_CUDA = "xFormers computes on CUDA GPUs only: leave --attention out, which takes SDPA."

CONFLICTS: Mapping[frozenset[OptionValue], str] = MappingProxyType(
    {
        frozenset({one, other}): why
        for one, other, why in (
            (("device", "cpu"), ("offload", "model"), _OFFLOAD_NEEDS_GPU.format("a CPU computes there")),
            (("device", "cpu"), ("offload", "sequential"), _OFFLOAD_NEEDS_GPU.format("a CPU computes there")),
            (("device", "mps"), ("offload", "model"), _OFFLOAD_NEEDS_GPU.format("an Apple GPU computes there")),
            (("device", "mps"), ("offload", "sequential"), _OFFLOAD_NEEDS_GPU.format("an Apple GPU computes there")),
            (("device", "cpu"), ("attention", "xformers"), _XFORMERS_NEEDS_CUDA),
            (("device", "mps"), ("attention", "xformers"), _XFORMERS_NEEDS_CUDA),
            (
                ("device", "mps"),
                ("compile", "on"),
                "torch.compile is not finished for Apple GPUs: leave --compile out.",
            ),
            (
                ("offload", "sequential"),
                ("compile", "on"),
                "Sequential offload moves the weights of every layer in every step, which leaves nothing to compile:"
                " leave --compile out, or give --offload model.",
            ),
            (
                ("attention", "xformers"),
                ("compile", "on"),
                "Compiled networks use SDPA, and xFormers' kernels would break their graphs: leave out --attention or"
                " --compile.",
            ),
            *(
                (choice, ("backend", "openvino"), _OPENVINO_NEEDS_CPU)
                for choice in (
                    ("device", "cuda"),
                    ("device", "mps"),
                    ("dtype", "float16"),
                    ("attention", "xformers"),
                    ("offload", "model"),
                    ("offload", "sequential"),
                    ("compile", "on"),
                )
            ),
        )
    }
)
"""Pair of option values -> the error message with reason and remedy."""


def find_conflict(options: PlacementOptions, lora: bool = False) -> str:
    """The reason why these options exclude each other, "" where they do not; "auto" excludes nothing."""
    chosen = {
        ("device", options.device.partition(":")[0]),
        ("dtype", options.dtype),
        ("offload", options.offload),
        ("attention", options.attention),
        *([("compile", "on")] if options.compile else []),
        ("backend", options.backend),
        *([("lora", "on")] if lora else []),
    }
    return next((reason for pair, reason in CONFLICTS.items() if pair <= chosen), "")


def reject_conflicts(options: PlacementOptions, lora: bool = False) -> None:
    """Raises PlacementError for options that exclude each other."""
    if reason := find_conflict(options, lora):
        raise PlacementError(reason)
