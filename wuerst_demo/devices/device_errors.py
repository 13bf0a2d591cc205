"""Device failures as exceptions that callers without torch can catch: MemoryError and DeviceLost."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from wuerst_demo.errors import DeviceLost

P = ParamSpec("P")
R = TypeVar("R")

_ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", ())  # not in every torch from 2.8 on
_OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""CPUs, Apple GPUs, drivers and their libraries raise a plain RuntimeError with one of these texts."""
_DEVICE_LOST_TEXTS = ("CUDA error", "HIP error", "CUBLAS_STATUS", "CUDNN_STATUS", "command buffer exited with error")
_MAX_ERROR_CHARS = 200
_PROBE_SIDE = 8


def translate_device_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: raise MemoryError where a device runs out of memory, DeviceLost where it reports a failure.

    After a DeviceLost, nothing computed on the device can be trusted.
    """

    @functools.wraps(function)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            text, out_of_memory = str(error), isinstance(error, torch.OutOfMemoryError)
            if not out_of_memory and not any(part in text for part in _OUT_OF_MEMORY_TEXTS):
                if isinstance(error, _ACCELERATOR_ERROR) or any(part in text for part in _DEVICE_LOST_TEXTS):
                    reason = text.splitlines()[0][:_MAX_ERROR_CHARS] if text else "no reason given"
                    raise DeviceLost(reason) from error
                raise
        # Raised after the handler, not in it: a chained error would keep the failed step's tensors alive.
        raise MemoryError("the device has not enough memory for this step")

    return translated


def empty_cache(device: torch.device) -> None:
    """Return torch's cached memory to the device, so that tensors of other shapes find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@translate_device_errors
def health_check(device: torch.device) -> None:
    """Multiply two matrices on the device. Raises DeviceLost if it does not answer, or computes wrongly."""
    empty_cache(device)  # a device that is merely full is healthy
    one = torch.ones(_PROBE_SIDE, _PROBE_SIDE, device=device)
    if (one @ one).sum().item() != _PROBE_SIDE**3:
        raise DeviceLost("the device computes wrongly")
