"""Where the weights are while others compute: one network on the device at a time, or one layer.

Model offload. Each network's weights lie in one piece of main memory. Before a network computes, whatever is on the
device is let go, and a piece as large is taken there; nothing is ever copied back, as weights do not change. The copy
goes block by block beside the computing, and every block waits for its own part only. accelerate's own hook for this
evicts one fixed predecessor, which is not enough for rows that go back and forth between the networks.

Sequential offload is accelerate's, layer by layer. A network then says that it is on "meta", so whoever needs the
device takes it from the placement; the VQGAN's last blocks, whose intermediate values alone would take more than all
the rest, compute in slices.

Does not know devices: what copies is given.
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

from wuerst_demo.model.blocks import blocks

if TYPE_CHECKING:
    from wuerst_demo.model.parts import Parts
    from wuerst_demo.model.placement import Placement

log = logging.getLogger(__name__)

NETWORKS = ("prior", "prior_text_encoder", "decoder", "decoder_text_encoder", "vqgan")
"""Those of `Parts`."""
ALIGNED = 256
"""Where tensors begin in a piece, in bytes: as the devices' allocators align them."""
SLICES = 8
Wait = Callable[[], None]


class Copies(Protocol):
    """How weights get to a device. Sizes are in bytes, pieces are one-dimensional uint8 tensors."""

    def pin(self, piece: Tensor) -> None:
        """Makes a piece of main memory fit for fast copies, where that can be had."""

    def room(self, size: int) -> Tensor:
        """A piece of the device's memory. May raise torch.OutOfMemoryError."""

    def send(self, source: Tensor, target: Tensor) -> Wait:
        """Starts copying; after the callable has been called, what is computed next finds the copy complete."""


class Cuda:
    """Copies from pinned memory in a stream of their own."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def pin(self, piece: Tensor) -> None:
        # In place: torch's own pinned memory comes in powers of two.
        try:
            runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            torch.cuda.check_error(runtime.cudaHostRegister(piece.data_ptr(), len(piece), 0))
        except torch.cuda.CudaError as error:
            log.warning("Main memory could not be pinned (%s); networks change more slowly.", error)
            self._forget()

    def _forget(self) -> None:
        """Lets the error of a refused call come up here: CUDA keeps it for whatever is computed next."""
        with suppress(RuntimeError):
            torch.ones(1, device=self._device).add_(1)
            torch.cuda.synchronize(self._device)

    def room(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8, device=self._device)

    def send(self, source: Tensor, target: Tensor) -> Wait:
        computing = torch.cuda.current_stream(self._device)
        # The memory may have been another network's, which is still computing.
        self._stream.wait_stream(computing)
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            arrived = self._stream.record_event()
        return lambda: torch.cuda.current_stream(self._device).wait_event(arrived)


@dataclass(frozen=True)
class Slot:
    """A tensor of a network, and where its bytes are in the network's piece."""

    tensor: Tensor
    begin: int
    end: int

    def of(self, piece: Tensor) -> Tensor:
        """The tensor's values in such a piece, as a view."""
        return piece[self.begin : self.end].view(self.tensor.dtype).view(self.tensor.shape)


class Residence:
    """Lets one network at a time onto the device. Only whoever owns the device may use it.

    `whole`: no block waits for a part of its own, because blocks that are compiled take no hooks.
    """

    def __init__(self, networks: Mapping[str, nn.Module], copies: Copies, whole: bool = False) -> None:
        self.resident: str | None = None
        self._copies = copies
        self._shelves = {name: _Shelf(network, copies, whole) for name, network in networks.items()}

    def enter(self, name: str) -> None:
        """Brings a network in, and whatever else is there out. Where memory runs out, nothing is there any more."""
        if name == self.resident:
            self._shelves[name].arrive()
            return
        self.leave()
        self.resident = name
        try:
            self._shelves[name].bring(self._copies)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Lets go of the device's memory."""
        if self.resident is not None:
            self._shelves[self.resident].put_back()
            self.resident = None


