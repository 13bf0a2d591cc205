"""Machines that tests run on in thought, and a stand-in for a GPU that has memory of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from wuerst_demo.model.machine import Machine, Memory


@dataclass
class Elsewhere(Machine):
    """A machine with so many CUDA GPUs, perhaps an Apple GPU, and so much free memory by device, in GB.

    `troubles` are what it answers about "computing", "resizing", "xformers" and "compiler".
    """

    gpus: int = 0
    apple: bool = False
    free: Mapping[str, float] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)

    def cuda(self) -> int:
        return self.gpus

    def mps(self) -> bool:
        return self.apple

    def name(self, device: str) -> str:
        return {"cpu": "the CPU", "mps": "the Apple GPU"}.get(device, "the GPU")

    def memory(self, device: str) -> Memory:
        free = int(self.free.get(device, 100.0) * 1e9)
        return Memory(self.name(device), 2 * free, free)

    def computing(self, device: str, dtype: str) -> str:
        return self.troubles.get("computing", "")

    def resizing(self, device: str) -> str:
        return self.troubles.get("resizing", "")

    def xformers(self, device: str, dtype: str) -> str:
        return self.troubles.get("xformers", "")

    def compiler(self, device: str) -> str:
        return self.troubles.get("compiler", "")


class OwnMemory:
    """Copies for model offload: a device whose memory is told apart from the main memory, on the CPU.

    Nothing arrives before it is waited for: until then there are numbers that would spoil every picture. `log` takes
    down what happens; `fail_at` is the number of the copy, counted from 0, at which memory runs out.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fail_at: int | None = None
        self.sent = 0
        self.pinned = 0
        self._rooms: dict[int, tuple[int, int]] = {}

    @property
    def rooms(self) -> list[int]:
        """The sizes of the pieces of device memory that somebody still holds."""
        return [end - begin for begin, end in self._rooms.values()]

    def holds(self, tensor: Tensor) -> bool:
        return any(begin <= tensor.data_ptr() < end for begin, end in self._rooms.values())

    def pin(self, piece: Tensor) -> None:
        self.pinned += len(piece)

    def room(self, size: int) -> Tensor:
        piece = torch.full((size,), 0x7F, dtype=torch.uint8)  # no network computes with such weights unnoticed
        key = id(piece.untyped_storage())
        begin = piece.data_ptr()
        self._rooms[key] = (begin, begin + size)
        weakref.finalize(piece.untyped_storage(), self._rooms.pop, key)
        self.log.append(f"room for {size}")
        return piece

    def send(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        self.sent += 1
        if self.sent - 1 == self.fail_at:
            raise torch.OutOfMemoryError("out of memory")
        arrived = False

        def wait() -> None:
            nonlocal arrived
            if not arrived:
                arrived = True
                target.copy_(source)

        return wait


@contextmanager
def watched(networks: Mapping[str, nn.Module], see: Callable[[str, nn.Module], None]) -> Iterator[None]:
    """Calls `see` with a network's name and a layer of it that has weights, right before the layer computes."""
    owner = {id(module): name for name, network in networks.items() for module in network.modules()}

    def before(module: nn.Module, inputs: object) -> None:
        if id(module) in owner and next(module.parameters(recurse=False), None) is not None:
            see(owner[id(module)], module)

    hook = register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
