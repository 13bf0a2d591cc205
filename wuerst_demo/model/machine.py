"""What this machine has: its devices, their memory, and what computes on them.

Answers, and decides nothing. Imports torch only inside its functions; tests put another machine in its place.
"""

from __future__ import annotations

import importlib.util
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.model.groups import bounds

_WORDS = 120
"""How much of a library's own words about a failure is repeated."""


@dataclass(frozen=True)
class Memory:
    """A device's name, and its memory in bytes: all of it, and what is free now."""

    name: str
    total: int
    free: int


class Machine:
    """This machine. Where a question can be answered with a trouble, "" means that there is none."""

    @property
    def torch(self) -> str:
        """torch's version, and what it was built for."""
        import torch

        built = f"has CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        return f"torch {torch.__version__} sees no CUDA GPU (it {built})"

    def cuda(self) -> int:
        """How many CUDA GPUs torch sees."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a broken driver warns at length; what it means is said elsewhere
            return torch.cuda.device_count() if torch.cuda.is_available() else 0

    def mps(self) -> bool:
        """Whether torch sees an Apple GPU."""
        import torch

        return torch.backends.mps.is_available()

    def name(self, device: str) -> str:
        """What a device is called."""
        import torch

        if device.startswith("cuda"):
            return torch.cuda.get_device_name(device)
        if device == "mps":
            return "the Apple GPU"
        listing = Path("/proc/cpuinfo")
        lines = listing.read_text(errors="replace").splitlines() if listing.is_file() else []
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"the CPU ({named[0] if named else platform.processor() or platform.machine()})"

    def memory(self, device: str) -> Memory:
        """The memory of a device; the CPU's is the main memory."""
        import torch

        if device.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(device)
        elif device == "mps":
            total = torch.mps.recommended_max_memory()
            free = total - torch.mps.driver_allocated_memory()
        else:
            import psutil

            main = psutil.virtual_memory()
            total, free = bounds(main.total, main.available)
        return Memory(self.name(device), total, free)

    def computing(self, device: str, dtype: str) -> str:
        """The trouble with one product there: a device can be listed and not work, or not know the type."""
        import torch

        try:
            one = torch.ones(2, 2, device=device, dtype=getattr(torch, dtype))
            (one @ one).sum().item()
        except (RuntimeError, TypeError) as error:
            return _said(error)
        return ""

    def resizing(self, device: str) -> str:
        """The trouble with how the decoder resizes the image embeddings, which Apple's GPUs learned with torch 2.8."""
        import torch

        try:
            one = torch.ones(1, 1, 2, 2, device=device)
            larger = torch.nn.functional.interpolate(one, size=(4, 4), mode="bicubic", antialias=True)
            larger.sum().item()
        except RuntimeError as error:
            return _said(error)
        return ""

    def xformers(self, device: str, dtype: str) -> str:
        """The trouble with xFormers there: not installed, broken, or without a kernel for this GPU."""
        if importlib.util.find_spec("xformers") is None:
            return "xFormers is not installed"
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from xformers.ops import memory_efficient_attention

                one = torch.ones(2, 8, 64, device=device, dtype=getattr(torch, dtype))
                memory_efficient_attention(one, one, one).sum().item()
        except (ImportError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: "no operator found" too
            return f"xFormers does not compute in {dtype} on {device} ({_said(error)})"
        return ""

    def compiler(self, device: str) -> str:
        """The trouble with torch's compiler: on a GPU it writes for Triton, and everywhere for a C++ compiler."""
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler
        from torch.utils._triton import has_triton

        if device.startswith("cuda") and not has_triton():
            return "there is no Triton for this GPU"
        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            return "there is no C++ compiler; install g++"
        return ""


HERE = Machine()


def memory(device: str) -> Memory:
    """`Machine.memory` of this machine."""
    return HERE.memory(device)


def _said(error: Exception) -> str:
    """The first line of a library's words, for the middle of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_WORDS].rstrip(".: ")
