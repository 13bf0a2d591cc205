"""What can go wrong on a device, in words that callers without torch know: MemoryError and DeviceLost.

Does not know what was computed, or what is done about it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from wuerst_demo.errors import DeviceLost

P = ParamSpec("P")
R = TypeVar("R")

_ACCELERATOR = getattr(torch, "AcceleratorError", ())  # not in every torch from 2.8 on
_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""The CPU and Apple's devices raise a plain RuntimeError and say it in words; drivers and their libraries do so too."""
_LOST = ("CUDA error", "HIP error", "CUBLAS_STATUS", "CUDNN_STATUS", "command buffer exited with error")


def telling(work: Callable[P, R]) -> Callable[P, R]:
    """Makes every device's way of running out of memory a MemoryError, and a fault that the device itself reports,
    after which nothing computed there can be trusted, a DeviceLost."""

    @functools.wraps(work)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except RuntimeError as error:
            said, short = str(error), isinstance(error, torch.OutOfMemoryError)
            if not short and not any(words in said for words in _MEMORY):
                if isinstance(error, _ACCELERATOR) or any(words in said for words in _LOST):
                    raise DeviceLost(said.splitlines()[0][:200] if said else "no reason given") from error
                raise
        # Raised after the handler, not in it: a chained error would keep the failed step's tensors alive.
        raise MemoryError("the device has not enough memory for this step")

    return told


def relieve(device: torch.device) -> None:
    """Gives back to the device what torch keeps of its memory for later, so that other shapes find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@telling
def probe(device: torch.device) -> None:
    """Computes a product there and looks at it. Raises DeviceLost where the device does not answer, or wrongly."""
    relieve(device)  # it may be full, which is no fault of its own
    one = torch.ones(8, 8, device=device)
    if (one @ one).sum().item() != 512:
        raise DeviceLost("the device computes wrongly")
