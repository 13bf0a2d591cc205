"""How long calls take, and how much of it the networks' forward passes are. Does not know who calls the networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from wuerst_demo.model.keeping import Keeping
from wuerst_demo.model.parts import Parts

R = TypeVar("R")


def timed(device: torch.device, work: Callable[[], R]) -> tuple[R, float, float]:
    """What `work` returns, its seconds (the device's part included), and those that our processor worked for it.

    The processor's seconds leave out what other programs took; on a CPU they compare better on a busy machine.
    """
    settle(device)
    start, worked = time.perf_counter(), time.process_time()
    made = work()
    settle(device)
    return made, time.perf_counter() - start, time.process_time() - worked


def settle(device: torch.device) -> None:
    """Wait until a device that runs behind has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@dataclass
class Spent:
    """Seconds in forward passes so far, and how many passes there were."""

    seconds: float = 0.0
    passes: int = 0
    _starts: list[float] = field(default_factory=list)


@contextmanager
def forwards(parts: Parts, device: torch.device) -> Iterator[Spent]:
    """Adds up the forward passes of all five networks while the `with` lasts. What a network does for a text once,
    ahead of its passes, is time in it and no pass.

    On a device that runs behind, each pass is waited for, so totals taken meanwhile are longer than usual.
    """
    spent = Spent()

    def enter(module: nn.Module, inputs: object) -> None:
        settle(device)
        spent._starts.append(time.perf_counter())

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        settle(device)
        spent.seconds += time.perf_counter() - spent._starts.pop()
        spent.passes += 1

    whole = (parts.prior, parts.decoder, parts.prior_text_encoder, parts.decoder_text_encoder)
    # The VQGAN is asked to decode, which is not its forward; its first and last module are.
    firsts = (*whole, parts.vqgan.up_blocks)
    lasts = (*whole, parts.vqgan.out_block)
    hooks = [module.register_forward_pre_hook(enter) for module in firsts]
    hooks += [module.register_forward_hook(leave) for module in lasts]
    keepers: list[Any] = [network for network in (parts.prior, parts.decoder) if isinstance(network, Keeping)]
    for network in keepers:
        network.keep = _entered(network.keep, spent, device)
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()
        for network in keepers:
            del network.keep  # the class has its own


def _entered(keep: Callable[[Tensor], Tensor], spent: Spent, device: torch.device) -> Callable[[Tensor], Tensor]:
    def timed_keep(text: Tensor) -> Tensor:
        kept, seconds, _ = timed(device, lambda: keep(text))
        spent.seconds += seconds
        return kept

    return timed_keep
