"""torch.compile for prior and decoder, block by block, in place: equal blocks share one compiled graph.

A compiled graph fits one shape, so batches are padded to a few sizes; images that join or leave a batch then cause no
recompilation. Before a warm-up, shapes are compiled as they come, which suits a program with one request. After it
(`freeze`), shapes that were not warmed up run uncompiled, because compiling would block every other request.

Where compilation fails, the networks run uncompiled, with one warning in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from wuerst_demo.networks.blocks import repeated_blocks

if TYPE_CHECKING:
    from wuerst_demo.networks.components import CascadeComponents

log = logging.getLogger(__name__)

COMPILED_BATCH_SIZES = (1, 2, 4, 8, 16)
"""Numbers of samples to which batches are padded. Larger batches run uncompiled."""
CompileBackend = str | Callable[..., Any]
InputShape = tuple[int, tuple[tuple[int, ...], ...]]
"""The batch size, and the shape of one sample of each argument."""
_RECOMPILE_LIMIT = 1024
"""Graphs per piece of code. torch's default of 8 is exceeded by a decoder at a single image size."""


class CompiledForward:
    """Replacement for a network's `forward`. All arguments and the result are tensors (B, ...), one entry a sample.

    `backend` is torch.compile's: a name, or a function in tests.
    """

    failure: str
    """Why compilation failed; "" as long as it works."""

    def __init__(self, network: nn.Module, backend: CompileBackend = "inductor") -> None:
        for block in repeated_blocks(network):
            block.compile(backend=backend, dynamic=False, fullgraph=True)
        self.failure = ""
        self._frozen = False
        self._compiled_shapes: set[InputShape] = set()
        self._forward: Callable[..., Tensor] = network.forward
        unchecked: Any = network
        unchecked.forward = self

    def freeze(self) -> None:
        """Stops compiling new shapes: from here on they run uncompiled."""
        self._frozen = True

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        tensors = [*args, *kwargs.values()]
        count = len(tensors[0])
        size = next((each for each in COMPILED_BATCH_SIZES if each >= count), 0)
        shape = (size, tuple(tuple(tensor.shape[1:]) for tensor in tensors))
        if size and not self.failure and (shape in self._compiled_shapes or not self._frozen):
            padded = [pad_batch(tensor, size) for tensor in tensors]
            try:
                # Set at every call: in newer versions of torch each thread has its own settings.
                with torch._dynamo.config.patch(
                    recompile_limit=_RECOMPILE_LIMIT, accumulated_recompile_limit=_RECOMPILE_LIMIT
                ):
                    result = self._forward(*padded[: len(args)], **dict(zip(kwargs, padded[len(args) :], strict=True)))
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                if "out of memory" in str(error):
                    raise
                self.failure = _summarize_compiler_error(error)
                log.warning("Compiling failed (%s): the networks run uncompiled.", self.failure)
            else:
                self._compiled_shapes.add(shape)
                return result[:count]
        with torch.compiler.set_stance("force_eager"):
            return self._forward(*args, **kwargs)


def compile_networks(
    components: CascadeComponents, backend: CompileBackend = "inductor"
) -> tuple[CompiledForward, ...]:
    """Compiles prior and decoder in place. Call it before offload, whose hooks must stay uncompiled."""
    return tuple(CompiledForward(network, backend) for network in (components.prior, components.decoder))


def pad_batch(tensor: Tensor, size: int) -> Tensor:
    """(n, ...) -> (size, ...) by repeating the last sample, whose results are dropped.

    The result is dense in memory. A channels-last tensor stays so, because its strides are part of a compiled shape.
    """
    channels_last = (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if missing := size - len(tensor):
        tensor = torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
    return tensor.contiguous(memory_format=layout)


def _summarize_compiler_error(error: Exception) -> str:
    """The first meaningful line of a compiler error, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines()]
    meaningful = [line for line in lines if line and not line.endswith("raised:")]  # that line only names the backend
    return (meaningful[0] if meaningful else type(error).__name__)[:160].rstrip(".: ")
