"""CPU offload: weights wait in main memory while one network (`model`) or one layer (`sequential`) is on the device.

Model offload keeps each network's weights in one buffer in main memory. Before a network computes, the resident one is
dropped and the new one is copied block by block beside the computation; each block waits for its own weights only.
Nothing is copied back, because weights do not change, and a network stays until another is needed. accelerate's hook
evicts one fixed predecessor, which is not enough for images that alternate between networks. diffusers'
`apply_group_offloading` (0.42) copies all weights again at every step, and raises on the decoder, whose list of mappers
has empty places.

Sequential offload is accelerate's, layer by layer. Networks then report the device "meta". The widest layers of the
VQGAN, whose activations alone would exceed everything else, run in slices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import cpu_offload  # type: ignore[import-untyped]
from accelerate.hooks import ModelHook, add_hook_to_module  # type: ignore[import-untyped]
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock
from torch import Tensor, nn

from wuerst_demo.networks.blocks import repeated_blocks

if TYPE_CHECKING:
    from wuerst_demo.devices.placement import Placement
    from wuerst_demo.networks.components import CascadeComponents

log = logging.getLogger(__name__)

NETWORK_NAMES = ("prior", "prior_text_encoder", "decoder", "decoder_text_encoder", "vqgan")
"""Networks of `CascadeComponents`."""
ALIGNMENT_BYTES = 256
"""Alignment of each tensor, as in the devices' allocators."""
VQGAN_SLICE_COUNT = 8
WaitForCopy = Callable[[], None]


class WeightTransfer(Protocol):
    """Copies of weights to a device. Buffers are one-dimensional uint8 tensors."""

    def pin(self, buffer: Tensor) -> None:
        """Pins a buffer in main memory for fast copies, if possible."""

    def allocate(self, size_bytes: int) -> Tensor:
        """A buffer in device memory. May raise torch.OutOfMemoryError."""

    def copy(self, source: Tensor, target: Tensor) -> WaitForCopy:
        """Starts a copy. Computations that start after the returned callable was called see it complete."""


class CudaTransfer:
    """Copies from pinned memory in a separate CUDA stream."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def pin(self, buffer: Tensor) -> None:
        # Registered in place, because torch's pinned allocator rounds up to powers of two.
        try:
            runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            torch.cuda.check_error(runtime.cudaHostRegister(buffer.data_ptr(), len(buffer), 0))
        except torch.cuda.CudaError as error:
            log.warning("Main memory could not be pinned (%s); offload is slower.", error)
            self._clear_cuda_error()

    def _clear_cuda_error(self) -> None:
        """Consumes the error of a failed call, which CUDA would report at the next computation."""
        with suppress(RuntimeError):
            torch.ones(1, device=self._device).add_(1)
            torch.cuda.synchronize(self._device)

    def allocate(self, size_bytes: int) -> Tensor:
        return torch.empty(size_bytes, dtype=torch.uint8, device=self._device)

    def copy(self, source: Tensor, target: Tensor) -> WaitForCopy:
        # The memory may belong to a network that is still computing.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            copied = self._stream.record_event()
        return lambda: torch.cuda.current_stream(self._device).wait_event(copied)


@dataclass(frozen=True)
class TensorSlot:
    """A tensor of a network and the range of its bytes in the network's buffer."""

    tensor: Tensor
    begin: int
    end: int
    strides: tuple[int, ...]

    def view(self, buffer: Tensor) -> Tensor:
        """The tensor's values in a buffer, in its dtype, shape and memory format, without a copy."""
        return buffer[self.begin : self.end].view(self.tensor.dtype).as_strided(self.tensor.shape, self.strides)


class OffloadManager:
    """Keeps one network at a time on the device. Not thread-safe.

    `whole` copies each network as one part, because compiled blocks take no hooks.
    """

    resident: str | None
    """The network on the device."""

    def __init__(self, networks: Mapping[str, nn.Module], transfer: WeightTransfer, whole: bool = False) -> None:
        self.resident = None
        self._transfer = transfer
        self._groups = {name: _OffloadGroup(network, transfer, whole) for name, network in networks.items()}

    def onload(self, name: str) -> None:
        """Moves a network to the device in place of the resident one. After an error none is resident."""
        if name == self.resident:
            self._groups[name].wait()
            return
        self.offload()
        self.resident = name
        try:
            self._groups[name].onload(self._transfer)
        except BaseException:
            self.offload()
            raise

    def offload(self) -> None:
        """Frees the device memory."""
        if self.resident is not None:
            self._groups[self.resident].offload()
            self.resident = None


