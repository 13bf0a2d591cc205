"""Prior and decoder compiled, block by block, in place: blocks that are alike share what was compiled for one of them.

What is compiled is good for one shape, so batches are padded to a few sizes: rows that join and leave then meet nothing
new. As long as nothing has been warmed up, shapes are compiled as they come, which suits a program that draws one
request. Afterwards whatever is not warm runs uncompiled, since compiling would keep everybody waiting.

What cannot be compiled runs uncompiled too, and is said once. Does not know where weights are.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from wuerst_demo.errors import PlacementError, UserError
from wuerst_demo.model.blocks import blocks

if TYPE_CHECKING:
    from wuerst_demo.model.cascade import Cascade
    from wuerst_demo.model.parts import Parts
    from wuerst_demo.request import Limits

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16)
"""How many samples a batch is padded to. A larger one is not compiled."""
Backend = str | Callable[..., Any]
Shape = tuple[int, tuple[tuple[int, ...], ...]]
"""The size of a batch, and the shape of one sample in each of a network's arguments."""
_VARIANTS = 1024
"""For how many inputs one piece of code may be compiled. torch's own bound is 8, met by a decoder in a single size."""


class Compiled:
    """Takes the place of a network's `forward`. Every argument is a tensor with a row for each sample, as the result.

    `backend` is torch.compile's: a name, or a function for tests that count.
    """

    def __init__(self, network: nn.Module, backend: Backend = "inductor") -> None:
        for block in blocks(network):
            block.compile(backend=backend, dynamic=False, fullgraph=True)
        self.trouble = ""
        """Why nothing runs compiled any more; "" as long as it does."""
        self._settled = False
        self._seen: set[Shape] = set()
        self._forward: Callable[..., Tensor] = network.forward
        unchecked: Any = network
        unchecked.forward = self

    def settle(self) -> None:
        """From here on, only what has been seen runs compiled."""
        self._settled = True

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        tensors = [*args, *kwargs.values()]
        count = len(tensors[0])
        size = next((each for each in SIZES if each >= count), 0)
        shape = (size, tuple(tuple(tensor.shape[1:]) for tensor in tensors))
        if size and not self.trouble and (shape in self._seen or not self._settled):
            padded = [_padded(tensor, size) for tensor in tensors]
            try:
                # here, not once: in newer versions each thread has settings of its own
                with torch._dynamo.config.patch(recompile_limit=_VARIANTS, accumulated_recompile_limit=_VARIANTS):
                    result = self._forward(*padded[: len(args)], **dict(zip(kwargs, padded[len(args) :], strict=True)))
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                if "out of memory" in str(error):
                    raise
                self.trouble = _said(error)
                log.warning("Compiling failed (%s): the networks run uncompiled.", self.trouble)
            else:
                self._seen.add(shape)
                return result[:count]
        with torch.compiler.set_stance("force_eager"):
            return self._forward(*args, **kwargs)


def compile_networks(parts: Parts, backend: Backend = "inductor") -> tuple[Compiled, ...]:
    """Prior and decoder, in place. Comes before offload is arranged, whose hooks are not to be compiled."""
    return tuple(Compiled(network, backend) for network in (parts.prior, parts.decoder))


def warm_up(cascade: Cascade, compiled: Sequence[Compiled], limits: Limits, sizes: Sequence[int] = SIZES) -> str:
    """Compiles for pictures of the default size in batches of these sizes, as many as memory admits, and nothing
    after that. Returns what to tell whoever waits, as one line. Raises UserError where the prior's values are no
    numbers in this data type, and PlacementError where not even one picture fits."""
    start = time.perf_counter()
    wish = dataclasses.replace(
        limits.request({"seed": 0}),
        images=1,
        prior_steps=1,
        prior_guidance=0.0,
        decoder_steps=1,
        decoder_guidance=0.0,
    )
    try:
        (row,) = cascade.begin(wish)
        (decoding,) = cascade.step([row])
    except MemoryError:
        raise PlacementError(
            f"The device has not enough memory for one picture of {wish.width} x {wish.height}: close other programs,"
            " or give --offload model."
        ) from None
    if isinstance(decoding, UserError):
        raise decoding
    done: list[int] = []
    for size in sizes:
        try:
            cascade.step([row] * size)
            cascade.step([decoding] * size)
        except MemoryError:
            break
        done.append(size)
    for each in compiled:
        each.settle()
    if trouble := next((each.trouble for each in compiled if each.trouble), ""):
        return f"Compiling failed ({trouble}): the networks run uncompiled."
    return (
        f"Compiled in {time.perf_counter() - start:.0f} s for pictures of {wish.width} x {wish.height},"
        f" prompts of up to {row.legs['prior'].text.shape[1]} tokens and batches of {_listed(done)};"
        " everything else runs uncompiled."
    )


def _padded(tensor: Tensor, size: int) -> Tensor:
    """As many samples: the last again, and what is computed for those is dropped. Without gaps in memory; channels that
    lie last still do, as that is another shape to a compiler."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    if missing := size - len(tensor):
        tensor = torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
    return tensor.contiguous(memory_format=layout)


def _listed(sizes: Sequence[int]) -> str:
    words = [str(size) for size in sizes]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"


def _said(error: Exception) -> str:
    """The compiler's own words, as far as they fit into a sentence."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.endswith("raised:")]  # which backend it was, says nothing
    return (telling[0] if telling else type(error).__name__)[:160].rstrip(".: ")