class _Shelf:
    """One network's weights in one piece of main memory, block by block in the order of the blocks."""

    def __init__(self, network: nn.Module, copies: Copies, whole: bool) -> None:
        self._parts: list[tuple[nn.Module | None, list[Slot]]] = []
        self._awaited: list[tuple[Wait, Any]] = []
        end = 0
        for block, tensors in _parts(network, whole):
            slots = []
            for tensor in tensors:
                begin = -(-end // ALIGNED) * ALIGNED
                end = begin + tensor.nbytes
                slots.append(Slot(tensor, begin, end))
            self._parts.append((block, slots))
        self._piece = torch.empty(end, dtype=torch.uint8)
        for _, slots in self._parts:
            for slot in slots:
                place = slot.of(self._piece)
                place.copy_(slot.tensor.data)
                slot.tensor.data = place
        copies.pin(self._piece)

    # What is made in inference mode could not become a module's weights.
    @torch.inference_mode(False)
    def bring(self, copies: Copies) -> None:
        piece = copies.room(len(self._piece))
        for block, slots in self._parts:
            part = slice(slots[0].begin, slots[-1].end)
            wait = copies.send(self._piece[part], piece[part])
            for slot in slots:
                slot.tensor.data = slot.of(piece)
            if block is None:
                wait()
            else:
                hook = block.register_forward_pre_hook(lambda *_, wait=wait: wait())
                self._awaited.append((wait, hook))

    def arrive(self) -> None:
        """Everything is waited for from here on, whatever part of the network is used."""
        for wait, hook in self._awaited:
            hook.remove()
            wait()
        self._awaited.clear()

    @torch.inference_mode(False)
    def put_back(self) -> None:
        for _, hook in self._awaited:
            hook.remove()
        self._awaited.clear()
        for _, slots in self._parts:
            for slot in slots:
                slot.tensor.data = slot.of(self._piece)


class _Enter(ModelHook):  # type: ignore[misc]
    """accelerate's hook, for its place in diffusers: `vqgan.decode` is no forward, and calls only such a hook."""

    def __init__(self, residence: Residence, name: str, device: str) -> None:
        self.execution_device = torch.device(device)
        self._residence = residence
        self._name = name

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self._residence.enter(self._name)
        return args, kwargs


def arrange(parts: Parts, placement: Placement, copies: Copies | None = None) -> Residence | None:
    """Makes every network compute on the placement's device from weights that wait at its home, in place.

    Nothing to do without offload. The residence of model offload is returned for those who watch it. `copies` takes
    the GPU's place in tests. Comes after everything that changes weights or adds to them.
    """
    networks: dict[str, nn.Module] = {name: getattr(parts, name) for name in NETWORKS}
    match placement.offload:
        case "model":
            residence = Residence(networks, copies or Cuda(placement.device), whole=placement.compile)
            for name, network in networks.items():
                add_hook_to_module(network, _Enter(residence, name, placement.device), append=True)
            return residence
        case "sequential":
            for network in networks.values():
                cpu_offload(network, execution_device=torch.device(placement.device))
            slice_widest(parts.vqgan)
    return None


def _parts(network: nn.Module, whole: bool) -> Iterator[tuple[nn.Module | None, list[Tensor]]]:
    """The tensors of a network, those outside of its blocks first; as one part where it is to be `whole`."""
    inside = [] if whole else list(blocks(network))
    owned = {id(tensor) for block in inside for tensor in _tensors(block)}
    if outside := [tensor for tensor in _tensors(network) if id(tensor) not in owned]:
        yield None, outside
    for block in inside:
        if tensors := list(_tensors(block)):
            yield block, tensors


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def slice_widest(vqgan: nn.Module) -> None:
    """The widest layers of the VQGAN look at one place at a time, so they may as well take a few rows of them."""
    for module in vqgan.modules():
        if isinstance(module, MixingResidualBlock):
            channelwise: Any = module.channelwise
            channelwise.forward = _by_rows(channelwise.forward)


def _by_rows(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`forward` for (B, H, W, C), a few of the H at a time."""

    def sliced(values: Tensor) -> Tensor:
        result = torch.empty_like(values)
        for source, target in zip(values.chunk(SLICES, dim=1), result.chunk(SLICES, dim=1), strict=True):
            target.copy_(forward(source))
        return result

    return sliced
