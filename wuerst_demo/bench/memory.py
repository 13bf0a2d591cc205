"""How much memory something takes at most, while it runs. Does not know what runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


def anonymous(pid: int | str = "self") -> int:
    """Bytes of main memory that belong to a process alone: all that is resident but the pages of mapped files. Where
    the system does not tell them apart (it is no Linux), 0."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@contextmanager
def peak(device: torch.device, base: int) -> Iterator[Peak]:
    """Watches while the `with` lasts. CUDA keeps its own record; elsewhere a thread looks every 20 ms."""
    if device.type == "cuda":
        found = Peak(base)
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.saw(torch.cuda.max_memory_allocated(device))
        return
    with watched(lambda: taken(device), base) as found:
        yield found


@contextmanager
def watched(look: Callable[[], int], base: int = 0, every: float = EVERY) -> Iterator[Peak]:
    """The most that `look` gives while the `with` lasts, for which a thread asks it every so many seconds."""
    found, over = Peak(base), threading.Event()

    def watch() -> None:
        while not over.wait(every):
            found.saw(look())

    found.saw(look())
    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
        found.saw(look())