class _OffloadGroup:
    """One network's weights in one buffer in main memory, in the order of its blocks."""

    def __init__(self, network: nn.Module, transfer: WeightTransfer, whole: bool) -> None:
        self._parts: list[tuple[nn.Module | None, list[TensorSlot]]] = []
        self._pending: list[tuple[WaitForCopy, Any]] = []
        end = 0
        for block, tensors in _group_tensors_by_block(network, whole):
            slots = []
            for tensor in tensors:
                begin = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
                end = begin + tensor.nbytes
                slots.append(TensorSlot(tensor, begin, end, torch.empty_like(tensor, device="meta").stride()))
            self._parts.append((block, slots))
        self._buffer = torch.empty(end, dtype=torch.uint8)
        for _, slots in self._parts:
            for slot in slots:
                stored = slot.view(self._buffer)
                stored.copy_(slot.tensor.data)
                slot.tensor.data = stored
        transfer.pin(self._buffer)

    # Tensors created in inference mode could not become a module's weights.
    @torch.inference_mode(False)
    def onload(self, transfer: WeightTransfer) -> None:
        """Starts the copies to the device; each block waits for its own before it computes."""
        buffer = transfer.allocate(len(self._buffer))
        for block, slots in self._parts:
            part = slice(slots[0].begin, slots[-1].end)
            wait = transfer.copy(self._buffer[part], buffer[part])
            for slot in slots:
                slot.tensor.data = slot.view(buffer)
            if block is None:
                wait()
            else:
                hook = block.register_forward_pre_hook(lambda *_, wait=wait: wait())
                self._pending.append((wait, hook))

    def wait(self) -> None:
        """Waits for all copies, because any part of the network may be used next."""
        for wait, hook in self._pending:
            hook.remove()
            wait()
        self._pending.clear()

    @torch.inference_mode(False)
    def offload(self) -> None:
        """Points the weights at main memory again, which frees the device buffer."""
        for _, hook in self._pending:
            hook.remove()
        self._pending.clear()
        for _, slots in self._parts:
            for slot in slots:
                slot.tensor.data = slot.view(self._buffer)


class _OnloadHook(ModelHook):  # type: ignore[misc]
    """An accelerate hook, because diffusers calls it before `vqgan.decode`, which is no forward."""

    def __init__(self, manager: OffloadManager, name: str, device: str) -> None:
        self.execution_device = torch.device(device)
        self._manager = manager
        self._name = name

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self._manager.onload(self._name)
        return args, kwargs


def apply_offload(
    components: CascadeComponents, placement: Placement, transfer: WeightTransfer | None = None
) -> OffloadManager | None:
    """Sets up the placement's offload in place. Call it after everything that changes or adds weights.

    Returns the manager of model offload, None for other modes. `transfer` replaces the GPU in tests.
    """
    networks: dict[str, nn.Module] = {name: getattr(components, name) for name in NETWORK_NAMES}
    match placement.offload:
        case "model":
            manager = OffloadManager(networks, transfer or CudaTransfer(placement.device), whole=placement.compile)
            for name, network in networks.items():
                add_hook_to_module(network, _OnloadHook(manager, name, placement.device), append=True)
            return manager
        case "sequential":
            for network in networks.values():
                cpu_offload(network, execution_device=torch.device(placement.device))
            slice_widest_layers(components.vqgan)
    return None


def _group_tensors_by_block(network: nn.Module, whole: bool) -> Iterator[tuple[nn.Module | None, list[Tensor]]]:
    """The tensors of a network by block, those outside of blocks first; with `whole`, all as one part."""
    blocks = [] if whole else list(repeated_blocks(network))
    owned = {id(tensor) for block in blocks for tensor in _parameters_and_buffers(block)}
    if outside := [tensor for tensor in _parameters_and_buffers(network) if id(tensor) not in owned]:
        yield None, outside
    for block in blocks:
        if tensors := list(_parameters_and_buffers(block)):
            yield block, tensors


def _parameters_and_buffers(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def slice_widest_layers(vqgan: nn.Module) -> None:
    """Makes the VQGAN's widest layers, which treat each position by itself, run in slices of the image's rows."""
    for module in vqgan.modules():
        if isinstance(module, MixingResidualBlock):
            channelwise: Any = module.channelwise
            channelwise.forward = _forward_in_slices(channelwise.forward)


def _forward_in_slices(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`forward` for (B, H, W, C), in VQGAN_SLICE_COUNT slices along H."""

    def sliced(values: Tensor) -> Tensor:
        result = torch.empty_like(values)
        parts = zip(values.chunk(VQGAN_SLICE_COUNT, dim=1), result.chunk(VQGAN_SLICE_COUNT, dim=1), strict=True)
        for source, target in parts:
            target.copy_(forward(source))
        return result

    return sliced
