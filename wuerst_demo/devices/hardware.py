"""Devices of this machine: names, memory, and checks of what they can compute.

Reports and decides nothing. torch is imported inside the functions only; tests substitute another `Hardware`.
"""

from __future__ import annotations

import importlib.util
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.devices import bfloat16
from wuerst_demo.devices.cgroups import apply_cgroup_limits

_MAX_ERROR_CHARS = 120
"""How much of a library's own error message is repeated."""


def cpu_name() -> str:
    """Name of the processor where the system reports it, else its architecture."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(errors="replace").splitlines() if listing.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@dataclass(frozen=True)
class DeviceMemory:
    """Name and memory of a device."""

    name: str
    total_bytes: int
    free_bytes: int


class Hardware:
    """This machine. Each `check_` method returns the reason why something does not work, "" where it works."""

    def torch_build(self) -> str:
        """torch's version and CUDA build, as a clause for an error message."""
        import torch

        built = f"has CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        return f"torch {torch.__version__} sees no CUDA GPU (it {built})"

    def cuda_device_count(self) -> int:
        """Number of CUDA GPUs that torch sees."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a broken driver warns at length; `torch_build` explains it
            return torch.cuda.device_count() if torch.cuda.is_available() else 0

    def has_mps(self) -> bool:
        """Whether torch sees an Apple GPU."""
        import torch

        return torch.backends.mps.is_available()

    def device_name(self, device: str) -> str:
        """Display name of a device."""
        import torch

        if device.startswith("cuda"):
            return torch.cuda.get_device_name(device)
        return "the Apple GPU" if device == "mps" else f"the CPU ({cpu_name()})"

    def memory(self, device: str) -> DeviceMemory:
        """Memory of a device; for the CPU, main memory within the limits of the process' control groups."""
        import torch

        if device.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(device)
        elif device == "mps":
            total = torch.mps.recommended_max_memory()
            free = total - torch.mps.driver_allocated_memory()
        else:
            import psutil

            main = psutil.virtual_memory()
            total, free = apply_cgroup_limits(main.total, main.available)
        return DeviceMemory(self.device_name(device), total, free)

    def check_matmul(self, device: str, dtype: str) -> str:
        """Multiply two small matrices: a listed device can be broken, or lack the dtype."""
        import torch

        try:
            one = torch.ones(2, 2, device=device, dtype=getattr(torch, dtype))
            (one @ one).sum().item()
        except (RuntimeError, TypeError) as error:
            return _first_line(error)
        return ""

    def has_bfloat16(self) -> bool:
        """Whether the CPU has instructions for products of bfloat16 matrices, instead of emulating them."""
        return bool(bfloat16.bfloat16_flags())

    def bfloat16_speedup(self) -> float:
        """How many times as fast as float32 the CPU computes in bfloat16: measured once per machine, in a second."""
        return bfloat16.cached_speedup(cpu_name())

    def check_resize(self, device: str) -> str:
        """Resize as the decoder does with image embeddings: antialiased bicubic, on Apple GPUs since torch 2.8."""
        import torch

        try:
            one = torch.ones(1, 1, 2, 2, device=device)
            larger = torch.nn.functional.interpolate(one, size=(4, 4), mode="bicubic", antialias=True)
            larger.sum().item()
        except RuntimeError as error:
            return _first_line(error)
        return ""

    def check_xformers(self, device: str, dtype: str) -> str:
        """Run xFormers' attention: it can be missing, broken, or without a kernel for the GPU."""
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
            return f"xFormers does not compute in {dtype} on {device} ({_first_line(error)})"
        return ""

    def check_openvino(self) -> str:
        """Look for OpenVINO."""
        return "" if importlib.util.find_spec("openvino") else "OpenVINO is not installed"

    def check_compiler(self, device: str) -> str:
        """Look for what torch.compile needs: Triton on a CUDA GPU, and a C++ compiler everywhere."""
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


LOCAL_HARDWARE = Hardware()


def set_thread_count(threads: int) -> None:
    """Sets how many threads of the CPU torch computes with in this process."""
    import torch

    torch.set_num_threads(threads)


def memory_usage(device: str) -> dict[str, int]:
    """Bytes used by this process. Safe to call from any thread.

    "process" is resident main memory; on a GPU, "device" is what tensors occupy there and, on CUDA only,
    "device_peak" the most that they ever occupied.
    """
    import psutil
    import torch

    usage = {"process": int(psutil.Process().memory_info().rss)}
    if device.startswith("cuda"):
        usage["device"] = torch.cuda.memory_allocated(device)
        usage["device_peak"] = torch.cuda.max_memory_allocated(device)
    elif device == "mps":
        usage["device"] = torch.mps.current_allocated_memory()
    return usage


def _first_line(error: Exception) -> str:
    """First line of an error message, shortened, to be quoted in the middle of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_MAX_ERROR_CHARS].rstrip(".: ")
