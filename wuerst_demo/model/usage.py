"""How much memory this process takes, in main memory and on its device. Cheap, and safe to ask from any thread."""

from __future__ import annotations

import psutil
import torch


def used(device: str) -> dict[str, int]:
    """Bytes: "process", what is resident in main memory; "device", where `device` has memory of its own, what tensors
    take there, and "device_peak", the most that they ever took."""
    found = {"process": int(psutil.Process().memory_info().rss)}
    if device.startswith("cuda"):
        found["device"] = torch.cuda.memory_allocated(device)
        found["device_peak"] = torch.cuda.max_memory_allocated(device)
    elif device == "mps":
        found["device"] = torch.mps.current_allocated_memory()
    return found
