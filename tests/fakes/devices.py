"""Hardware that tests pretend to run on, and a stand-in for a GPU with memory of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from wuerst_demo.devices.hardware import DeviceMemory, Hardware


@dataclass
class FakeHardware(Hardware):
    """A machine with so many CUDA GPUs, perhaps an Apple GPU, and free memory by device."""

    gpus: int = 0
    apple: bool = False
    free_gb: Mapping[str, float] = field(default_factory=dict)
    bfloat16: float | None = None
    """How many times as fast as float32 the CPU computes in bfloat16; None: it emulates it."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Answers of the checks "matmul", "resize", "xformers", "openvino" and "compiler"; the others pass."""

    def cuda_device_count(self) -> int:
        return self.gpus

    def has_mps(self) -> bool:
        return self.apple

    def device_name(self, device: str) -> str:
        return {"cpu": "the CPU", "mps": "the Apple GPU"}.get(device, "the GPU")

    def memory(self, device: str) -> DeviceMemory:
        free_bytes = int(self.free_gb.get(device, 100.0) * 1e9)
        return DeviceMemory(self.device_name(device), 2 * free_bytes, free_bytes)

    def has_bfloat16(self) -> bool:
        return self.bfloat16 is not None

    def bfloat16_speedup(self) -> float:
        assert self.bfloat16 is not None
        return self.bfloat16

    def check_matmul(self, device: str, dtype: str) -> str:
        return self.problems.get("matmul", "")

    def check_resize(self, device: str) -> str:
        return self.problems.get("resize", "")

    def check_xformers(self, device: str, dtype: str) -> str:
        return self.problems.get("xformers", "")

    def check_openvino(self) -> str:
        return self.problems.get("openvino", "")

    def check_compiler(self, device: str) -> str:
        return self.problems.get("compiler", "")


class FakeTransfer:
    """A `WeightTransfer` to a device with its own memory, simulated on the CPU.

    Until a copy is waited for, its target holds values that would ruin every image.
    """

    def __init__(self) -> None:
        self.pinned_bytes = 0
        self.allocation_count = 0
        self.copies = 0
        self.fail_at: int | None = None
        """The index of the copy at which memory runs out."""
        self._ranges: dict[int, tuple[int, int]] = {}

    @property
    def allocations(self) -> list[int]:
        """The sizes in bytes of the buffers that are still referenced."""
        return [end - begin for begin, end in self._ranges.values()]

    def holds(self, tensor: Tensor) -> bool:
        return any(begin <= tensor.data_ptr() < end for begin, end in self._ranges.values())

    def pin(self, buffer: Tensor) -> None:
        self.pinned_bytes += len(buffer)

    def allocate(self, size_bytes: int) -> Tensor:
        buffer = torch.full((size_bytes,), 0x7F, dtype=torch.uint8)
        key = id(buffer.untyped_storage())
        self._ranges[key] = (buffer.data_ptr(), buffer.data_ptr() + size_bytes)
        weakref.finalize(buffer.untyped_storage(), self._ranges.pop, key)
        self.allocation_count += 1
        return buffer

    def copy(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        self.copies += 1
        if self.copies - 1 == self.fail_at:
            raise torch.OutOfMemoryError("out of memory")
        done = False

        def wait() -> None:
            nonlocal done
            if not done:
                done = True
                target.copy_(source)

        return wait


@contextmanager
def watch_layers(networks: Mapping[str, nn.Module], see: Callable[[str, nn.Module], None]) -> Iterator[None]:
    """Calls `see(name, layer)` before each layer with weights of one of the networks computes."""
    owner = {id(module): name for name, network in networks.items() for module in network.modules()}

    def before(module: nn.Module, inputs: object) -> None:
        if id(module) in owner and next(module.parameters(recurse=False), None) is not None:
            see(owner[id(module)], module)

    hook = register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
