"""How much memory something takes at most, while it runs. Does not know what runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

EVERY = 0.02
"""Seconds between two looks at the main memory."""


class Peak:
    """The most memory so far, in bytes above `base`."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.bytes = 0

    def saw(self, size: int) -> None:
        self.bytes = max(self.bytes, size - self.base)


def taken(device: torch.device) -> int:
    """Bytes in use now: tensors on a CUDA device; elsewhere all that is resident of this process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


@contextmanager
def peak(device: torch.device, base: int) -> Iterator[Peak]:
    """Watches while the `with` lasts. CUDA keeps its own record; elsewhere a thread looks every 20 ms."""
    found = Peak(base)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.saw(torch.cuda.max_memory_allocated(device))
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(EVERY):
            found.saw(taken(device))

    found.saw(taken(device))
    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
